/** Interned port sets: equal lists are stored once in the image's interval section. */
import type { IntervalList } from './port-intervals.ts';

export interface PortSet {
  readonly first: number;
  readonly count: number;
}

export class PortSetPool {
  readonly #lists: { readonly list: IntervalList; readonly set: PortSet }[] = [];
  readonly #byHash = new Map<number, number[]>();
  readonly #byObject = new Map<IntervalList, PortSet>();
  #count = 0;

  get intervalCount(): number {
    return this.#count;
  }

  /** The set of a list: one interval is its match in place, more are a range of the section. */
  enter(list: IntervalList): PortSet {
    if (list.length === 2) return { first: list[1] ?? 0, count: 1 };
    const known = this.#byObject.get(list);
    if (known !== undefined) return known;
    const hash = hashOf(list);
    const bucket = this.#byHash.get(hash) ?? [];
    const equal = bucket.map((position) => this.#lists[position]).find((entry) => entry !== undefined && isEqual(entry.list, list));
    const set = equal?.set ?? { first: this.#count, count: list.length / 2 };
    if (equal === undefined) {
      bucket.push(this.#lists.push({ list, set }) - 1);
      this.#byHash.set(hash, bucket);
      this.#count += set.count;
    }
    this.#byObject.set(list, set);
    return set;
  }

  /** [start, match, ...] of all sets, in the order they were entered. */
  intervals(): Uint32Array {
    const all = new Uint32Array(this.#count * 2);
    for (const { list, set } of this.#lists) all.set(list, set.first * 2);
    return all;
  }
}

const hashOf = (list: IntervalList): number => {
  let hash = 0x811c_9dc5;
  for (const word of list) hash = Math.imul(hash ^ word, 0x0100_0193) ^ (hash >>> 15);
  return hash >>> 0;
};

const isEqual = (a: IntervalList, b: IntervalList): boolean => a.length === b.length && a.every((word, position) => word === b[position]);
