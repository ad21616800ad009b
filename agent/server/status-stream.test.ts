import { describe, expect, it } from 'vitest';
import { HostStatus } from '../../proto/gen/nest/v1/host.ts';
import type { WatchStatusResponse } from '../../proto/gen/nest/v1/host.ts';
import { addDelta } from '../../proto/model/status-delta.ts';
import { queueMax, statusDeltas, statusesInto, wholeStatuses } from './status-stream.ts';
import type { Telling } from './status-stream.ts';

const stateAt = (second: number): HostStatus =>
  HostStatus.fromPartial({
    timeMs: BigInt(second * 1000),
    memoryTotalBytes: 1000n,
    interfaces: [{ name: 'lan0', receivedPackets: BigInt(second * 10), reasons: { 3: { packets: BigInt(second), bytes: 0n } } }],
  });

/** A reader whose window is as wide as the test says. */
const reading = (tell: Telling) => {
  const sent: WatchStatusResponse[] = [];
  const waiting: (() => void)[] = [];
  const take = statusesInto({ write: (message, left) => (sent.push(message), waiting.push(left)) }, tell);
  return { take, sent, leave: () => waiting.shift()?.() };
};

describe('the statuses that a reader is sent', () => {
  it('are the newest when it is too slow, with the count of those it missed', () => {
    const { take, sent, leave } = reading(wholeStatuses());
    for (let second = 0; second < queueMax + 4; second += 1) take(stateAt(second));
    expect(sent).toHaveLength(1);
    for (let more = 0; more < queueMax + 3; more += 1) leave();
    expect(sent.map(({ position, status }) => [position?.sequence, position?.lost, Number(status?.timeMs) / 1000])).toEqual([
      [1n, 0n, 0],
      ...Array.from({ length: queueMax }, (_unused, index) => [BigInt(index + 2), 3n, index + 4]),
    ]);
    take(stateAt(99));
    expect(sent).toHaveLength(queueMax + 2);
  });

  it('are exact as differences, whatever was missed between them', () => {
    const { take, sent, leave } = reading(statusDeltas({ monotonicMs: () => 0 }));
    const own = stateAt(0);
    for (let second = 0; second < 40; second += 1) {
      take(stateAt(second));
      if (second % 3 === 0) leave();
    }
    for (let more = 0; more < 20; more += 1) leave();
    expect(sent[0]?.status).toEqual(stateAt(0));
    for (const { delta } of sent.slice(1)) if (delta !== undefined) addDelta(own, delta);
    expect(own).toEqual(stateAt(39));
    expect(sent.at(-1)?.position?.lost).toBeGreaterThan(0n);
  });

  it('are none while nothing happens, but for a heartbeat', () => {
    let nowMs = 0;
    const { take, sent, leave } = reading(statusDeltas({ monotonicMs: () => nowMs }));
    for (; nowMs < 11_000; nowMs += 1_000) {
      take({ ...stateAt(1), timeMs: BigInt(nowMs) });
      leave();
    }
    expect(sent.map(({ status, delta }) => Number(status?.timeMs ?? delta?.timeMs))).toEqual([0, 5_000, 10_000]);
  });
});
