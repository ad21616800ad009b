/**
 * The pair table under construction. Mappings with the same sources, destinations and protocols form a group; a key
 * (source class, destination class, transport) remembers the chain of groups that reached it as one interned number, so
 * that equal chains are merged into port intervals once, however many keys have them.
 */
import { compileWorkMax, l4Bit, l4Count, pairsMax } from './limits.ts';
import { resolveSegments, segmentsOfList } from './port-intervals.ts';
import type { IntervalList, MatchRanks } from './port-intervals.ts';
import { NumberTable } from './number-table.ts';

export interface MappingGroup {
  /** Sorted classes; [0] for "any". */
  readonly sources: readonly number[];
  readonly destinations: readonly number[];
  readonly l4Mask: number;
  /** Segments of all its mappings, see port-intervals.ts. */
  readonly segments: number[];
  /** Mapping indexes, for naming the one that crossed a limit. */
  readonly firstMapping: number;
  lastMapping: number;
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

export class PairTableBuilder {
  readonly #groups: readonly MappingGroup[];
  readonly #lists: IntervalList[] = [];
  readonly #chains: { readonly parent: number; readonly group: number }[] = [{ parent: 0, group: -1 }];
  readonly #next = new NumberTable();
  readonly #chainOfPair = new NumberTable();
  readonly #chainLists = new Map<number, IntervalList>();
  readonly #ranks: MatchRanks;
  #work = 0;

  /** Raises TableLimitExceeded. */
  constructor(groups: readonly MappingGroup[], ranks: MatchRanks) {
    this.#groups = groups;
    this.#ranks = ranks;
    for (const group of groups) {
      this.#spend(group.segments.length, group.lastMapping);
      this.#lists.push(resolveSegments(group.segments, ranks));
    }
  }

  /** Enters every group. Class families tell which pairs can ever meet: bit 1 IPv4, bit 2 IPv6. */
  fill(sourceFamilies: readonly number[], destinationFamilies: readonly number[]): void {
    const destinationCount = destinationFamilies.length - 1;
    for (const [position, group] of this.#groups.entries()) {
      for (const source of group.sources) {
        this.#spend(group.destinations.length, group.firstMapping);
        for (const destination of group.destinations) {
          if (((sourceFamilies[source] ?? 0) & (destinationFamilies[destination] ?? 0)) === 0) continue;
          for (let l4 = 1; l4 <= l4Count; l4++) {
            if ((group.l4Mask & l4Bit(l4)) === 0) continue;
            const pair = pairNumber(source, destination, { destinationCount, l4 });
            this.#chainOfPair.set(pair, this.#follow(this.#chainOfPair.get(pair), position));
          }
          if (this.#chainOfPair.size > pairsMax) throw new TableLimitExceeded('pairs', group.firstMapping);
        }
      }
    }
  }

  /** Pair numbers, ascending. */
  pairs(): Float64Array {
    return this.#chainOfPair.sortedKeys();
  }

  /** Winners of a pair by port, and the mapping that came last, for naming it. Equal chains give the same list object. */
  listOf(pair: number): { readonly list: IntervalList; readonly lastMapping: number } {
    const chain = this.#chainOfPair.get(pair);
    const lastGroup = this.#groups[this.#chains[chain]?.group ?? 0];
    const lastMapping = lastGroup?.lastMapping ?? 0;
    let list = this.#chainLists.get(chain);
    if (list === undefined) this.#chainLists.set(chain, (list = this.#merge(chain, lastMapping)));
    return { list, lastMapping };
  }

  #merge(chain: number, mapping: number): IntervalList {
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

  /** The chain that continues `chain` with a group. */
  #follow(chain: number, group: number): number {
    const step = chain * this.#groups.length + group;
    let next = this.#next.get(step);
    if (next === 0) {
      this.#spend(chainWork, this.#groups[group]?.firstMapping ?? 0);
      next = this.#chains.push({ parent: chain, group }) - 1;
      this.#next.set(step, next);
    }
    return next;
  }

  #spend(work: number, mapping: number): void {
    this.#work += work;
    if (this.#work > compileWorkMax) throw new TableLimitExceeded('work', mapping);
  }
}
