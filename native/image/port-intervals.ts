/**
 * Port intervals: who wins on which destination port. A list is [start, match, start, match, ...]: sorted by start, the
 * first starts at 0, an interval reaches to the start of the next one, neighbours differ.
 */
import { matchIndex } from './match-word.ts';
import { matchNone, portMax } from './limits.ts';
import type { PortRange } from './port-range.ts';

export type IntervalList = Uint32Array;

/** Ranks of all matches: rank 0 has the largest word. */
export class MatchRanks {
  readonly #words: Uint32Array;
  readonly #rankOfIndex: Uint32Array;

  /** Match words by mapping index. */
  constructor(words: Uint32Array) {
    this.#words = words.slice().sort().reverse();
    this.#rankOfIndex = new Uint32Array(words.length);
    for (let rank = 0; rank < words.length; rank++) this.#rankOfIndex[matchIndex(this.#words[rank] ?? 0)] = rank;
  }

  wordOf(rank: number): number {
    return this.#words[rank] ?? matchNone;
  }

  rankOf(mapping: number): number {
    return this.#rankOfIndex[mapping] ?? 0;
  }
}

/** A piece of somebody's ports as one number that sorts by rank, then start. */
const encodeSegment = (rank: number, first: number, last: number): number => (rank * 65_536 + first) * 65_536 + last;

/** The segments of one mapping; no ranges = all ports. */
export const segmentsOfRanges = (rank: number, ranges: readonly PortRange[], into: number[]): void => {
  if (ranges.length === 0) into.push(encodeSegment(rank, 0, portMax));
  for (const range of ranges) into.push(encodeSegment(rank, range.first, range.last));
};

/** The segments of a list, for merging it with others. */
export const segmentsOfList = (list: IntervalList, ranks: MatchRanks, into: number[]): void => {
  for (let position = 0; position < list.length; position += 2) {
    const match = list[position + 1] ?? matchNone;
    if (match === matchNone) continue;
    into.push(encodeSegment(ranks.rankOf(matchIndex(match)), list[position] ?? 0, (list[position + 2] ?? portMax + 1) - 1));
  }
};

/** The winners of all segments, n log n: each port is painted once, by the best rank first. */
export const resolveSegments = (segments: readonly number[], ranks: MatchRanks): IntervalList => {
  const sorted = Float64Array.from(segments).sort();
  const bounds = boundsOf(sorted);
  const winner = new Int32Array(bounds.length).fill(-1);
  const next = Uint32Array.from({ length: bounds.length + 1 }, (_, position) => position);
  for (const segment of sorted) {
    const last = segment % 65_536;
    const first = Math.floor(segment / 65_536) % 65_536;
    const rank = Math.floor(segment / 4_294_967_296);
    let cell = free(next, positionOf(bounds, first));
    while (cell < bounds.length && (bounds[cell] ?? 0) <= last) {
      winner[cell] = rank;
      next[cell] = cell + 1;
      cell = free(next, cell + 1);
    }
  }
  return joinCells(bounds, winner, ranks);
};

/** Distinct starts of everything, with 0. */
const boundsOf = (segments: Float64Array): Uint32Array => {
  const bounds = new Uint32Array(segments.length * 2 + 1);
  for (const [position, segment] of segments.entries()) {
    bounds[position * 2 + 1] = Math.floor(segment / 65_536) % 65_536;
    bounds[position * 2 + 2] = (segment % 65_536) + 1;
  }
  bounds.sort();
  let count = 0;
  for (const bound of bounds) if (bound <= portMax && (count === 0 || bounds[count - 1] !== bound)) bounds[count++] = bound;
  return bounds.subarray(0, count);
};

const positionOf = (bounds: Uint32Array, start: number): number => {
  let low = 0;
  let high = bounds.length - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((bounds[middle] ?? 0) < start) low = middle + 1;
    else high = middle;
  }
  return low;
};

/** First unpainted cell from here on, with path halving. */
const free = (next: Uint32Array, from: number): number => {
  let cell = from;
  for (;;) {
    const step = next[cell] ?? cell;
    if (step === cell) return cell;
    const beyond = next[step] ?? step;
    next[cell] = beyond;
    cell = beyond;
  }
};

const joinCells = (bounds: Uint32Array, winner: Int32Array, ranks: MatchRanks): IntervalList => {
  const list = new Uint32Array(bounds.length * 2);
  let length = 0;
  let previous = -2;
  for (const [cell, rank] of winner.entries()) {
    if (rank === previous) continue;
    list[length++] = bounds[cell] ?? 0;
    list[length++] = rank < 0 ? matchNone : ranks.wordOf(rank);
    previous = rank;
  }
  return list.slice(0, length);
};
