import { describe, expect, it } from 'vitest';
import { growthOf, keepReading, ratePerSecond, readingsKeptMs, secondsOf } from './readings.ts';

interface Count {
  readonly at: number;
  readonly live: boolean;
  readonly packets: number;
  readonly revision: number;
}

const reading = (at: number, packets: number, part: Partial<Count> = {}): Count => ({ at, packets, live: true, revision: 1, ...part });
const keep = (...readings: readonly Count[]): readonly Count[] =>
  readings.reduce<readonly Count[]>((kept, next) => keepReading(kept, next, (before, after) => before.revision === after.revision), []);
const rate = (...readings: readonly Count[]): number | null => ratePerSecond(keep(...readings), ({ packets }) => packets);

describe('rates from readings', () => {
  it('knows none before the second reading, then what grew a second', () => {
    expect([rate(), rate(reading(0, 5)), rate(reading(0, 5), reading(2_000, 25))]).toEqual([null, null, 10]);
  });

  it('invents nothing when the host is gone, the counter shrank, the revision changed or time ran back', () => {
    expect([
      rate(reading(0, 5), reading(2_000, 25, { live: false })),
      rate(reading(0, 5, { live: false }), reading(2_000, 25)),
      rate(reading(0, 50), reading(2_000, 25)),
      rate(reading(0, 5), reading(2_000, 25, { revision: 2 })),
      rate(reading(2_000, 5), reading(2_000, 25)),
      ratePerSecond(keep(reading(0, 1), reading(1_000, 2)), () => undefined),
    ]).toEqual([null, null, null, null, null, null]);
  });

  it('grows over the kept time, and forgets what is older', () => {
    const readings = keep(...Array.from({ length: 40 }, (_, index) => reading(index * 2_000, index * 10)));
    expect([secondsOf(readings), growthOf(readings, ({ packets }) => packets)]).toEqual([readingsKeptMs / 1_000, 150]);
  });
});
