import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createFlowDeltas } from './flow-deltas.ts';
import type { FlowDelta, FlowDeltas } from './flow-deltas.ts';
import { testRecord } from './test-records.ts';
import type { RecordFields } from './test-records.ts';

const see = (deltas: FlowDeltas, fields: RecordFields): readonly bigint[] => {
  const { forwardPackets, forwardBytes, reversePackets, reverseBytes } = deltas.observe(testRecord(fields), fields.tcpFlags ?? 0);
  return [forwardPackets, forwardBytes, reversePackets, reverseBytes];
};
const counts = (forward: bigint, reverse: bigint): Pick<RecordFields, 'packets' | 'bytes'> => ({
  packets: [forward, reverse],
  bytes: [forward * 100n, reverse * 1000n],
});
const nothing = [0n, 0n, 0n, 0n];
const walked = (deltas: FlowDeltas, rows: readonly RecordFields[]): readonly (readonly bigint[])[] => {
  deltas.beginWalk();
  const seen = rows.map((row) => see(deltas, row));
  deltas.endWalk(true);
  return seen;
};

describe('deltas of a flow', () => {
  it('add up to what it carried, and are told with all flags so far', () => {
    const deltas = createFlowDeltas(8, 0);
    expect(see(deltas, { kind: 'start', ...counts(1n, 0n), tcpFlags: 2 })).toEqual([1n, 100n, 0n, 0n]);
    expect(walked(deltas, [{ kind: 'live', timeMs: 60_000, ...counts(11n, 7n) }])).toEqual([[10n, 1000n, 7n, 7000n]]);
    expect(walked(deltas, [{ kind: 'live', timeMs: 60_000, ...counts(11n, 7n) }])).toEqual([nothing]);
    const end = deltas.observe(testRecord({ kind: 'end', timeMs: 90_000, ...counts(12n, 9n), tcpFlags: 17 }), 17);
    expect(end).toEqual({ forwardPackets: 1n, forwardBytes: 100n, reversePackets: 2n, reverseBytes: 2000n, tcpFlags: 19 });
    expect(deltas.size).toBe(0);
  });

  it('are the packet itself for a denied one, each time', () => {
    const deltas = createFlowDeltas(8, 0);
    for (let time = 0; time < 3; time++) expect(see(deltas, { kind: 'deny', ...counts(1n, 0n) })).toEqual([1n, 100n, 0n, 0n]);
    expect(deltas.size).toBe(0);
  });

  it('leave out what a flow carried before the agent began, and go on from there', () => {
    const deltas = createFlowDeltas(8, 5000);
    expect(walked(deltas, [{ kind: 'live', startMs: 1000, timeMs: 4000, ...counts(50n, 50n) }])).toEqual([nothing]);
    expect(see(deltas, { kind: 'end', startMs: 1000, timeMs: 7000, ...counts(53n, 50n) })).toEqual([3n, 300n, 0n, 0n]);
    expect(see(deltas, { kind: 'end', startMs: 1000, timeMs: 7000, sourcePort: 1, ...counts(9n, 9n) })).toEqual(nothing);
    expect(see(deltas, { kind: 'end', startMs: 6000, timeMs: 7000, sourcePort: 2, ...counts(9n, 0n) })).toEqual([9n, 900n, 0n, 0n]);
  });

  it('begin anew for a later flow between the same endpoints, and ignore news of the earlier one', () => {
    const deltas = createFlowDeltas(8, 0);
    see(deltas, { kind: 'start', startMs: 1000, ...counts(40n, 40n) });
    expect(see(deltas, { kind: 'start', startMs: 9000, ...counts(1n, 0n) })).toEqual([1n, 100n, 0n, 0n]);
    expect(see(deltas, { kind: 'end', startMs: 1000, timeMs: 8000, ...counts(60n, 60n) })).toEqual(nothing);
    expect(see(deltas, { kind: 'end', startMs: 9000, timeMs: 9500, ...counts(4n, 0n) })).toEqual([3n, 300n, 0n, 0n]);
  });

  it('count nothing twice when a flow ends while an older dump is read', () => {
    const deltas = createFlowDeltas(8, 0);
    see(deltas, { kind: 'start', ...counts(1n, 0n) });
    deltas.beginWalk();
    expect(see(deltas, { kind: 'end', timeMs: 2000, ...counts(9n, 0n) })).toEqual([8n, 800n, 0n, 0n]);
    expect(see(deltas, { kind: 'live', timeMs: 1900, ...counts(8n, 0n) })).toEqual(nothing);
    deltas.endWalk(true);
    expect(deltas.size).toBe(0);
  });

  it('go on for a flow that was cut and is allowed again', () => {
    const deltas = createFlowDeltas(8, 0);
    see(deltas, { kind: 'start', ...counts(1n, 0n) });
    expect(see(deltas, { kind: 'rejudged', timeMs: 2000, ...counts(5n, 5n), reason: 'POLICY_DENY' })).toEqual([4n, 400n, 5n, 5000n]);
    for (let walk = 0; walk < 10; walk++) walked(deltas, []);
    expect(walked(deltas, [{ kind: 'live', timeMs: 9000, ...counts(6n, 5n) }])).toEqual([[1n, 100n, 0n, 0n]]);
  });

  it('forget a flow that three complete dumps have not shown, but not after a truncated one', () => {
    const deltas = createFlowDeltas(8, 0);
    see(deltas, { kind: 'start' });
    for (let walk = 0; walk < 5; walk++) {
      deltas.beginWalk();
      deltas.endWalk(false);
    }
    expect(deltas.size).toBe(1);
    walked(deltas, []);
    expect(deltas.size).toBe(0);
  });

  it('hold at most so many flows, say how many were forgotten, and never count one of those twice', () => {
    const deltas = createFlowDeltas(2000, 0);
    for (let port = 0; port < 2010; port++) see(deltas, { kind: 'start', sourcePort: port, startMs: 1000 + port, ...counts(5n, 0n) });
    expect([deltas.size, deltas.forgotten]).toEqual([2000, 10]);
    expect(see(deltas, { kind: 'end', sourcePort: 3, startMs: 1003, timeMs: 9000, ...counts(9n, 0n) })).toEqual(nothing);
    expect(see(deltas, { kind: 'end', sourcePort: 2005, startMs: 3005, timeMs: 9000, ...counts(9n, 0n) })).toEqual([4n, 400n, 0n, 0n]);
  });

  it('are never negative and add up, in whatever order starts, dumps and ends come', () => {
    const step = fc.record({
      port: fc.integer({ min: 1, max: 4 }),
      what: fc.constantFrom('start', 'live', 'end' as const),
      more: fc.tuple(fc.bigInt({ min: 0n, max: 9n }), fc.bigInt({ min: 0n, max: 9n })),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const deltas = createFlowDeltas(100, 0);
        const flows = new Map<number, { readonly startMs: number; carried: [bigint, bigint]; told: [bigint, bigint] }>();
        steps.forEach(({ port, what, more }, index) => {
          const timeMs = 1000 + index * 100;
          const flow = flows.get(port) ?? { startMs: timeMs, carried: [1n, 0n], told: [0n, 0n] };
          flow.carried = [flow.carried[0] + more[0], flow.carried[1] + more[1]];
          const delta: FlowDelta = deltas.observe(
            testRecord({ kind: what, sourcePort: port, startMs: flow.startMs, timeMs, packets: flow.carried }),
            0,
          );
          expect(delta.forwardPackets >= 0n && delta.reversePackets >= 0n).toBe(true);
          flow.told = [flow.told[0] + delta.forwardPackets, flow.told[1] + delta.reversePackets];
          expect(flow.told).toEqual(flow.carried);
          if (what === 'end') flows.delete(port);
          else flows.set(port, flow);
        });
      }),
    );
  });
});
