import { describe, expect, it } from 'vitest';
import { createFloodSwitch, floodOffPerSecond, floodOnPerSecond } from './flood-switch.ts';

/** Feeds one reading a second with these misses a second; returns after which readings the mode changed. */
const run = (rates: readonly number[]): { readonly changes: readonly number[]; readonly isOn: boolean } => {
  const flood = createFloodSwitch();
  let judged = 0n;
  flood.sample(judged, 0);
  const changes: number[] = [];
  for (const [second, rate] of rates.entries()) {
    judged += BigInt(rate);
    if (flood.sample(judged, (second + 1) * 1000)) changes.push(second);
  }
  return { changes, isOn: flood.isOn };
};

const times = (count: number, rate: number): number[] => Array.from({ length: count }, () => rate);

describe('the flood switch', () => {
  it('turns on after two readings above the limit', () => {
    expect(run(times(3, floodOnPerSecond))).toEqual({ changes: [1], isOn: true });
  });

  it('stays off for bursts of one reading', () => {
    expect(run([90_000, 10, 90_000, 10, 90_000])).toEqual({ changes: [], isOn: false });
  });

  it('stays on between the limits and turns off after ten quiet readings in a row', () => {
    const between = (floodOnPerSecond + floodOffPerSecond) / 2;
    expect(run([...times(2, 60_000), ...times(30, between)])).toEqual({ changes: [1], isOn: true });
    expect(run([...times(2, 60_000), ...times(9, 0), between, ...times(9, 0)])).toEqual({ changes: [1], isOn: true });
    expect(run([...times(2, 60_000), ...times(10, floodOffPerSecond)])).toEqual({ changes: [1, 11], isOn: false });
  });

  it('takes the time between readings into account', () => {
    const flood = createFloodSwitch();
    flood.sample(0n, 0);
    flood.sample(100_000n, 4_000);
    expect(flood.missesPerSecond).toBe(25_000);
  });

  it('is not fooled by a data path that was loaded anew', () => {
    const flood = createFloodSwitch();
    flood.sample(10_000_000n, 0);
    expect(flood.sample(5n, 1000)).toBe(false);
    expect(flood.missesPerSecond).toBeNull();
    flood.sample(105n, 2000);
    expect(flood.missesPerSecond).toBe(100);
  });
});
