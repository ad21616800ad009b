import { describe, expect, it } from 'vitest';
import { createManualClock } from '../lib/manual-clock.ts';
import { createSourceRate } from './source-rate.ts';

describe('rate per source', () => {
  const clock = createManualClock();
  const rate = createSourceRate({ perSecond: 20, sourcesMax: 3, monotonicMs: () => clock.monotonicMs() });
  const burst = (source: string, count: number): number => Array.from({ length: count }, () => rate.take(source)).filter(Boolean).length;

  it('grants twenty at once, then one each fifty milliseconds, to each source alone', () => {
    expect(burst('198.18.0.1', 30)).toBe(20);
    expect(burst('198.18.0.2', 30)).toBe(20);
    clock.advance(49);
    expect(burst('198.18.0.1', 1)).toBe(0);
    clock.advance(2);
    expect(burst('198.18.0.1', 2)).toBe(1);
    clock.advance(3_600_000);
    expect(burst('198.18.0.1', 30)).toBe(20);
  });

  it('remembers a bounded number of sources and forgets the longest quiet one', () => {
    for (let host = 10; host < 14; host++) burst(`198.18.0.${host}`, 20);
    expect([burst('198.18.0.13', 1), burst('198.18.0.10', 1)]).toEqual([0, 1]);
  });
});
