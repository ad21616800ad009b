/**
 * The one text form of a query for hosts, for every face: the search of a page, groups by rule, `--where` of the command line, rollouts.
 * `site:ams1 role:edge kernel>=6.1 -state:offline ("rack 7" OR name:edge-*)`: terms beside each other must all hold, OR parts
 * alternatives, `-` in front turns a term or brackets around, `*` stands for anything (the rest of the value must fit whole then),
 * quotes keep blanks. A key that is none of `hostKeys` is the key of a label. Upper and lower case are the same. `host-query.ts`
 * turns what is read here into a test of a host.
 */
import { NestError } from '../../proto/model/error.ts';
import { readNetwork } from './address-text.ts';

export type HostQuery =
  | { readonly kind: 'all' }
  | { readonly kind: 'and' | 'or'; readonly nodes: readonly HostQuery[] }
  | { readonly kind: 'not'; readonly node: HostQuery }
  /** Found in name, address or a label. */
  | { readonly kind: 'text'; readonly value: string }
  /** `key:value`, the key in lower case; it is a key of `hostKeys` or of a label. */
  | { readonly kind: 'field'; readonly key: string; readonly value: string }
  /** A number or a version against a limit. */
  | { readonly kind: 'compare'; readonly key: string; readonly sign: HostSign; readonly value: string };

type HostQueryTerm = Extract<HostQuery, { readonly kind: 'text' | 'field' | 'compare' }>;

export const hostSigns = ['>=', '<=', '>', '<', '='] as const;
export type HostSign = (typeof hostSigns)[number];

/**
 * word: the whole value; text: a part of it; number and version: compared, a version by as many parts as are written
 * (6.1.115 is =6.1 and not >6.1).
 */
export type HostKeyKind = 'word' | 'text' | 'number' | 'version';

export interface HostKey {
  readonly kind: HostKeyKind;
  readonly about: string;
  readonly example: string;
  /** All values there are. */
  readonly values?: readonly string[];
}

/** Every built-in key, in the order they are offered. Labels may not use these as their keys. */
export const hostKeys = {
  name: { kind: 'text', about: 'name, or a part of it', example: 'name:edge-*' },
  address: { kind: 'text', about: 'address, or a part of it', example: 'address:198.18.' },
  state: {
    kind: 'word',
    about: 'how the host is',
    example: 'state:offline',
    values: ['healthy', 'degraded', 'offline', 'connecting', 'pending'],
  },
  label: { kind: 'word', about: 'a label, or the key of one', example: 'label:edge' },
  cluster: { kind: 'word', about: 'the cluster it belongs to', example: 'cluster:west' },
  group: { kind: 'word', about: 'a group it is in', example: 'group:edges' },
  kernel: { kind: 'version', about: 'its kernel', example: 'kernel>=6.1' },
  agent: { kind: 'version', about: 'version of its agent', example: 'agent<1.4' },
  engine: { kind: 'text', about: 'how packets are enforced', example: 'engine:native' },
  gen: { kind: 'text', about: 'generation of its tables', example: 'gen:9a41c0' },
  packets: { kind: 'number', about: 'packets per second', example: 'packets>1m' },
  drops: { kind: 'number', about: 'packets dropped per second', example: 'drops>0' },
  cpu: { kind: 'number', about: 'processor use, percent', example: 'cpu>=80' },
  flows: { kind: 'number', about: 'flows it knows', example: 'flows>100k' },
  revision: { kind: 'number', about: 'revision of its policy', example: 'revision<12' },
  cert: { kind: 'number', about: 'days until its certificate ends', example: 'cert<30' },
} as const satisfies Readonly<Record<string, HostKey>>;
export type HostKeyName = keyof typeof hostKeys;

/** Longer queries, with more terms or deeper brackets, are refused. */
export const hostQueryCharactersMax = 2_000;
export const hostQueryTermsMax = 64;
export const hostQueryDepthMax = 16;

export const isHostKey = (key: string): key is HostKeyName => Object.hasOwn(hostKeys, key);

/** Reads a query; blanks alone are every host. Raises QUERY_INVALID: the message says what to write, `details` has `start` and `end` in the text, end exclusive. */
export const parseHostQuery = (text: string): HostQuery => {
  if (text.length > hostQueryCharactersMax)
    throw invalid(
      `The query has ${String(text.length)} characters: at most ${String(hostQueryCharactersMax)} are read. Make it shorter, or two groups.`,
      { start: hostQueryCharactersMax, end: text.length },
    );
  const reader = new Reader(text);
  return reader.whole();
};

/** The query as text that reads as the same query. */
export const printHostQuery = (query: HostQuery): string => {
  switch (query.kind) {
    case 'all':
      return '';
    case 'and':
      return query.nodes.map((node) => (node.kind === 'or' ? bracketed(node) : printHostQuery(node))).join(' ');
    case 'or':
      return query.nodes.map(printHostQuery).join(' OR ');
    case 'not':
      return `-${query.node.kind === 'and' || query.node.kind === 'or' ? bracketed(query.node) : printHostQuery(query.node)}`;
    case 'text':
      return isPlainText(query.value) ? query.value : quoted(query.value);
    case 'field':
      return fieldText(query.key, query.value);
    default:
      return `${query.key}${query.sign}${query.value}`;
  }
};

/** A value as it may stand after `key:`, in quotes where needed. */
export const hostValueText = (value: string): string => (/^[\p{L}\p{N}_.*/:=@+-]+$/u.test(value) ? value : quoted(value));

/** A label such as `fe80` with the value `:1` would read as an address: quotes keep it a label. */
const fieldText = (key: string, value: string): string => {
  const text = `${key}:${hostValueText(value)}`;
  return isHostKey(key) || typeof readNetwork(text) === 'string' ? text : `${key}:${quoted(value)}`;
};

/** Both must hold. */
export const bothHold = (...queries: readonly HostQuery[]): HostQuery => joined('and', queries);

/** All terms of a query, for those who must know what it asks about. */
export const hostQueryTerms = (query: HostQuery): readonly HostQueryTerm[] => {
  switch (query.kind) {
    case 'all':
      return [];
    case 'and':
    case 'or':
      return query.nodes.flatMap(hostQueryTerms);
    case 'not':
      return hostQueryTerms(query.node);
    default:
      return [query];
  }
};

interface Place {
  readonly start: number;
  readonly end: number;
}

const invalid = (message: string, { start, end }: Place): NestError => new NestError('QUERY_INVALID', message, { details: { start, end } });

const bracketed = (query: HostQuery): string => `(${printHostQuery(query)})`;
const quoted = (value: string): string => `"${value.replaceAll(/["\\]/g, (character) => `\\${character}`)}"`;
const isWordOfGrammar = (text: string): boolean => /^(?:or|and|not)$/i.test(text);
const isPlainText = (text: string): boolean => /^[\p{L}\p{N}_.*/][\p{L}\p{N}_.*/@+-]*$/u.test(text) && !isWordOfGrammar(text);

/** One node stays itself, nodes of the same kind melt together. */
const joined = (kind: 'and' | 'or', nodes: readonly HostQuery[]): HostQuery => {
  const flat = nodes.flatMap((node) => (node.kind === kind ? node.nodes : node.kind === 'all' && kind === 'and' ? [] : [node]));
  const [first] = flat;
  if (first === undefined) return { kind: 'all' };
  return flat.length === 1 ? first : { kind, nodes: flat };
};

const headPattern = /([A-Za-z][\w.-]*)(>=|<=|[:=<>])/y;
const barePattern = /[^\s()"]*/y;
const quotedPattern = /"((?:[^"\\]|\\[^])*)"/y;
const numberPattern = /^\d{1,12}(?:\.\d{1,6})?[kmg%]?$/;
const versionPattern = /^\d{1,9}(?:\.\d{1,9}){0,5}$/;

/** Reads from left to right; every step goes forward in the text, so its length bounds the work. */
class Reader {
  readonly #text: string;
  #at = 0;
  #terms = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  whole(): HostQuery {
    if (this.#isEnd()) return { kind: 'all' };
    const query = this.#alternatives();
    if (!this.#isEnd()) throw invalid('This bracket closes none: take it away, or open one before.', this.#here(1));
    return query;
  }

  #alternatives(): HostQuery {
    const nodes = [this.#together()];
    while (this.#isNextOr()) {
      this.#at += 2;
      nodes.push(this.#together());
    }
    return joined('or', nodes);
  }

  #together(): HostQuery {
    if (this.#isNextOr()) throw invalid('OR stands between two terms: write one before it.', this.#here(2));
    if (this.#isEnd() || this.#peek() === ')')
      throw invalid('Something is missing here: write a term, for instance state:offline.', this.#here(this.#isEnd() ? 0 : 1));
    const nodes: HostQuery[] = [];
    while (!this.#isEnd() && this.#peek() !== ')' && !this.#isNextOr()) nodes.push(this.#unary());
    return joined('and', nodes);
  }

  #unary(): HostQuery {
    const start = this.#at;
    if (this.#peek() === '-') {
      this.#at += 1;
      const next = this.#text.charAt(this.#at);
      if (next === '' || next === ')' || /\s/.test(next))
        throw invalid('What shall not hold stands right behind the minus: write for instance -state:offline.', { start, end: start + 1 });
      return { kind: 'not', node: this.#deeper(start, () => this.#unary()) };
    }
    if (this.#peek() !== '(') return this.#term();
    this.#at += 1;
    const inner = this.#deeper(start, () => this.#alternatives());
    if (this.#isEnd() || this.#peek() !== ')') throw invalid('This bracket is not closed: write ) at its end.', { start, end: start + 1 });
    this.#at += 1;
    return inner;
  }

  #deeper(start: number, read: () => HostQuery): HostQuery {
    this.#depth += 1;
    if (this.#depth > hostQueryDepthMax)
      throw invalid(`Brackets and minus signs go at most ${String(hostQueryDepthMax)} deep: write it flatter.`, { start, end: start + 1 });
    const query = read();
    this.#depth -= 1;
    return query;
  }

  #term(): HostQuery {
    const start = this.#at;
    this.#terms += 1;
    const bare = this.#match(barePattern)?.[0] ?? '';
    this.#at = start;
    const head = this.#match(headPattern);
    const [, name = '', sign = ''] = head ?? [];
    const key = name.toLowerCase();
    // "fe80::1" is an address, not a label: a known key always wins, an address comes next.
    const isText = head === null || (!isHostKey(key) && typeof readNetwork(bare) !== 'string');
    if (isText) this.#at = start;
    const { value, isQuoted } = this.#value(start);
    const place = { start, end: this.#at };
    if (this.#terms > hostQueryTermsMax)
      throw invalid(`The query has more than ${String(hostQueryTermsMax)} terms: label the hosts instead, and ask for the label.`, place);
    if (isText) return textOf(value, isQuoted, place);
    if (value === '') throw invalid(`Write what ${name}${sign} shall be, for instance ${exampleOf(key)}.`, place);
    return comparisonOf({ key, sign, value, place }) ?? fieldOf({ key, value, place });
  }

  #value(start: number): { readonly value: string; readonly isQuoted: boolean } {
    if (this.#text.charAt(this.#at) !== '"') {
      const value = this.#match(barePattern)?.[0] ?? '';
      if (this.#text.charAt(this.#at) === '"')
        throw invalid('A quote in the middle: put all of it in quotes, for instance name:"rack 7".', { start, end: this.#at + 1 });
      return { value, isQuoted: false };
    }
    const open = this.#at;
    const [, inner] = this.#match(quotedPattern) ?? [];
    if (inner === undefined)
      throw invalid('This quote is not closed: write " at the end of the text.', { start: open, end: this.#text.length });
    const next = this.#text.charAt(this.#at);
    if (next !== '' && !/[\s()]/.test(next)) throw invalid('Write a blank behind the quotes.', { start: open, end: this.#at + 1 });
    return { value: inner.replaceAll(/\\([^])/g, '$1'), isQuoted: true };
  }

  #match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    if (found !== null) this.#at = pattern.lastIndex;
    return found;
  }

  /** Steps over blanks. */
  #isEnd(): boolean {
    while (/\s/.test(this.#text.charAt(this.#at))) this.#at += 1;
    return this.#at >= this.#text.length;
  }

  #peek(): string {
    return this.#isEnd() ? '' : this.#text.charAt(this.#at);
  }

  #isNextOr(): boolean {
    return !this.#isEnd() && /^OR(?:$|[\s()"])/.test(this.#text.slice(this.#at, this.#at + 3));
  }

  #here(length: number): Place {
    return { start: this.#at, end: this.#at + length };
  }
}

const exampleOf = (key: string): string => (isHostKey(key) ? hostKeys[key].example : `${key}:ams1`);

/** Words of other query languages would silently find nothing. */
const adviceForWord: ReadonlyMap<string, string> = new Map([
  ['or', 'Write OR in capitals between two terms'],
  ['and', 'Leave the word out: terms beside each other must all hold'],
  ['not', 'Write - right before what shall not hold'],
]);

const textOf = (value: string, isQuoted: boolean, place: Place): HostQuery => {
  if (value === '') throw invalid('There is nothing to look for: write something between the quotes.', place);
  const advice = isQuoted
    ? undefined
    : /^[<>=]/.test(value)
      ? 'Write it without blanks, kernel>=6.1'
      : adviceForWord.get(value.toLowerCase());
  if (advice !== undefined) throw invalid(`${advice}, or “"${value}"” in quotes to look for it.`, place);
  return { kind: 'text', value };
};

interface ReadTerm {
  readonly key: string;
  readonly value: string;
  readonly place: Place;
}

/** Undefined when the term compares nothing. */
const comparisonOf = ({ key, sign, value, place }: ReadTerm & { readonly sign: string }): HostQuery | undefined => {
  const kind = isHostKey(key) ? hostKeys[key].kind : undefined;
  const isComparison = sign !== ':' && sign !== '=';
  const limit = value.toLowerCase();
  if (kind === 'version' && versionPattern.test(value)) return { kind: 'compare', key, sign: signOf(sign), value };
  if (kind === 'number') {
    if (!numberPattern.test(limit))
      throw invalid(`“${key}” is compared with a number: write for instance ${exampleOf(key)} or ${key}>=1.5k.`, place);
    return { kind: 'compare', key, sign: signOf(sign), value: limit };
  }
  if (!isComparison) return undefined;
  if (kind === 'version') throw invalid(`“${value}” is no version: write for instance ${exampleOf(key)}.`, place);
  const near = isHostKey(key) ? undefined : nearestKey(key);
  const next = near === undefined ? `These can be: ${comparable.join(', ')}` : `Did you mean ${near}${sign}${value}?`;
  throw invalid(`“${key}” cannot be compared. ${next.endsWith('?') ? next : `${next}.`}`, place);
};

const signOf = (sign: string): HostSign => hostSigns.find((known) => known === sign) ?? '=';

const fieldOf = ({ key, value, place }: ReadTerm): HostQuery => {
  const known: HostKey | undefined = isHostKey(key) ? hostKeys[key] : undefined;
  const values = known?.values;
  if (values !== undefined && !values.includes(value.toLowerCase()))
    throw invalid(`“${value}” is no ${key}: write ${values.map((word) => `${key}:${word}`).join(', ')}.`, place);
  return { kind: 'field', key, value };
};

const comparable = Object.entries(hostKeys).flatMap(([key, { kind }]) => (kind === 'number' || kind === 'version' ? [key] : []));

/** A key that differs in two letters at most. */
const nearestKey = (key: string): string | undefined => {
  const near = comparable.map((known) => ({ known, letters: lettersApart(key, known) })).sort((a, b) => a.letters - b.letters)[0];
  return near !== undefined && near.letters <= 2 ? near.known : undefined;
};

/** Letters to change, add or take away. */
const lettersApart = (left: string, right: string): number => {
  let row = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (const [index, letter] of Array.from(left).entries()) {
    const next = [index + 1];
    for (const [place, other] of Array.from(right).entries())
      next.push(Math.min((next[place] ?? 0) + 1, (row[place + 1] ?? 0) + 1, (row[place] ?? 0) + (letter === other ? 0 : 1)));
    row = next;
  }
  return row[right.length] ?? right.length;
};
