import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HostStatus, InterfaceStatus, PolicyStatus_Mode, StatusDelta } from '../gen/nest/v1/host.ts';
import { addDelta, deltaBetween, isQuiet } from './status-delta.ts';

const count = fc.bigInt({ min: 0n, max: 1n << 50n });
const growth = fc.oneof(fc.constant(0n), fc.bigInt({ min: 0n, max: 1n << 40n }));

const face = (name: string, values: readonly bigint[]): InterfaceStatus =>
  InterfaceStatus.fromPartial({
    name,
    addresses: ['192.0.2.1/24'],
    engines: [{ engine: 'xdp', available: true, reason: 'ready' }],
    receivedPackets: values[0] ?? 0n,
    receivedBytes: values[1] ?? 0n,
    receivedErrors: values[2] ?? 0n,
    sentPackets: values[3] ?? 0n,
    sentErrors: values[4] ?? 0n,
    reasons: { 1: { packets: values[5] ?? 0n, bytes: values[6] ?? 0n } },
  });

const status = (changes: Parameters<typeof HostStatus.fromPartial>[0] = {}): HostStatus =>
  HostStatus.fromPartial({
    timeMs: 1_000n,
    cpuBusy: 0.5,
    memoryTotalBytes: 1_000_000n,
    memoryUsedBytes: 500_000n,
    flows: 7n,
    disks: [{ mountPoint: '/', totalBytes: 10n, usedBytes: 5n }],
    interfaces: [face('lan0', [1n, 2n, 3n, 4n, 5n, 6n, 7n])],
    policy: { mode: PolicyStatus_Mode.ENFORCE, revision: 3n },
    ...changes,
  });

/** Over the wire and back. */
const carried = (delta: StatusDelta): StatusDelta => StatusDelta.decode(StatusDelta.encode(delta).finish());

const withDelta = (before: HostStatus, delta: StatusDelta): HostStatus => {
  const after = structuredClone(before);
  addDelta(after, delta);
  return after;
};

describe('a status delta', () => {
  it('leads from any state to any later one whose counters have not gone back', () => {
    const seven = { minLength: 7, maxLength: 7 };
    const change = fc.record({
      from: fc.tuple(fc.array(count, seven), fc.array(count, seven)),
      by: fc.tuple(fc.array(growth, seven), fc.array(growth, seven)),
      timeMs: count,
      cpuBusy: fc.option(fc.double({ min: 0, max: 1, noNaN: true }), { nil: undefined }),
    });
    const faces = ([lan, wan]: readonly [readonly bigint[], readonly bigint[]]): InterfaceStatus[] => [
      face('lan0', lan),
      face('wan0', wan),
    ];
    const sums = (from: readonly bigint[], by: readonly bigint[]): bigint[] => from.map((value, index) => value + (by[index] ?? 0n));
    fc.assert(
      fc.property(change, ({ from, by, timeMs, cpuBusy }) => {
        const before = status({ interfaces: faces(from) });
        const after = status({ timeMs, cpuBusy, flows: undefined, interfaces: faces([sums(from[0], by[0]), sums(from[1], by[1])]) });
        const delta = deltaBetween(before, after);
        expect(delta).not.toBeNull();
        expect(withDelta(before, carried(delta ?? StatusDelta.fromPartial({})))).toEqual(after);
      }),
      { numRuns: 200 },
    );
  });

  it('is refused when a counter goes back or anything else changes', () => {
    const before = status();
    const others = [
      status({ interfaces: [face('lan0', [0n, 2n, 3n, 4n, 5n, 6n, 7n])] }),
      status({ interfaces: [face('lan0', [1n, 2n, 3n, 4n, 5n, 6n, 6n])] }),
      status({ interfaces: [{ ...face('lan0', [1n, 2n, 3n, 4n, 5n, 6n, 7n]), reasons: {} }] }),
      status({ interfaces: [{ ...face('lan0', [1n, 2n, 3n, 4n, 5n, 6n, 7n]), engines: [] }] }),
      status({ interfaces: [] }),
      status({ disks: [{ mountPoint: '/var', totalBytes: 10n, usedBytes: 5n }] }),
      status({ policy: { mode: PolicyStatus_Mode.ENFORCE, revision: 4n } }),
      status({ warnings: [{ code: 'X', title: 'x', message: '', severity: 1, sinceMs: 1n }] }),
    ];
    expect(others.map((after) => deltaBetween(before, after))).toEqual(others.map(() => null));
    expect(deltaBetween(before, before)).toMatchObject({ interfaces: [], disksUsedBytes: [] });
  });

  it('is refused for a change of any field that it does not name, of those that come later as well', () => {
    const before = status();
    const [lan] = before.interfaces;
    const [disk] = before.disks;
    const named = ['timeMs', 'cpuBusy', 'memoryUsedBytes', 'uptimeSeconds', 'flows', 'disks', 'interfaces'];
    const counters = Object.keys(lan ?? {}).filter((key) => /^(received|sent)(Packets|Bytes|Drops|Errors)$/.test(key));
    const changed = (message: object | undefined, key: string): object => ({ ...message, [key]: 'another' });
    const others = [
      ...Object.keys(before)
        .filter((key) => !named.includes(key))
        .map((key) => changed(before, key)),
      ...Object.keys(lan ?? {})
        .filter((key) => !counters.includes(key) && key !== 'reasons')
        .map((key) => ({ ...before, interfaces: [changed(lan, key)] })),
      ...Object.keys(disk ?? {})
        .filter((key) => key !== 'usedBytes')
        .map((key) => ({ ...before, disks: [changed(disk, key)] })),
    ];
    expect(others.length).toBeGreaterThan(25);
    expect(others.filter((after) => deltaBetween(before, after as HostStatus) !== null)).toEqual([]);
  });

  it('carries a reason that was not there before, and the use of disks', () => {
    const before = status();
    const after = status({
      disks: [{ mountPoint: '/', totalBytes: 10n, usedBytes: 6n }],
      interfaces: [
        { ...face('lan0', [1n, 2n, 3n, 4n, 5n, 6n, 7n]), reasons: { 1: { packets: 6n, bytes: 7n }, 2: { packets: 0n, bytes: 0n } } },
      ],
    });
    const delta = deltaBetween(before, after);
    expect(delta).not.toBeNull();
    expect(withDelta(before, carried(delta ?? StatusDelta.fromPartial({})))).toEqual(after);
  });

  it('is quiet only when nothing but clocks and noise moves', () => {
    const before = status();
    const quiet = (changes: Parameters<typeof HostStatus.fromPartial>[0]): boolean | undefined => {
      const delta = deltaBetween(before, status(changes));
      return delta === null ? undefined : isQuiet(before, delta);
    };
    expect(quiet({ timeMs: 2_000n, uptimeSeconds: 9n, cpuBusy: 0.51, memoryUsedBytes: 505_000n })).toBe(true);
    expect([
      quiet({ cpuBusy: 0.6 }),
      quiet({ memoryUsedBytes: 600_000n }),
      quiet({ flows: 8n }),
      quiet({ interfaces: [face('lan0', [2n, 2n, 3n, 4n, 5n, 6n, 7n])] }),
    ]).toEqual([false, false, false, false]);
  });
});
