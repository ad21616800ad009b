/** Interned port sets: equal lists have one number, and are stored once in the image's interval section. */
import { matchNone } from './limits.ts';
import type { IntervalList } from './port-intervals.ts';

export class PortSetPool {
  readonly #lists: IntervalList[] = [];
  readonly #byHash = new Map<number, number[]>();

  get size(): number {
    return this.#lists.length;
  }

  /** Number of a list; equal lists have the same. */
  intern(list: IntervalList): number {
    const hash = hashOf(list);
    const bucket = this.#byHash.get(hash);
    const known = bucket?.find((number) => isEqual(this.#lists[number] ?? nothing, list));
    if (known !== undefined) return known;
    const number = this.#lists.push(list) - 1;
    if (bucket === undefined) this.#byHash.set(hash, [number]);
    else bucket.push(number);
    return number;
  }

  /** The list of a number. */
  listOf(number: number): IntervalList {
    return this.#lists[number] ?? nothing;
  }
}

/** The interval section under construction: sets lie in the order in which pairs first use them. */
export class PortSetSection {
  readonly #pool: PortSetPool;
  /** First interval plus one by list number, 0 = not used yet. */
  readonly #firsts: Uint32Array;
  readonly #used: number[] = [];
  #count = 0;

  /** For the lists that the pool has now. */
  constructor(pool: PortSetPool) {
    this.#pool = pool;
    this.#firsts = new Uint32Array(pool.size);
  }

  get intervalCount(): number {
    return this.#count;
  }

  /** Writes { first, count } of a list to `into` at `at`: one interval is its match in place, more are a range of the section. */
  enter(number: number, into: Uint32Array, at: number): void {
    const list = this.#pool.listOf(number);
    const count = list.length / 2;
    into[at + 1] = count;
    if (count === 1) {
      into[at] = list[1] ?? matchNone;
      return;
    }
    if (this.#firsts[number] === 0) {
      this.#firsts[number] = this.#count + 1;
      this.#used.push(number);
      this.#count += count;
    }
    into[at] = (this.#firsts[number] ?? 1) - 1;
  }

  /** [start, match, ...] of all sets. */
  intervals(): Uint32Array {
    const all = new Uint32Array(this.#count * 2);
    let offset = 0;
    for (const number of this.#used) {
      const list = this.#pool.listOf(number);
      all.set(list, offset);
      offset += list.length;
    }
    return all;
  }
}

const nothing: IntervalList = new Uint32Array(2);

const hashOf = (list: IntervalList): number => {
  let hash = 0x811c_9dc5;
  for (const word of list) hash = Math.imul(hash ^ word, 0x0100_0193) ^ (hash >>> 15);
  return hash >>> 0;
};

const isEqual = (a: IntervalList, b: IntervalList): boolean => a.length === b.length && a.every((word, position) => word === b[position]);
