/** Reads and checks the deny tables, and finds the list of an address by longest prefix. */
import type { AddressWords } from './address.ts';
import { invalidImage } from './image-invalid.ts';
import { deny4Bytes, deny6Bytes } from './limits.ts';

export interface DenyRanges {
  /** Index of the list that holds the address plus one, 0 = none. */
  find(words: AddressWords): number;
}

/** A deny table. Raises IMAGE_INVALID. */
export const readDenyTable = (
  view: DataView,
  from: { readonly family: 4 | 6; readonly start: number; readonly count: number; readonly lists: number },
): DenyRanges => {
  const width = from.family === 4 ? 1 : 4;
  const size = from.family === 4 ? deny4Bytes : deny6Bytes;
  const words = new Uint32Array(from.count * width);
  const lengths = new Uint8Array(from.count);
  const lists = new Uint16Array(from.count);
  for (let position = 0; position < from.count; position++) {
    const offset = from.start + position * size;
    const length = view.getUint32(offset, true);
    if (length > width * 32) throw invalidImage('a denied prefix is malformed');
    for (let index = 0; index < width; index++) {
      const word = view.getUint32(offset + 4 + index * 4);
      if ((word & hostMask(length - index * 32)) !== 0) throw invalidImage('a denied prefix is malformed');
      words[position * width + index] = word;
    }
    const list = view.getUint32(offset + 4 + width * 4, true);
    if (list >= from.lists) throw invalidImage('a denied prefix names an unknown list');
    lengths[position] = length;
    lists[position] = list + 1;
    if (position > 0 && compareRows({ words, lengths, width }, position - 1, position) >= 0)
      throw invalidImage('denied prefixes are not sorted');
  }
  return new DenyTable({ words, lengths, width }, lists);
};

interface Rows {
  /** `width` words per row. */
  readonly words: Uint32Array;
  readonly lengths: Uint8Array;
  readonly width: number;
}

const compareRows = ({ words, lengths, width }: Rows, a: number, b: number): number => {
  for (let index = 0; index < width; index++) {
    const order = (words[a * width + index] ?? 0) - (words[b * width + index] ?? 0);
    if (order !== 0) return order;
  }
  return (lengths[a] ?? 0) - (lengths[b] ?? 0);
};

/** Bits of a word behind the first `bits`. */
const hostMask = (bits: number): number => (bits >= 32 ? 0 : bits <= 0 ? 0xffff_ffff : 0xffff_ffff >>> bits);

/**
 * Prefixes are nested or disjoint: the last row that starts at or before an address either holds it, or one of the rows
 * around that row does. Each row knows the row around it.
 */
class DenyTable implements DenyRanges {
  readonly #rows: Rows;
  readonly #lists: Uint16Array;
  /** Row around a row plus one, 0 = none. */
  readonly #around: Uint32Array;

  constructor(rows: Rows, lists: Uint16Array) {
    this.#rows = rows;
    this.#lists = lists;
    this.#around = new Uint32Array(lists.length);
    for (let row = 1; row < lists.length; row++) {
      let around = row;
      while (around > 0 && !this.#holds(around - 1, rows.words.subarray(row * rows.width, (row + 1) * rows.width)))
        around = this.#around[around - 1] ?? 0;
      this.#around[row] = around;
    }
  }

  find(words: AddressWords): number {
    const { width } = this.#rows;
    let low = 0;
    let high = this.#lists.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#startsAfter(middle, words, width)) high = middle;
      else low = middle + 1;
    }
    let row = low;
    while (row > 0 && !this.#holds(row - 1, words)) row = this.#around[row - 1] ?? 0;
    return row === 0 ? 0 : (this.#lists[row - 1] ?? 0);
  }

  #startsAfter(row: number, address: AddressWords, width: number): boolean {
    for (let index = 0; index < width; index++) {
      const order = (this.#rows.words[row * width + index] ?? 0) - (address[index] ?? 0);
      if (order !== 0) return order > 0;
    }
    return false;
  }

  #holds(row: number, address: ArrayLike<number>): boolean {
    const { words, lengths, width } = this.#rows;
    const length = lengths[row] ?? 0;
    for (let index = 0; index < width && index * 32 < length; index++) {
      const difference = ((words[row * width + index] ?? 0) ^ (address[index] ?? 0)) & ~hostMask(length - index * 32);
      if (difference !== 0) return false;
    }
    return true;
  }
}
