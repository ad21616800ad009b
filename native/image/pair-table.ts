/**
 * The pair table. Mappings with the same sources, destinations and protocols form a group; a key (source class, destination
 * class, transport) remembers the chain of groups that reached it as one interned number, so that equal chains are merged into
 * port intervals once, however many keys have them. When one group changes, only chains with that group are merged again.
 */
import { compileWorkMax, l4Bit, l4Count, pairsMax } from './limits.ts';
import { resolveSegments, segmentsOfList } from './port-intervals.ts';
import type { IntervalList, MatchRanks } from './port-intervals.ts';
import { PortSetPool } from './port-set-pool.ts';
import { NumberTable } from './number-table.ts';

export interface MappingGroup {
  /** Sorted classes; [0] for "any". */
  readonly sources: readonly number[];
  readonly destinations: readonly number[];
  readonly l4Mask: number;
  /** Mapping indexes, ascending. Empty when all have left: its pairs then say nothing. */
  members: readonly number[];
}

export class TableLimitExceeded extends Error {
  readonly limit: 'pairs' | 'portIntervals' | 'work';
  readonly mapping: number;

  constructor(limit: 'pairs' | 'portIntervals' | 'work', mapping: number) {
    super(`more than the limit of ${limit}`);
    this.limit = limit;
    this.mapping = mapping;
  }
}

/** Number of a pair key; ascending numbers are the image's order. */
export const pairNumber = (source: number, destination: number, key: { readonly destinationCount: number; readonly l4: number }): number =>
  (source * (key.destinationCount + 1) + destination) * l4Count + key.l4 - 1;

/** What a new chain costs in units of work: it takes memory, a visited cell does not. */
const chainWork = 4;
/** Visiting a cell makes at most one chain per transport: no order of the groups needs more than this many times the work of another. */
export const workSpread = 1 + chainWork * l4Count;

/** What a group says: segments of its members' ports, see port-intervals.ts. */
export type SegmentsOf = (group: MappingGroup) => readonly number[];

export interface ClassFamilies {
  /** By class, bit 1: it occurs in IPv4, bit 2: in IPv6. They tell which pairs can ever meet. */
  readonly source: readonly number[];
  readonly destination: readonly number[];
}

export class PairTable {
  readonly pool = new PortSetPool();
  readonly #families: ClassFamilies;
  readonly #groups: MappingGroup[] = [];
  readonly #lists: IntervalList[] = [];
  readonly #chains: { readonly parent: number; readonly group: number }[] = [{ parent: 0, group: -1 }];
  readonly #next = new NumberTable();
  readonly #chainOfPair = new NumberTable();
  /** Number in the pool plus one by chain, 0 = to be merged. */
  readonly #listOfChain: number[] = [0];
  #ranks: MatchRanks;
  #keys: Float64Array | undefined;
  #chainAt = new Uint32Array();
  #work = 0;

  constructor(families: ClassFamilies, ranks: MatchRanks) {
    this.#families = families;
    this.#ranks = ranks;
  }

  /** Units spent so far, never less than what the table as it is now took. */
  get work(): number {
    return this.#work;
  }

  /** Adds groups, all lists first, so that a limit names the mapping it did when everything is new. Raises TableLimitExceeded. */
  add(groups: readonly MappingGroup[], segmentsOf: SegmentsOf): void {
    if (groups.length === 0) return;
    const first = this.#groups.length;
    for (const group of groups) {
      this.#groups.push(group);
      this.#lists.push(this.#resolve(group, segmentsOf));
    }
    for (let position = first; position < this.#groups.length; position++) this.#fill(position);
    this.#keys = undefined;
  }

  /** Says anew what a group that is already here says. */
  refresh(position: number, segmentsOf: SegmentsOf): void {
    const group = this.#groups[position];
    if (group === undefined) return;
    this.#lists[position] = this.#resolve(group, segmentsOf);
    const isTouched = new Uint8Array(this.#chains.length);
    for (const [number, chain] of this.#chains.entries()) {
      if (chain.group !== position && isTouched[chain.parent] === 0) continue;
      isTouched[number] = 1;
      this.#listOfChain[number] = 0;
    }
  }

  /** Ranks after priorities or actions have changed; the groups of those mappings must be refreshed. */
  rank(ranks: MatchRanks): void {
    this.#ranks = ranks;
  }

  /** Pair numbers, ascending; those of groups without members are among them. */
  keys(): Float64Array {
    if (this.#keys === undefined) {
      this.#keys = this.#chainOfPair.sortedKeys();
      this.#chainAt = Uint32Array.from(this.#keys, (pair) => this.#chainOfPair.get(pair));
    }
    return this.#keys;
  }

  /** Number in the pool of the winners of `keys()[position]`. */
  listAt(position: number): number {
    const chain = this.#chainAt[position] ?? 0;
    const known = this.#listOfChain[chain] ?? 0;
    if (known !== 0) return known - 1;
    const list = this.pool.intern(this.#merge(chain));
    this.#listOfChain[chain] = list + 1;
    return list;
  }

  /** The mapping that came last to `keys()[position]`, for naming it. */
  lastMappingAt(position: number): number {
    return this.#lastMapping(this.#chainAt[position] ?? 0);
  }

  #resolve(group: MappingGroup, segmentsOf: SegmentsOf): IntervalList {
    const segments = segmentsOf(group);
    this.#spend(segments.length, group.members.at(-1) ?? 0);
    return resolveSegments(segments, this.#ranks);
  }

  #fill(position: number): void {
    const group = this.#groups[position];
    if (group === undefined) return;
    const firstMapping = group.members[0] ?? 0;
    const destinationCount = this.#families.destination.length - 1;
    for (const source of group.sources) {
      this.#spend(group.destinations.length, firstMapping);
      for (const destination of group.destinations) {
        if (((this.#families.source[source] ?? 0) & (this.#families.destination[destination] ?? 0)) === 0) continue;
        for (let l4 = 1; l4 <= l4Count; l4++) {
          if ((group.l4Mask & l4Bit(l4)) === 0) continue;
          const pair = pairNumber(source, destination, { destinationCount, l4 });
          this.#chainOfPair.set(pair, this.#follow(this.#chainOfPair.get(pair), position));
        }
        if (this.#chainOfPair.size > pairsMax) throw new TableLimitExceeded('pairs', firstMapping);
      }
    }
  }

  #merge(chain: number): IntervalList {
    const mapping = this.#lastMapping(chain);
    const segments: number[] = [];
    let single: IntervalList | undefined;
    let count = 0;
    for (let step = this.#chains[chain]; step !== undefined && step.group >= 0; step = this.#chains[step.parent]) {
      const list = this.#lists[step.group];
      if (list === undefined) continue;
      single = list;
      count++;
      this.#spend(list.length / 2, mapping);
      segmentsOfList(list, this.#ranks, segments);
    }
    return count === 1 && single !== undefined ? single : resolveSegments(segments, this.#ranks);
  }

  #lastMapping(chain: number): number {
    return this.#groups[this.#chains[chain]?.group ?? 0]?.members.at(-1) ?? 0;
  }

  /** The chain that continues `chain` with a group. */
  #follow(chain: number, group: number): number {
    const step = chain * groupsMax + group;
    let next = this.#next.get(step);
    if (next === 0) {
      this.#spend(chainWork, this.#groups[group]?.members[0] ?? 0);
      next = this.#chains.push({ parent: chain, group }) - 1;
      this.#listOfChain.push(0);
      this.#next.set(step, next);
    }
    return next;
  }

  #spend(work: number, mapping: number): void {
    this.#work += work;
    if (this.#work > compileWorkMax) throw new TableLimitExceeded('work', mapping);
  }
}

/** More groups than any table ever has: its mappings, and one for each unit of work spent on changes. */
const groupsMax = compileWorkMax * 2;
