/** Longest-prefix look-up for JavaScript: nested prefixes flattened into disjoint ranges, found by binary search. */
import { compareWords, isWithin } from './address.ts';
import type { AddressWords, Prefix } from './address.ts';

export interface IdentityEntry {
  readonly prefix: Prefix;
  readonly source: number;
  readonly destination: number;
}

export interface ClassPair {
  readonly source: number;
  readonly destination: number;
}

const nowhere: ClassPair = { source: 0, destination: 0 };

export class PrefixRanges {
  /** Four words per range start, ascending; the first range starts at address 0. */
  readonly #starts: Uint32Array;
  readonly #classes: readonly ClassPair[];

  /** Entries of one family in any order. */
  constructor(entries: readonly IdentityEntry[]) {
    const sorted = [...entries].sort((a, b) => compareWords(a.prefix.words, b.prefix.words) || a.prefix.length - b.prefix.length);
    const starts: AddressWords[] = [[0, 0, 0, 0]];
    const classes: ClassPair[] = [nowhere];
    const begin = (words: AddressWords, value: ClassPair): void => {
      const last = starts.at(-1);
      if (last !== undefined && compareWords(last, words) === 0) classes[classes.length - 1] = value;
      else {
        starts.push(words);
        classes.push(value);
      }
    };
    const around: IdentityEntry[] = [];
    const leave = (): void => {
      const left = around.pop();
      const next = left === undefined ? undefined : addressAfter(left.prefix);
      if (next !== undefined) begin(next, around.at(-1) ?? nowhere);
    };
    for (const entry of sorted) {
      for (let outer = around.at(-1); outer !== undefined && !isWithin(entry.prefix, outer.prefix); outer = around.at(-1)) leave();
      begin(entry.prefix.words, entry);
      around.push(entry);
    }
    while (around.length > 0) leave();
    this.#starts = Uint32Array.from(starts.flat());
    this.#classes = classes;
  }

  /** Classes of an address; { 0, 0 } outside every prefix. */
  find([w0, w1, w2, w3]: AddressWords): ClassPair {
    const starts = this.#starts;
    let low = 0;
    let high = this.#classes.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      const at = middle * 4;
      const order = (starts[at] ?? 0) - w0 || (starts[at + 1] ?? 0) - w1 || (starts[at + 2] ?? 0) - w2 || (starts[at + 3] ?? 0) - w3;
      if (order <= 0) low = middle;
      else high = middle - 1;
    }
    return this.#classes[low] ?? nowhere;
  }
}

/** The first address behind a prefix; undefined at the end of the address space. */
const addressAfter = ({ words, length }: Prefix): AddressWords | undefined => {
  if (length === 0) return undefined;
  const next: [number, number, number, number] = [words[0], words[1], words[2], words[3]];
  let position = (length - 1) >> 5;
  let step = 2 ** (31 - ((length - 1) & 31));
  for (; position >= 0; position--) {
    const sum = (next[position] ?? 0) + step;
    next[position] = sum >>> 0;
    if (sum < 0x1_0000_0000) return next;
    step = 1;
  }
  return undefined;
};
