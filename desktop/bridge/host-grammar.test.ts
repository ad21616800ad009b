import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toErrorShape } from '../../proto/model/error.ts';
import type { ErrorShape } from '../../proto/model/error.ts';
import {
  hostKeys,
  hostQueryCharactersMax,
  hostQueryDepthMax,
  hostQueryTermsMax,
  isHostKey,
  parseHostQuery,
  printHostQuery,
} from './host-grammar.ts';
import type { HostQuery } from './host-grammar.ts';
import { hostQueries } from './test-host-query.ts';

/** Message and marked text of the refusal; the query itself when it is read. */
const refusal = (text: string): unknown => {
  try {
    return parseHostQuery(text);
  } catch (error) {
    const { code, message, details } = toErrorShape(error);
    return [code, text.slice(Number(details['start']), Number(details['end'])), message];
  }
};

const readOrRefused = (text: string): { readonly query: HostQuery } | { readonly error: ErrorShape } => {
  try {
    return { query: parseHostQuery(text) };
  } catch (error) {
    return { error: toErrorShape(error) };
  }
};

/** Any code points, halves of pairs among them. */
const anyText = (maxLength: number): fc.Arbitrary<string> =>
  fc.array(fc.oneof(fc.nat({ max: 0x7f }), fc.nat({ max: 0x10_ffff })), { maxLength }).map((points) => String.fromCodePoint(...points));

describe('the host grammar', () => {
  it('reads terms that all must hold, alternatives, brackets and what shall not hold', () => {
    expect(parseHostQuery('site:ams1 kernel>=6.1 -state:offline ("rack 7" OR name:edge-*)')).toEqual({
      kind: 'and',
      nodes: [
        { kind: 'field', key: 'site', value: 'ams1' },
        { kind: 'compare', key: 'kernel', sign: '>=', value: '6.1' },
        { kind: 'not', node: { kind: 'field', key: 'state', value: 'offline' } },
        {
          kind: 'or',
          nodes: [
            { kind: 'text', value: 'rack 7' },
            { kind: 'field', key: 'name', value: 'edge-*' },
          ],
        },
      ],
    });
  });

  it('binds terms closer than OR', () => {
    expect(printHostQuery(parseHostQuery('a b OR c d'))).toBe('a b OR c d');
    expect(parseHostQuery('a b OR c')).toMatchObject({ kind: 'or', nodes: [{ kind: 'and' }, { kind: 'text' }] });
    expect(printHostQuery(parseHostQuery('(a) ((b OR (c)))'))).toBe('a (b OR c)');
  });

  it('reads each example it gives, and = like : where nothing is compared', () => {
    for (const { example } of Object.values(hostKeys)) expect(printHostQuery(parseHostQuery(example)), example).toBe(example);
    expect([parseHostQuery('site=ams1'), parseHostQuery('kernel:6.1')]).toEqual([
      { kind: 'field', key: 'site', value: 'ams1' },
      { kind: 'compare', key: 'kernel', sign: '=', value: '6.1' },
    ]);
  });

  it('takes an address for a text, and blanks for every host', () => {
    expect([parseHostQuery('fe80::1'), parseHostQuery('2001:db8::7'), parseHostQuery('  ')]).toEqual([
      { kind: 'text', value: 'fe80::1' },
      { kind: 'text', value: '2001:db8::7' },
      { kind: 'all' },
    ]);
  });

  it('marks what is wrong and says what to write', () => {
    expect(
      [
        'state:off',
        'site:',
        'a OR',
        'OR a',
        '(a b',
        'a) b',
        '()',
        'a - b',
        'name:"x',
        'na"x"',
        '"a"b',
        '""',
        'a and b',
        'a or b',
        'not a',
        'kernel >= 6.1',
        'kernl>=6.1',
        'colour>3',
        'drops>much',
        'kernel>=new',
        'state>offline',
      ].map(refusal),
    ).toMatchInlineSnapshot(`
      [
        [
          "QUERY_INVALID",
          "state:off",
          "“off” is no state: write state:healthy, state:degraded, state:offline, state:connecting, state:pending.",
        ],
        [
          "QUERY_INVALID",
          "site:",
          "Write what site: shall be, for instance site:ams1.",
        ],
        [
          "QUERY_INVALID",
          "",
          "Something is missing here: write a term, for instance state:offline.",
        ],
        [
          "QUERY_INVALID",
          "OR",
          "OR stands between two terms: write one before it.",
        ],
        [
          "QUERY_INVALID",
          "(",
          "This bracket is not closed: write ) at its end.",
        ],
        [
          "QUERY_INVALID",
          ")",
          "This bracket closes none: take it away, or open one before.",
        ],
        [
          "QUERY_INVALID",
          ")",
          "Something is missing here: write a term, for instance state:offline.",
        ],
        [
          "QUERY_INVALID",
          "-",
          "What shall not hold stands right behind the minus: write for instance -state:offline.",
        ],
        [
          "QUERY_INVALID",
          ""x",
          "This quote is not closed: write " at the end of the text.",
        ],
        [
          "QUERY_INVALID",
          "na"",
          "A quote in the middle: put all of it in quotes, for instance name:"rack 7".",
        ],
        [
          "QUERY_INVALID",
          ""a"b",
          "Write a blank behind the quotes.",
        ],
        [
          "QUERY_INVALID",
          """",
          "There is nothing to look for: write something between the quotes.",
        ],
        [
          "QUERY_INVALID",
          "and",
          "Leave the word out: terms beside each other must all hold, or “"and"” in quotes to look for it.",
        ],
        [
          "QUERY_INVALID",
          "or",
          "Write OR in capitals between two terms, or “"or"” in quotes to look for it.",
        ],
        [
          "QUERY_INVALID",
          "not",
          "Write - right before what shall not hold, or “"not"” in quotes to look for it.",
        ],
        [
          "QUERY_INVALID",
          ">=",
          "Write it without blanks, kernel>=6.1, or “">="” in quotes to look for it.",
        ],
        [
          "QUERY_INVALID",
          "kernl>=6.1",
          "“kernl” cannot be compared. Did you mean kernel>=6.1?",
        ],
        [
          "QUERY_INVALID",
          "colour>3",
          "“colour” cannot be compared. These can be: kernel, agent, packets, drops, cpu, flows, revision, cert.",
        ],
        [
          "QUERY_INVALID",
          "drops>much",
          "“drops” is compared with a number: write for instance drops>0 or drops>=1.5k.",
        ],
        [
          "QUERY_INVALID",
          "kernel>=new",
          "“new” is no version: write for instance kernel>=6.1.",
        ],
        [
          "QUERY_INVALID",
          "state>offline",
          "“state” cannot be compared. These can be: kernel, agent, packets, drops, cpu, flows, revision, cert.",
        ],
      ]
    `);
  });

  it('keeps to its limits', () => {
    const over = [
      'x'.repeat(hostQueryCharactersMax + 1),
      Array.from({ length: hostQueryTermsMax + 1 }, () => 'a').join(' '),
      `${'('.repeat(hostQueryDepthMax + 1)}a${')'.repeat(hostQueryDepthMax + 1)}`,
      `${'-'.repeat(hostQueryDepthMax + 1)}a`,
    ];
    for (const text of over)
      expect(refusal(text)).toEqual(['QUERY_INVALID', expect.any(String), expect.stringMatching(/at most|more than/)]);
    expect(parseHostQuery(`${'('.repeat(hostQueryDepthMax)}a${')'.repeat(hostQueryDepthMax)}`)).toEqual({ kind: 'text', value: 'a' });
  });

  it('prints what reads as the same query, for any query', () => {
    fc.assert(
      fc.property(hostQueries, (query) => {
        const text = printHostQuery(query);
        const again = parseHostQuery(text);
        return JSON.stringify(again) === JSON.stringify(query) && printHostQuery(again) === text;
      }),
      { numRuns: 1_500 },
    );
  });

  it('reads any text or refuses it with a place inside it, and nothing else', () => {
    const piece = fc.oneof(
      fc.constantFrom(
        '(',
        ')',
        '-',
        '"',
        '\\',
        ' OR ',
        ':',
        '>=',
        '<',
        '=',
        '*',
        ' ',
        'site:ams1',
        'kernel>=6.1',
        'state:offline',
        'drops>1k',
        'OR',
        '::1',
      ),
      anyText(6),
    );
    const texts = fc.oneof(
      anyText(30),
      fc.array(piece, { maxLength: 16 }).map((pieces) => pieces.join('')),
    );
    fc.assert(
      fc.property(texts, (text) => {
        const read = readOrRefused(text);
        if ('query' in read) return JSON.stringify(parseHostQuery(printHostQuery(read.query))) === JSON.stringify(read.query);
        const { code, message, details } = read.error;
        const [start, end] = [Number(details['start']), Number(details['end'])];
        return code === 'QUERY_INVALID' && 0 <= start && start <= end && end <= text.length && /\S.*[.?]$/su.test(message);
      }),
      { numRuns: 3_000 },
    );
  });

  it('knows its own keys from names every object has', () => {
    expect(['name', 'constructor', 'toString', '__proto__'].map(isHostKey)).toEqual([true, false, false, false]);
    expect(parseHostQuery('constructor:x')).toEqual({ kind: 'field', key: 'constructor', value: 'x' });
  });
});
