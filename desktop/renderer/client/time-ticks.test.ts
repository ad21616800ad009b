import { describe, expect, it } from 'vitest';
import { timeTicks } from './time-ticks.ts';
import { formatTime } from './units.ts';

describe('times on an axis', () => {
  it('never repeats a label, whatever the span', () => {
    for (const seconds of [1, 4, 12, 40, 90, 200, 300, 900, 4_000]) {
      const { at, hasSeconds } = timeTicks(1_700_000_003_000, 1_700_000_003_000 + seconds * 1_000);
      const labels = at.map((time) => formatTime(time).slice(0, hasSeconds ? 8 : 5));
      expect(new Set(labels).size, String(seconds)).toBe(labels.length);
      expect(at.length).toBeLessThanOrEqual(7);
    }
  });

  it('stands on round times inside the span', () => {
    expect(timeTicks(1_700_000_003_000, 1_700_000_303_000)).toEqual({
      at: [1_700_000_040_000, 1_700_000_100_000, 1_700_000_160_000, 1_700_000_220_000, 1_700_000_280_000],
      hasSeconds: false,
    });
  });
});
