/** From two statuses of a host to one sample: rates are differences of two counter readings divided by the time between them. */
import { WithheldMapping_Why } from '../../../proto/gen/nest/v1/config.ts';
import { HealthWarning_Severity, PolicyStatus_Mode } from '../../../proto/gen/nest/v1/host.ts';
import type { HostStatus, InterfaceStatus } from '../../../proto/gen/nest/v1/host.ts';
import { isDropped, reasonName } from '../../../proto/model/reason.ts';
import type * as model from '../../bridge/model.ts';
import { driftOf } from '../drift/drift-model.ts';
import { editorOf } from '../lease/lease-model.ts';

/** Points of history, one a second. */
export const historyMax = 300;
/** Readings closer than this say little about a rate. */
const intervalMinMs = 200;
/** Host time and our time between two readings may differ by so much before the host's clock is taken to have been set. */
const clockStepMs = 1_000;

/** A sample without what depends on the connection. */
export type Reading = Omit<model.HostSample, 'live' | 'state' | 'stateReason' | 'clockSkewMs'> & {
  /** All packets per second that reached the host: by the data path when it counts, else by the kernel. */
  readonly packetsPerSecond: number | null;
  readonly packetsHistory: readonly number[];
  /** Of the revision that waits for its confirmation; "" when none waits. */
  readonly pendingTransactionId: string;
  readonly pendingRemainingMs: number;
  /** SHA-256 (hex) of the access update the host stands at; "" without one, and from agents that do not say. */
  readonly accessHash: string;
  /** The last step of a change of the fleet's root that the host took; 0 = none. */
  readonly rootStep: number;
};

export interface Arrival {
  /** Console clock, milliseconds since the Unix epoch. */
  readonly at: number;
  readonly monotonicMs: number;
}

/** The raw counters of one status: what the next one is compared with. */
export interface Baseline {
  readonly hostTimeMs: number;
  readonly monotonicMs: number;
  readonly reasons: ReadonlyMap<string, Count>;
  readonly received: Count;
}

interface Count {
  readonly packets: number;
  readonly bytes: number;
}

const engineNames: readonly model.EngineName[] = ['auto', 'xdp', 'af_xdp', 'dpdk', 'off'];

/** Derives the next reading. `before` is the last one of this connection's life or an earlier one; its baseline may be absent. */
export const readStatus = (
  status: HostStatus,
  arrival: Arrival,
  before: { readonly reading: Reading | null; readonly baseline: Baseline | null },
): { readonly reading: Reading; readonly baseline: Baseline } => {
  const baseline: Baseline = {
    hostTimeMs: Number(status.timeMs),
    monotonicMs: arrival.monotonicMs,
    reasons: sumReasons(status.interfaces),
    received: sumReceived(status.interfaces),
  };
  const rates = ratesOf(before.baseline, baseline);
  const history =
    rates === null || rates.allowed === null
      ? (before.reading?.history ?? [])
      : append(before.reading?.history ?? [], { at: arrival.at, allowed: rates.allowed, denied: rates.denied ?? 0 });
  const packetsHistory =
    rates === null || rates.packets === null
      ? (before.reading?.packetsHistory ?? [])
      : append(before.reading?.packetsHistory ?? [], rates.packets);
  const reading: Reading = {
    at: arrival.at,
    ...machineOf(status),
    ...policyOf(status, arrival.at),
    drift: status.drift === undefined ? null : driftOf(status.drift),
    editors: status.editLeases.map(editorOf),
    interfaces: status.interfaces.map(interfaceRowOf),
    flows: status.flows === undefined ? null : Number(status.flows),
    flowsMax: Number(status.flowsMax),
    ...breakGlassOf(status, arrival.at),
    allowedPerSecond: rates?.allowed ?? null,
    deniedPerSecond: rates?.denied ?? null,
    bytesPerSecond: rates?.bytes ?? null,
    packetsPerSecond: rates?.packets ?? null,
    reasons: [...baseline.reasons]
      .filter(([, count]) => count.packets > 0)
      .map(([name, count]) => ({
        reason: name,
        dropped: isDropped(name as ReturnType<typeof reasonName>),
        packets: count.packets,
        perSecond: rates?.reasons.get(name) ?? null,
      })),
    history,
    packetsHistory,
    accessHash: status.access?.hash.toString('hex') ?? '',
    rootStep: Number(status.rootStep ?? 0n),
  };
  // A reading too close to the last keeps the older baseline, so that the next rate covers both.
  const isTooClose =
    before.baseline !== null &&
    rates === null &&
    intervalMs(before.baseline, baseline) < intervalMinMs &&
    intervalMs(before.baseline, baseline) >= 0;
  return {
    reading: isTooClose && before.reading !== null ? keepRates(reading, before.reading) : reading,
    baseline: isTooClose && before.baseline !== null ? before.baseline : baseline,
  };
};

const keepRates = (reading: Reading, before: Reading): Reading => ({
  ...reading,
  allowedPerSecond: before.allowedPerSecond,
  deniedPerSecond: before.deniedPerSecond,
  bytesPerSecond: before.bytesPerSecond,
  packetsPerSecond: before.packetsPerSecond,
});

interface Rates {
  readonly allowed: number | null;
  readonly denied: number | null;
  readonly packets: number | null;
  readonly bytes: number | null;
  readonly reasons: ReadonlyMap<string, number>;
}

/** Null when there is nothing to compare with, or counters went back because the data path or the interfaces are new. */
const ratesOf = (before: Baseline | null, now: Baseline): Rates | null => {
  if (before === null) return null;
  const ms = intervalMs(before, now);
  if (ms < intervalMinMs) return null;
  const perSecond = (count: number): number => (count * 1000) / ms;
  if (now.reasons.size === 0) {
    const packets = now.received.packets - before.received.packets;
    const bytes = now.received.bytes - before.received.bytes;
    const isNew = packets < 0 || bytes < 0;
    return {
      allowed: null,
      denied: null,
      packets: isNew ? null : perSecond(packets),
      bytes: isNew ? null : perSecond(bytes),
      reasons: new Map(),
    };
  }
  const sums = { allowed: 0, denied: 0, bytes: 0 };
  const reasons = new Map<string, number>();
  for (const [name, count] of now.reasons) {
    const packets = count.packets - (before.reasons.get(name)?.packets ?? 0);
    const bytes = count.bytes - (before.reasons.get(name)?.bytes ?? 0);
    if (packets < 0 || bytes < 0) return null;
    sums[isDropped(name as ReturnType<typeof reasonName>) ? 'denied' : 'allowed'] += packets;
    sums.bytes += bytes;
    reasons.set(name, perSecond(packets));
  }
  // The first counters of a data path that was not there before span more than this interval.
  if (before.reasons.size === 0) return null;
  return {
    allowed: perSecond(sums.allowed),
    denied: perSecond(sums.denied),
    packets: perSecond(sums.allowed + sums.denied),
    bytes: perSecond(sums.bytes),
    reasons,
  };
};

/** Counters are read on the host, so its clock measures best; ours stands in when the host's was set meanwhile. */
const intervalMs = (before: Baseline, now: Baseline): number => {
  const host = now.hostTimeMs - before.hostTimeMs;
  const ours = now.monotonicMs - before.monotonicMs;
  return Math.abs(host - ours) > clockStepMs ? ours : host;
};

const sumReasons = (interfaces: readonly InterfaceStatus[]): Map<string, Count> => {
  const sums = new Map<string, Count>();
  for (const { reasons } of interfaces) {
    for (const [number, count] of Object.entries(reasons)) {
      const name = reasonName(Number(number));
      const sum = sums.get(name) ?? { packets: 0, bytes: 0 };
      sums.set(name, { packets: sum.packets + Number(count.packets), bytes: sum.bytes + Number(count.bytes) });
    }
  }
  return sums;
};

const sumReceived = (interfaces: readonly InterfaceStatus[]): Count =>
  interfaces
    .filter(({ name }) => name !== 'lo')
    .reduce(
      (sum, { receivedPackets, receivedBytes }) => ({
        packets: sum.packets + Number(receivedPackets),
        bytes: sum.bytes + Number(receivedBytes),
      }),
      { packets: 0, bytes: 0 },
    );

const append = <Point>(points: readonly Point[], point: Point): readonly Point[] => [
  ...points.slice(Math.max(0, points.length + 1 - historyMax)),
  point,
];

const machineOf = (
  status: HostStatus,
): Pick<Reading, 'cpuBusy' | 'memoryUsedBytes' | 'memoryTotalBytes' | 'disks' | 'uptimeSeconds' | 'warnings'> => ({
  cpuBusy: status.cpuBusy ?? null,
  memoryUsedBytes: Number(status.memoryUsedBytes),
  memoryTotalBytes: Number(status.memoryTotalBytes),
  disks: status.disks.map(({ mountPoint, totalBytes, usedBytes }) => ({
    mountPoint,
    totalBytes: Number(totalBytes),
    usedBytes: Number(usedBytes),
  })),
  uptimeSeconds: Number(status.uptimeSeconds),
  warnings: status.warnings.map(({ code, title, message, severity, sinceMs }) => ({
    code,
    title,
    message,
    severity: severity === HealthWarning_Severity.CRITICAL ? 'critical' : 'warning',
    since: Number(sinceMs),
  })),
});

const policyOf = ({ policy }: HostStatus, at: number): Pick<Reading, 'policy' | 'pendingTransactionId' | 'pendingRemainingMs'> => ({
  policy: {
    mode: policy?.mode === PolicyStatus_Mode.ENFORCE ? 'enforce' : 'observe',
    revision: Number(policy?.revision ?? 0n),
    generation: policy?.generation ?? '',
    desiredGeneration: policy?.desiredGeneration ?? '',
    // The host's remaining time counts, put on our clock: clocks may differ, durations do not.
    pending:
      policy?.pending === undefined ? null : { revision: Number(policy.pending.revision), rollbackAt: at + policy.pending.remainingMs },
    withheld: (policy?.withheld ?? []).map(({ mapping, why, expiresAtMs }) => ({
      mapping,
      why: why === WithheldMapping_Why.ENDED ? 'ended' : 'waiting',
      expiresAt: expiresAtMs === 0n ? null : Number(expiresAtMs),
    })),
  },
  pendingTransactionId: policy?.pending?.transactionId ?? '',
  pendingRemainingMs: policy?.pending?.remainingMs ?? 0,
});

/** The host's remaining time counts, put on our clock. */
const breakGlassOf = ({ breakGlass }: HostStatus, at: number): Pick<Reading, 'breakGlass'> =>
  breakGlass.length === 0
    ? {}
    : {
        breakGlass: breakGlass.map(({ grantId, operator, reason, sinceMs, remainingMs }) => ({
          grantId,
          operator: operator.replace(/^spiffe:\/\/[^/]+\//, ''),
          reason,
          since: Number(sinceMs),
          until: at + remainingMs,
        })),
      };

const interfaceRowOf = (status: InterfaceStatus): model.InterfaceRow => ({
  name: status.name,
  index: status.index,
  up: status.up,
  driver: status.driver,
  macAddress: status.macAddress,
  mtu: status.mtu,
  addresses: status.addresses,
  xdpMode: status.xdpMode === 'native' || status.xdpMode === 'generic' ? status.xdpMode : null,
  engineChoice: engineNames.find((name) => name === status.engineChoice) ?? null,
  engine: status.engine === '' ? null : status.engine,
  engineReason: status.engineReason === '' ? null : status.engineReason,
  engines: status.engines.map(({ engine, available, reason }) => ({ engine, available, reason })),
  receiveQueues: status.receiveQueues === 0 ? null : status.receiveQueues,
  sendQueues: status.sendQueues === 0 ? null : status.sendQueues,
  numaNode: status.numaNode ?? null,
  speedMbps: status.speedMbps ?? null,
  xdpFeatures: status.xdpFeatures ?? null,
  virtualFunctions:
    status.virtualFunctionsMax === undefined ? null : { used: status.virtualFunctions ?? 0, max: status.virtualFunctionsMax },
  xdpProblem: status.xdpProblem === '' ? null : status.xdpProblem,
  received: {
    packets: Number(status.receivedPackets),
    bytes: Number(status.receivedBytes),
    drops: Number(status.receivedDrops),
    errors: Number(status.receivedErrors),
  },
  sent: {
    packets: Number(status.sentPackets),
    bytes: Number(status.sentBytes),
    drops: Number(status.sentDrops),
    errors: Number(status.sentErrors),
  },
});
