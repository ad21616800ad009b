import { describe, expect, it } from 'vitest';
import { HealthWarning_Severity, HostStatus, PolicyStatus_Mode } from '../../../proto/gen/nest/v1/host.ts';
import { NestError } from '../../../proto/model/error.ts';
import type { LinkState } from '../../grpc/api.ts';
import type { HostRecord } from '../cache/fleet-cache.ts';
import { engineOf, healthOf } from './host-health.ts';
import type { Reading } from './reading.ts';
import { historyMax, Telemetry } from './telemetry.ts';

const start = 1_790_000_000_000;

interface Step {
  readonly hostMs: number;
  readonly oursMs?: number;
  readonly allowed?: number;
  readonly denied?: number;
  readonly received?: number;
}

const statusOf = ({ hostMs, allowed, denied, received }: Step): HostStatus =>
  HostStatus.fromPartial({
    timeMs: BigInt(start + hostMs),
    policy: { mode: PolicyStatus_Mode.ENFORCE, generation: 'g', desiredGeneration: 'g' },
    interfaces: [
      {
        name: 'lan0',
        xdpMode: 'native',
        receivedPackets: BigInt(received ?? 0),
        receivedBytes: BigInt((received ?? 0) * 100),
        reasons:
          allowed === undefined
            ? {}
            : { 3: { packets: BigInt(allowed), bytes: BigInt(allowed * 100) }, 9: { packets: BigInt(denied ?? 0), bytes: 0n } },
      },
      { name: 'lo', receivedPackets: BigInt(hostMs * 1000) },
    ],
  });

/** Readings of a sequence of statuses. */
const readAll = (steps: readonly Step[]): Reading[] => {
  const telemetry = new Telemetry(null);
  return steps.map((step) => {
    telemetry.take(statusOf(step), { at: start + (step.oursMs ?? step.hostMs), monotonicMs: step.oursMs ?? step.hostMs });
    return telemetry.reading as Reading;
  });
};

/** The reading of a single status. */
const readOne = (status: HostStatus, at: number): Reading => {
  const telemetry = new Telemetry(null);
  telemetry.take(status, { at, monotonicMs: 0 });
  return telemetry.reading as Reading;
};

const ratesOf = (steps: readonly Step[]): (number | null)[][] =>
  readAll(steps).map(({ allowedPerSecond, deniedPerSecond, packetsPerSecond }) => [allowedPerSecond, deniedPerSecond, packetsPerSecond]);

describe('a reading', () => {
  it('has no rate before there are two, then divides by the time the host measured', () => {
    expect(
      ratesOf([
        { hostMs: 0, allowed: 1000, denied: 5 },
        { hostMs: 2_000, oursMs: 2_300, allowed: 3000, denied: 15 },
      ]),
    ).toEqual([
      [null, null, null],
      [1000, 5, 1005],
    ]);
  });

  it('takes the console clock when the clock of the host was set meanwhile', () => {
    expect(
      ratesOf([
        { hostMs: 0, allowed: 0 },
        { hostMs: 3_600_000, oursMs: 1_000, allowed: 50 },
      ])[1],
    ).toEqual([50, 0, 50]);
    expect(
      ratesOf([
        { hostMs: 0, allowed: 0 },
        { hostMs: -60_000, oursMs: 1_000, allowed: 50 },
      ])[1],
    ).toEqual([50, 0, 50]);
  });

  it('has no rate when counters went back, and one again afterwards', () => {
    expect(
      ratesOf([
        { hostMs: 0, allowed: 900 },
        { hostMs: 1_000, allowed: 10 },
        { hostMs: 2_000, allowed: 30 },
      ]).map(([allowed]) => allowed),
    ).toEqual([null, null, 20]);
  });

  it('bridges readings that are too close together', () => {
    expect(
      ratesOf([
        { hostMs: 0, allowed: 0 },
        { hostMs: 1_000, allowed: 100 },
        { hostMs: 1_050, allowed: 200 },
        { hostMs: 2_000, allowed: 300 },
      ]).map(([allowed]) => allowed),
    ).toEqual([null, 100, 100, 200]);
  });

  it('counts packets by the kernel, without loopback, when no data path counts', () => {
    expect(
      ratesOf([
        { hostMs: 0, received: 100 },
        { hostMs: 1_000, received: 400 },
      ])[1],
    ).toEqual([null, null, 300]);
    expect(
      ratesOf([
        { hostMs: 0, received: 100 },
        { hostMs: 1_000, allowed: 5_000 },
      ])[1],
    ).toEqual([null, null, null]);
  });

  it(`keeps ${String(historyMax)} points of history, the oldest gone first`, () => {
    const last = readAll(
      Array.from({ length: historyMax + 10 }, (_unused, index) => ({ hostMs: index * 1_000, allowed: index * index })),
    ).at(-1);
    expect(last?.history).toHaveLength(historyMax);
    expect([last?.history[0]?.allowed, last?.history.at(-1)?.allowed]).toEqual([19, 2 * (historyMax + 9) - 1]);
    expect(last?.packetsHistory).toHaveLength(historyMax);
  });

  it('puts the deadline of the host on the console clock by the time that remains', () => {
    const status = HostStatus.fromPartial({
      policy: { pending: { revision: 4n, rollbackAtMs: 1n, remainingMs: 9_000, transactionId: 't' } },
    });
    const reading = readOne(status, start);
    expect(reading).toMatchObject({
      pendingTransactionId: 't',
      policy: { pending: { revision: 4, rollbackAt: start + 9_000 } },
      cpuBusy: null,
      flows: null,
    });
  });
});

describe('the health of a host', () => {
  const record: HostRecord = {
    hostId: 'H',
    name: 'edge-1',
    address: '198.18.240.6',
    port: 50051,
    labels: [],
    spkiSha256: '',
    certificateEndsAt: start + 90 * 86_400_000,
    enrolledAt: 0,
  };
  const up: LinkState = {
    kind: 'up',
    client: {} as never,
    since: start,
    agentVersion: '1',
    clockSkewMs: 0,
    roundTripMs: 1,
    isResumed: false,
  };
  const [, reading = null] = readAll([
    { hostMs: 0, allowed: 0 },
    { hostMs: 1_000, allowed: 10 },
  ]);
  const judge = (changes: Partial<Parameters<typeof healthOf>[0]>): [string, string | null] => {
    const { state, reason } = healthOf({
      record,
      link: up,
      reading,
      now: start + 1_500,
      upMs: 1_500,
      silentMs: 500,
      auditAlarm: null,
      ...changes,
    });
    return [state, reason];
  };
  const down = (error: NestError): LinkState => ({ kind: 'down', error, since: start, attempts: 3 });

  it('is healthy with a fresh status and no trouble, connecting before the first', () => {
    expect(judge({})).toEqual(['healthy', null]);
    expect(judge({ link: { kind: 'connecting' } })).toEqual(['connecting', null]);
    expect(judge({ reading: null })).toEqual(['connecting', null]);
  });

  it('says what to do about a host that is gone, silent, locked or someone else', () => {
    expect(judge({ link: down(new NestError('HOST_UNREACHABLE', 'x')) })).toEqual([
      'offline',
      'Does not answer at 198.18.240.6 port 50051. Check that the host is up, that its agent runs and that no policy or firewall blocks the port.',
    ]);
    expect(judge({ link: down(new NestError('IDENTITY_MISMATCH', 'Another key. Remove the host.')) })).toEqual([
      'offline',
      'Another key. Remove the host.',
    ]);
    expect(judge({ silentMs: 8_000 })[1]).toContain('No status for 8 s');
    expect([judge({ silentMs: null, upMs: 6_000 })[0], judge({ silentMs: null, upMs: 8_000 })[0]]).toEqual(['connecting', 'degraded']);
    // Somebody set the clock of the console.
    expect([judge({ now: start + 9_000 })[0], judge({ now: start - 9_000 })[0]]).toEqual(['healthy', 'healthy']);
    expect(judge({ link: null })).toEqual(['offline', 'The fleet is locked. Unlock it to connect.']);
  });

  it('names the worst trouble of a host that answers', () => {
    const troubled = (changes: Partial<Reading>): string | null =>
      judge({ reading: reading === null ? null : { ...reading, ...changes } })[1];
    const warning = HostStatus.fromPartial({
      warnings: [
        { title: 'Mild', severity: HealthWarning_Severity.WARNING },
        { message: 'Bad. Act.', severity: HealthWarning_Severity.CRITICAL },
      ],
    });
    expect(troubled({ warnings: readOne(warning, 0).warnings })).toBe('Bad. Act.');
    expect(troubled({ policy: { mode: 'enforce', revision: 1, generation: 'a', desiredGeneration: 'b', pending: null } })).toContain(
      'another policy than the agent wants',
    );
    expect(troubled({ disks: [{ mountPoint: '/var', totalBytes: 100, usedBytes: 96 }] })).toContain('/var is nearly full');
    expect(judge({ link: { ...up, clockSkewMs: -45_000 } })[1]).toContain('45 s behind');
    expect(judge({ record: { ...record, certificateEndsAt: start + 5 * 86_400_000 } })[1]).toContain('ends in 4 days');
  });

  it('names the engine by what is attached', () => {
    expect([
      engineOf(null),
      engineOf(reading),
      engineOf(reading === null ? null : { ...reading, policy: { ...reading.policy, mode: 'observe' } }),
    ]).toEqual([null, 'xdp native', 'observe']);
  });
});
