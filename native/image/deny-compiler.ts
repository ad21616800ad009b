/** Deny lists to the rows of the table image: read, sorted and each prefix once, in typed arrays throughout. */
import { NestError } from '../../proto/model/error.ts';
import { readDenyLines } from './deny-lines.ts';
import type { ReadPrefix } from './deny-lines.ts';
import { parseExpiry } from './deny-schema.ts';
import type { PolicyDenyList } from './deny-schema.ts';
import type { DenyTables } from './image-content.ts';
import { deny4Bytes, deny6Bytes, denyListsMax, denyPrefixesMax } from './limits.ts';
import { problemsMax } from './policy-problem.ts';
import type { PolicyProblem } from './policy-problem.ts';
import { prefixProblem } from './schema-checks.ts';
import { tooLarge } from './too-large.ts';

export interface DenyOptions {
  /** Contents of the files that lists name, by file name. Absent = lists from files are empty. */
  readonly denyFiles?: ReadonlyMap<string, string | Uint8Array> | undefined;
  /** Milliseconds since 1970: lists that expire until then are left out. Absent = none expires. */
  readonly now?: number | undefined;
}

/** Lines read per family, before equal ones are joined. */
const rowsMax = denyPrefixesMax * 2;
const smallestCapacity = 1024;

/**
 * The tables of all lists that have not expired, numbered by name. A prefix that is in two lists belongs to the one whose
 * name sorts first. Raises POLICY_INVALID (a file is missing, or a line of it is no prefix) and POLICY_TOO_LARGE.
 */
export const compileDenyLists = (lists: readonly PolicyDenyList[], options: DenyOptions): DenyTables => {
  const live = liveLists(lists, options.now);
  const crossing = live[denyListsMax];
  if (crossing !== undefined) throw tooLarge('denyLists', crossing.list.name);
  const rows4 = new Rows4();
  const rows6 = new Rows6();
  const problems: PolicyProblem[] = [];
  for (const [index, { list, position }] of live.entries()) {
    const path = `denyLists[${String(position)}]`;
    const take = (prefix: ReadPrefix): void => {
      const rows = prefix.family === 4 ? rows4 : rows6;
      if (rows.count === rowsMax) throw tooLarge('denyPrefixes', list.name);
      rows.add(prefix, index);
    };
    readDenyLines(contentOf(list, path, { options, problems }), take, ({ line, text }) => {
      problems.push(lineProblem(list, path, { line, text }));
      return problems.length < problemsMax;
    });
    if (problems.length >= problemsMax) break;
  }
  const [first] = problems;
  if (first !== undefined)
    throw new NestError('POLICY_INVALID', `The policy is refused. ${first.path}: ${first.message}`, {
      details: { problems: problems.map(({ path, code, message }) => ({ path, code, message })) },
    });
  const tables = { names: live.map(({ list }) => list.name), rows4: rows4.encode(), rows6: rows6.encode() };
  const largest = Math.max(tables.rows4.length / deny4Bytes, tables.rows6.length / deny6Bytes);
  if (largest > denyPrefixesMax) throw tooLarge('denyPrefixes', tables.names.at(-1) ?? '');
  return tables;
};

/**
 * Rows of struct nest_image_deny4 and nest_image_deny6 for prefixes that are added to a list of a loaded policy, or removed
 * from it; `list` is the list's index in the image. Raises INPUT_INVALID and names the first entry that is no prefix.
 */
export const encodeDenyPrefixes = (prefixes: readonly string[], list: number): { rows4: Uint8Array; rows6: Uint8Array } => {
  const rows4 = new Rows4();
  const rows6 = new Rows6();
  if (prefixes.length > rowsMax) throw tooLarge('denyPrefixes', '');
  for (const [position, text] of prefixes.entries()) {
    const problem = prefixProblem(text);
    if (problem !== undefined) throw new NestError('INPUT_INVALID', `Entry ${String(position + 1)}: ${problem.message}`);
  }
  readDenyLines(
    new TextEncoder().encode(prefixes.join('\n')),
    (prefix) => {
      (prefix.family === 4 ? rows4 : rows6).add(prefix, list);
    },
    () => true,
  );
  return { rows4: rows4.encode(), rows6: rows6.encode() };
};

/** Number of rows by list, in the order of their numbers. */
export const prefixesByList = ({ names, rows4, rows6 }: DenyTables): readonly { readonly name: string; readonly prefixes: number }[] => {
  const counts = new Uint32Array(names.length);
  for (const [rows, bytes] of [
    [rows4, deny4Bytes],
    [rows6, deny6Bytes],
  ] as const) {
    const view = new DataView(rows.buffer, rows.byteOffset, rows.byteLength);
    for (let row = bytes; row <= rows.length; row += bytes) {
      const list = view.getUint32(row - 4, true);
      counts[list] = (counts[list] ?? 0) + 1;
    }
  }
  return names.map((name, index) => ({ name, prefixes: counts[index] ?? 0 }));
};

/** Lists that hold at a time, sorted by name, with their positions in the document. */
export const liveLists = (
  lists: readonly PolicyDenyList[],
  now: number | undefined,
): readonly { readonly list: PolicyDenyList; readonly position: number }[] =>
  lists
    .map((list, position) => ({ list, position }))
    .filter(({ list }) => now === undefined || list.expires === undefined || (parseExpiry(list.expires) ?? Infinity) > now)
    .sort((a, b) => (a.list.name < b.list.name ? -1 : 1));

const contentOf = (
  list: PolicyDenyList,
  path: string,
  context: { readonly options: DenyOptions; readonly problems: PolicyProblem[] },
): Uint8Array => {
  const { denyFiles } = context.options;
  const content = list.file === undefined ? (list.prefixes ?? []).join('\n') : denyFiles?.get(list.file);
  if (content === undefined && denyFiles !== undefined) {
    const message = `The host has no deny list file ${String(list.file)}: put it there, or correct the name.`;
    context.problems.push({ severity: 'error', path: `${path}.file`, code: 'DENY_FILE_MISSING', message });
  }
  return typeof content === 'string' ? new TextEncoder().encode(content) : (content ?? new Uint8Array());
};

const lineProblem = (list: PolicyDenyList, path: string, at: { readonly line: number; readonly text: string }): PolicyProblem => {
  const [field = ''] = at.text.replace(/^"/, '').split(/[\s,;#"]/);
  const what = prefixProblem(field)?.message ?? 'it is not an address or CIDR.';
  const message = `Line ${String(at.line)} of ${list.file ?? list.name}: ${what}`;
  return { severity: 'error', path: `${path}.file`, code: 'DENY_FILE_LINE', message };
};

/** IPv4 rows: address, length and list as one number each that sorts as the image does. */
class Rows4 {
  #keys = new Float64Array(smallestCapacity);
  count = 0;

  add({ words, length }: ReadPrefix, list: number): void {
    if (this.count === this.#keys.length) this.#keys = grown(this.#keys, new Float64Array(this.count * 2));
    this.#keys[this.count++] = ((words[0] ?? 0) * 64 + length) * denyListsMax + list;
  }

  encode(): Uint8Array {
    const keys = this.#keys.subarray(0, this.count).sort();
    const rows = new Uint8Array(keys.length * deny4Bytes);
    const view = new DataView(rows.buffer);
    let offset = 0;
    let previous = -1;
    for (const key of keys) {
      const prefix = Math.floor(key / denyListsMax);
      if (prefix === previous) continue;
      previous = prefix;
      view.setUint32(offset, prefix % 64, true);
      view.setUint32(offset + 4, Math.floor(prefix / 64));
      view.setUint32(offset + 8, key % denyListsMax, true);
      offset += deny4Bytes;
    }
    return rows.slice(0, offset);
  }
}

/** IPv6 rows: five words each, the last is length and list. */
class Rows6 {
  #words = new Uint32Array(smallestCapacity * 5);
  count = 0;

  add({ words, length }: ReadPrefix, list: number): void {
    if (this.count * 5 === this.#words.length) this.#words = grown(this.#words, new Uint32Array(this.count * 10));
    const at = this.count++ * 5;
    for (let index = 0; index < 4; index++) this.#words[at + index] = words[index] ?? 0;
    this.#words[at + 4] = length * denyListsMax + list;
  }

  encode(): Uint8Array {
    const words = this.#words;
    const rows = new Uint8Array(this.count * deny6Bytes);
    const view = new DataView(rows.buffer);
    let offset = 0;
    let previous = -1;
    for (const row of sortRows(words, this.count)) {
      const at = row * 5;
      if (previous >= 0 && isSamePrefix(words, previous, at)) continue;
      previous = at;
      const last = words[at + 4] ?? 0;
      view.setUint32(offset, Math.floor(last / denyListsMax), true);
      for (let index = 0; index < 4; index++) view.setUint32(offset + 4 + index * 4, words[at + index] ?? 0);
      view.setUint32(offset + 20, last % denyListsMax, true);
      offset += deny6Bytes;
    }
    return rows.slice(0, offset);
  }
}

const grown = <T extends Float64Array | Uint32Array>(old: T, larger: T): T => {
  larger.set(old);
  return larger;
};

const isSamePrefix = (words: Uint32Array, a: number, b: number): boolean =>
  words[a] === words[b] &&
  words[a + 1] === words[b + 1] &&
  words[a + 2] === words[b + 2] &&
  words[a + 3] === words[b + 3] &&
  Math.floor((words[a + 4] ?? 0) / denyListsMax) === Math.floor((words[b + 4] ?? 0) / denyListsMax);

/** Rows in order: a radix sort, sixteen bits a pass from the last word to the first. Passes that would change nothing are left out. */
const sortRows = (words: Uint32Array, count: number): Uint32Array => {
  let order = Uint32Array.from({ length: count }, (_, row) => row);
  let next = new Uint32Array(count);
  const starts = new Uint32Array(65_537);
  for (let word = 4; word >= 0; word--) {
    for (let shift = 0; shift < 32; shift += 16) {
      starts.fill(0);
      for (let row = 0; row < count; row++) {
        const digit = ((words[row * 5 + word] ?? 0) >>> shift) & 0xffff;
        starts[digit + 1] = (starts[digit + 1] ?? 0) + 1;
      }
      if (starts[(((words[word] ?? 0) >>> shift) & 0xffff) + 1] === count) continue;
      for (let digit = 1; digit < starts.length; digit++) starts[digit] = (starts[digit] ?? 0) + (starts[digit - 1] ?? 0);
      for (let position = 0; position < count; position++) {
        const row = order[position] ?? 0;
        const digit = ((words[row * 5 + word] ?? 0) >>> shift) & 0xffff;
        const place = starts[digit] ?? 0;
        starts[digit] = place + 1;
        next[place] = row;
      }
      [order, next] = [next, order];
    }
  }
  return order;
};
