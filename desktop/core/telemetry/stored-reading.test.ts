import { describe, expect, it } from 'vitest';
import { HostStatus } from '../../../proto/gen/nest/v1/host.ts';
import type { Reading } from './reading.ts';
import { readingOf, storedReading } from './stored-reading.ts';
import { historyMax, Telemetry } from './telemetry.ts';

const start = 1_790_000_000_000;

const reading = (): Reading => {
  const telemetry = new Telemetry(null);
  for (let second = 0; second <= historyMax; second += 1) {
    const reasons = { 3: { packets: BigInt(second * second), bytes: 0n }, 9: { packets: BigInt(second), bytes: 0n } };
    const status = HostStatus.fromPartial({ timeMs: BigInt(start + second * 997), interfaces: [{ name: 'lan0', reasons }] });
    telemetry.take(status, { at: start + second * 997, monotonicMs: second * 997 });
  }
  return telemetry.reading as Reading;
};

describe('a stored reading', () => {
  it('gives the reading back, rates to the thousandth, in less than half of the room', () => {
    const made = reading();
    expect(made.history).toHaveLength(historyMax);
    const text = JSON.stringify(storedReading(made));
    expect(text.length).toBeLessThan(JSON.stringify(made).length / 2);
    const back = readingOf(JSON.parse(text) as Reading);
    expect({ ...back, history: [], packetsHistory: [] }).toEqual(JSON.parse(JSON.stringify({ ...made, history: [], packetsHistory: [] })));
    for (const [index, { at, allowed, denied }] of made.history.entries()) {
      expect(back.history[index]?.at).toBe(at);
      expect(back.history[index]?.allowed).toBeCloseTo(allowed, 3);
      expect(back.history[index]?.denied).toBeCloseTo(denied, 3);
    }
    expect(back.packetsHistory).toHaveLength(historyMax);
  });

  it('is read in the form of earlier versions, too', () => {
    const made = reading();
    expect(readingOf(made)).toBe(made);
  });
});
