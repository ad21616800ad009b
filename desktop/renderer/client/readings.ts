/** Rates from counters: what grew between two readings, divided by the time between them. One reading is no rate, and a kept one neither. */
import { useState } from 'react';

export interface Reading {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly live: boolean;
}

/** Readings older than this are forgotten, milliseconds. */
export const readingsKeptMs = 30_000;
/** At most so many are kept, whatever their age. */
const readingsMax = 64;

/**
 * The kept readings with the next one behind them. They begin anew when the host is not there, when time runs backwards, and
 * when `isSame` says that the counters began anew (another revision).
 */
export const keepReading = <Value extends Reading>(
  kept: readonly Value[],
  next: Value,
  isSame: (before: Value, after: Value) => boolean,
): readonly Value[] => {
  const last = kept.at(-1);
  if (last === undefined || !next.live || !last.live || next.at <= last.at || !isSame(last, next)) return [next];
  return [...kept.filter(({ at }) => next.at - at <= readingsKeptMs).slice(1 - readingsMax), next];
};

const isAlwaysSame = (): boolean => true;

/** Collects the readings of a query that is asked again and again, oldest first; empty before the first. `isSame` must not change. */
export const useReadings = <Value extends Reading>(
  next: Value | undefined,
  isSame: (before: Value, after: Value) => boolean = isAlwaysSame,
): readonly Value[] => {
  const [kept, setKept] = useState<readonly Value[]>([]);
  if (next === undefined || next === kept.at(-1)) return kept;
  const readings = keepReading(kept, next, isSame);
  // A value that depends on the last one: set while rendering, as React asks for, instead of in an effect one frame later.
  setKept(readings);
  return readings;
};

const growthBetween = <Value extends Reading>(
  before: Value | undefined,
  after: Value | undefined,
  count: (reading: Value) => number | undefined,
): number | null => {
  if (before === undefined || after === undefined || before === after) return null;
  const [first, last] = [count(before), count(after)];
  // A counter that shrank began anew: what grew since is not known.
  return first === undefined || last === undefined || last < first ? null : last - first;
};

/** Growth a second between the last two readings; null until there are two. */
export const ratePerSecond = <Value extends Reading>(
  readings: readonly Value[],
  count: (reading: Value) => number | undefined,
): number | null => {
  const [before, after] = [readings.at(-2), readings.at(-1)];
  const grown = growthBetween(before, after, count);
  return grown === null || before === undefined || after === undefined ? null : (grown * 1_000) / (after.at - before.at);
};

/** Growth from the oldest kept reading to the newest; null until there are two. */
export const growthOf = <Value extends Reading>(readings: readonly Value[], count: (reading: Value) => number | undefined): number | null =>
  growthBetween(readings[0], readings.at(-1), count);

/** Seconds between the oldest and the newest kept reading. */
export const secondsOf = (readings: readonly Reading[]): number => ((readings.at(-1)?.at ?? 0) - (readings[0]?.at ?? 0)) / 1_000;
