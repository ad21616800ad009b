import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { compilePolicy, encodeDenyPrefixes, formatPrefix, networkOf, openImage, parsePolicy, parsePrefix } from './api.ts';
import type { PolicyDenyList } from './api.ts';
import { isNetwork } from './address.ts';
import { ReadPrefix } from './deny-lines.ts';
import { deny4Bytes, denyListsMax } from './limits.ts';

const policyOf = (denyLists: readonly PolicyDenyList[]) =>
  parsePolicy({ apiVersion: 'nest/v1', kind: 'Policy', defaultAction: 'allow', services: [], mappings: [], denyLists });

const imageOf = (denyLists: readonly PolicyDenyList[], files: Record<string, string> = {}, now = 0) =>
  compilePolicy(policyOf(denyLists), { denyFiles: new Map(Object.entries(files)), now });

const problemsOf = (text: string): string[] => {
  try {
    imageOf([{ name: 'bad', file: 'f' }], { f: text });
    return [];
  } catch (error) {
    const { problems } = (error as { details: { problems: { path: string; code: string; message: string }[] } }).details;
    return problems.map(({ path, code, message }) => `${path} ${code} ${message}`);
  }
};

const readBytes = (text: string): string | undefined => {
  const bytes = new TextEncoder().encode(text);
  const into = new ReadPrefix(bytes);
  if (!into.parse(0, bytes.length)) return undefined;
  const [a = 0, b = 0, c = 0, d = 0] = into.words;
  return formatPrefix({ family: into.family, words: into.family === 4 ? [a, 0, 0, 0] : [a, b, c, d], length: into.length });
};

const readText = (text: string): string | undefined => {
  const prefix = parsePrefix(text);
  return prefix === undefined || !isNetwork(prefix) ? undefined : formatPrefix(prefix);
};

const word32 = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff_ffff }));
const anyPrefix = fc
  .record({ isIpv4: fc.boolean(), words: fc.tuple(word32, word32, word32, word32), length: fc.integer({ min: 0, max: 128 }) })
  .map(({ isIpv4, words: [a, b, c, d], length }) =>
    formatPrefix(networkOf(isIpv4 ? { family: 4, words: [a, 0, 0, 0], length: length % 33 } : { family: 6, words: [a, b, c, d], length })),
  );

describe('deny lists', () => {
  it('are read from bytes as addresses are read from text, well formed and not', () => {
    const pieces = fc.array(
      fc.constantFrom('1', '0', '255', '256', 'f', 'ffff', '10000', ':', '::', '.', '/', '32', '033', 'g', '198.18.0.1', '2001:db8'),
      { maxLength: 12 },
    );
    fc.assert(
      fc.property(
        fc.oneof(
          anyPrefix,
          pieces.map((list) => list.join('')),
          pieces.map((list) => list.join(':')),
        ),
        (text) => {
          expect(readBytes(text), text).toBe(readText(text));
        },
      ),
      { numRuns: 5000 },
    );
  });

  it('take comments, blank lines, the first column of CSV, a heading, and any line ending', () => {
    const text =
      '\ufeffip,why\r\n# all of these\r\n\r\n192.0.2.1 , "a"\n"192.0.2.2",b\n  192.0.2.3\t# third\n198.51.100.0/24 ; SBL1\n2001:db8::/32,c';
    expect(imageOf([{ name: 'bad', file: 'f' }], { f: text }).stats).toMatchObject({ denyPrefixes4: 4, denyPrefixes6: 1 });
  });

  it('take a heading before semicolons, too', () => {
    expect(imageOf([{ name: 'bad', file: 'f' }], { f: 'prefix;who\n192.0.2.1;somebody\n' }).stats).toMatchObject({ denyPrefixes4: 1 });
  });

  it('name the line that is no prefix, and the file that is not there', () => {
    expect(problemsOf('192.0.2.1\n\n192.0.2.999,x\nbad\n192.0.2.1/24')).toEqual([
      'denyLists[0].file DENY_FILE_LINE Line 3 of f: "192.0.2.999" is not an address or CIDR: write for instance 198.18.4.0/24, 198.18.4.7 or 2001:db8:4::/48.',
      'denyLists[0].file DENY_FILE_LINE Line 4 of f: "bad" is not an address or CIDR: write for instance 198.18.4.0/24, 198.18.4.7 or 2001:db8:4::/48.',
      'denyLists[0].file DENY_FILE_LINE Line 5 of f: 192.0.2.1/24 has bits set behind its prefix length: write 192.0.2.0/24, or leave the length out for the address alone.',
    ]);
    expect(problemsOf('x\n'.repeat(500))).toHaveLength(100);
    expect(() => imageOf([{ name: 'bad', file: 'g' }])).toThrow(/no deny list file g/);
    expect(compilePolicy(policyOf([{ name: 'bad', file: 'g' }])).stats).toMatchObject({ denyPrefixes4: 0 });
  });

  it('give a prefix of two lists to the one whose name sorts first, and the longest prefix wins', () => {
    const lists = [
      { name: 'b', prefixes: ['198.51.100.0/24', '192.0.2.0/24'] },
      { name: 'a', prefixes: ['198.51.100.0/24', '198.51.100.0/24', '192.0.2.128/25'] },
    ];
    const { image, stats } = imageOf(lists);
    const judge = openImage(image);
    expect(judge.denyListNames).toEqual(['a', 'b']);
    expect(stats.denyPrefixes4).toBe(3);
    const denied = (source: string, destination: string) => judge.judge({ source, destination, protocol: 17, destinationPort: 53 });
    expect(denied('198.51.100.7', '192.0.2.1')).toMatchObject({
      action: 'deny',
      reason: 'DENY_LIST',
      denied: { list: 'a', side: 'source' },
    });
    expect(denied('198.18.0.1', '192.0.2.1')).toMatchObject({ denied: { list: 'b', side: 'destination' } });
    expect(denied('198.18.0.1', '192.0.2.200')).toMatchObject({ denied: { list: 'a', side: 'destination' } });
    expect(denied('198.18.0.1', '198.18.0.2')).toMatchObject({ action: 'allow', reason: 'DEFAULT_ALLOW', denied: undefined });
    expect(imageOf([...lists].reverse()).image).toEqual(image);
  });

  it('find what a search through all prefixes finds', () => {
    fc.assert(
      fc.property(
        fc.array(anyPrefix, { minLength: 1, maxLength: 40 }),
        fc.array(anyPrefix, { minLength: 2, maxLength: 10 }),
        (prefixes, probes) => {
          const lists = prefixes.map((text, index) => ({ name: `l${String(index).padStart(2, '0')}`, prefixes: [text] }));
          const judge = openImage(imageOf(lists).image);
          for (const text of [...probes, ...prefixes]) {
            const address = parsePrefix(text.split('/')[0] ?? '');
            if (address === undefined) throw new Error(text);
            let best: { list: string; length: number } | undefined;
            for (const list of lists) {
              const prefix = parsePrefix(list.prefixes[0] ?? '');
              if (prefix === undefined || prefix.family !== address.family) continue;
              const isInside = formatPrefix(networkOf({ ...address, length: prefix.length })) === formatPrefix(prefix);
              if (isInside && (best === undefined || prefix.length > best.length)) best = { list: list.name, length: prefix.length };
            }
            const source = formatPrefix(address);
            expect(judge.judge({ source, destination: source, protocol: 6, destinationPort: 1 }).denied?.list, source).toBe(best?.list);
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  it('hold until they expire, and enforce a policy that says nothing else', () => {
    const list = { name: 'bad', prefixes: ['192.0.2.1'], expires: '2030-01-31T18:00:00.5+02:00' };
    const time = Date.UTC(2030, 0, 31, 16, 0, 0, 500);
    expect(imageOf([list], {}, time - 1).stats.denyPrefixes4).toBe(1);
    expect(openImage(imageOf([list], {}, time - 1).image).isEnforced).toBe(true);
    expect(imageOf([list], {}, time).stats.denyPrefixes4).toBe(0);
    expect(openImage(imageOf([list], {}, time).image)).toMatchObject({ isEnforced: false, denyListNames: [] });
  });

  it('are refused when there are too many, by name', () => {
    const lists = Array.from({ length: denyListsMax + 1 }, (_, index) => ({ name: `l${String(index).padStart(4, '0')}`, prefixes: [] }));
    expect(imageOf(lists.slice(1)).stats.denyPrefixes4).toBe(0);
    expect(() => imageOf(lists)).toThrow(
      expect.objectContaining({ code: 'POLICY_TOO_LARGE', details: { denyList: 'l0256', limit: 'denyLists', max: 256 } }),
    );
  });

  it('read, sort and join 100,000 prefixes in well under a second', () => {
    const lines = Array.from({ length: 100_000 }, (_, index) => {
      const mixed = Math.imul(index, 0x9e37_79b1) >>> 0;
      return index % 2 === 0
        ? `${String(1 + (mixed >>> 25))}.${String((mixed >>> 16) & 255)}.${String((mixed >>> 8) & 255)}.${String(mixed & 255)}`
        : `2001:db8:${(mixed >>> 16).toString(16)}:${(mixed & 0xffff).toString(16)}::/64`;
    });
    const begun = performance.now();
    const { stats } = imageOf([{ name: 'bad', file: 'f' }], { f: lines.join('\n') });
    expect(performance.now() - begun).toBeLessThan(900);
    expect(stats).toMatchObject({ denyPrefixes4: 50_000, denyPrefixes6: 50_000 });
  });

  it('encode rows for a loaded policy, and refuse what is no prefix', () => {
    const { rows4, rows6 } = encodeDenyPrefixes(['198.51.100.0/24', '192.0.2.1', '2001:db8::/32'], 7);
    expect([...rows4]).toEqual([32, 0, 0, 0, 192, 0, 2, 1, 7, 0, 0, 0, 24, 0, 0, 0, 198, 51, 100, 0, 7, 0, 0, 0]);
    expect(rows4.length).toBe(deny4Bytes * 2);
    expect([...rows6]).toEqual([32, 0, 0, 0, 0x20, 1, 0x0d, 0xb8, ...Array.from({ length: 12 }, () => 0), 7, 0, 0, 0]);
    expect(() => encodeDenyPrefixes(['192.0.2.1', '# no'], 0)).toThrow(expect.objectContaining({ code: 'INPUT_INVALID' }));
  });
});
