import { WithheldMapping_Why } from '../../../proto/gen/nest/v1/config.ts';
import type { WithheldMapping } from '../../../proto/gen/nest/v1/config.ts';
import { HealthWarning_Severity, PolicyStatus_Mode } from '../../../proto/gen/nest/v1/host.ts';
import type { HostFacts as WireFacts, HostStatus, InterfaceStatus } from '../../../proto/gen/nest/v1/host.ts';
import { Reason } from '../../../proto/gen/nest/v1/reason.ts';
import type { AccessState } from '../../control/access/api.ts';
import { breakGlassLifeMs } from '../../../proto/model/break-glass.ts';
import type { DriftStatus } from '../../control/drift/api.ts';
import type { EditLease } from '../../control/lease/api.ts';
import type { Pending } from '../../control/revisions/api.ts';
import type { BreakGlassUse } from '../../control/session/api.ts';
import type { HealthWarning, HostFacts, HostReading, InterfaceReading } from '../../domains/host/api.ts';
import type { TrafficCounters, TrafficStatus } from '../../domains/traffic/api.ts';
import { toWireDrift, toWireLease } from './drift-wire.ts';
import { wholeMs } from './revision-wire.ts';

export interface AgentFacts {
  readonly agentId: string;
  readonly agentVersion: string;
  readonly startedAtMs: number;
}

/** Facts of host and agent on the wire. */
export const toWireFacts = (facts: HostFacts, agent: AgentFacts): WireFacts => ({
  agentId: agent.agentId,
  hostName: facts.hostName,
  agentVersion: agent.agentVersion,
  operatingSystem: facts.operatingSystem,
  kernel: facts.kernel,
  architecture: facts.architecture,
  cpuCount: facts.cpuCount,
  cpuModel: facts.cpuModel,
  memoryBytes: BigInt(facts.memoryBytes),
  bootedAt: BigInt(Math.round(facts.bootedAtSeconds)),
  agentStartedAtMs: wholeMs(agent.startedAtMs),
  addresses: [...facts.addresses],
});

export interface StatusParts {
  readonly reading: HostReading;
  readonly traffic: TrafficStatus;
  /** Null while there is no data path. */
  readonly counters: TrafficCounters | null;
  readonly warnings: readonly HealthWarning[];
  readonly revision: number;
  readonly pending: Pending | null;
  /** Null: not known here. */
  readonly drift?: DriftStatus | null;
  readonly leases?: readonly EditLease[];
  readonly access: AccessState;
  /** Where the log ends, and its first broken entry. */
  readonly audit: { readonly number: number; readonly hash: Uint8Array; readonly broken: number | null };
  /** 0 = none. */
  readonly rootStep: number;
  readonly breakGlass: readonly BreakGlassUse[];
}

/** One sample of everything the console watches, joined from the domains. */
export const toWireStatus = ({
  reading,
  traffic,
  counters,
  warnings,
  revision,
  pending,
  access,
  audit,
  rootStep,
  breakGlass,
  drift,
  leases,
}: StatusParts): HostStatus => ({
  timeMs: wholeMs(reading.timeMs),
  cpuBusy: reading.cpuBusy ?? undefined,
  memoryUsedBytes: BigInt(Math.round(reading.memoryUsedBytes)),
  memoryTotalBytes: BigInt(Math.round(reading.memoryTotalBytes)),
  disks: reading.disks.map(({ mountPoint, totalBytes, usedBytes }) => ({
    mountPoint,
    totalBytes: BigInt(Math.round(totalBytes)),
    usedBytes: BigInt(Math.round(usedBytes)),
  })),
  interfaces: reading.interfaces.map((entry) => toWireInterface(entry, traffic, counters)),
  uptimeSeconds: BigInt(Math.round(reading.uptimeSeconds)),
  warnings: warnings.map(({ code, title, message, severity, sinceMs }) => ({
    code,
    title,
    message,
    severity: severity === 'critical' ? HealthWarning_Severity.CRITICAL : HealthWarning_Severity.WARNING,
    sinceMs: wholeMs(sinceMs),
  })),
  policy: {
    mode: traffic.mode === 'enforce' ? PolicyStatus_Mode.ENFORCE : PolicyStatus_Mode.OBSERVE,
    revision: BigInt(revision),
    generation: traffic.generation,
    desiredGeneration: traffic.desiredGeneration,
    pending: pending === null ? undefined : toWirePending(pending),
    adopted: traffic.adopted,
    withheld: traffic.withheld.slice(0, withheldMax).map(toWireWithheld),
  },
  flows: traffic.flows === null ? undefined : BigInt(traffic.flows),
  flowsMax: BigInt(traffic.flowsMax),
  access: access.revision === 0 ? undefined : toWireAccess(access),
  rootStep: rootStep === 0 ? undefined : BigInt(rootStep),
  breakGlass: breakGlass.map(toWireBreakGlass(reading.timeMs)),
  drift: drift === null || drift === undefined ? undefined : toWireDrift(drift),
  editLeases: (leases ?? []).map(toWireLease),
  audit: toWireAudit(audit),
});

const toWireAccess = ({ epoch, revision, hash }: AccessState): NonNullable<HostStatus['access']> => ({
  epoch: BigInt(epoch),
  revision: BigInt(revision),
  hash: Buffer.from(hash, 'hex'),
});

const toWireAudit = ({ number, hash, broken }: StatusParts['audit']): NonNullable<HostStatus['audit']> => ({
  number: BigInt(number),
  hash: Buffer.from(hash.buffer, hash.byteOffset, hash.length),
  brokenNumber: BigInt(broken ?? 0),
});

const toWireBreakGlass =
  (timeMs: number) =>
  ({ grantId, operator, device, reason, sinceMs, untilMs }: BreakGlassUse): HostStatus['breakGlass'][number] => ({
    grantId,
    operator,
    deviceKeyId: device,
    reason,
    sinceMs: wholeMs(sinceMs),
    untilMs: wholeMs(untilMs),
    remainingMs: Math.min(breakGlassLifeMs, Math.max(0, Math.round(untilMs - timeMs))),
  });

/** Told with every status; more are in the document. */
const withheldMax = 64;

const toWireWithheld = ({ mapping, why, expiresAtMs }: TrafficStatus['withheld'][number]): WithheldMapping => ({
  mapping,
  why: why === 'ended' ? WithheldMapping_Why.ENDED : WithheldMapping_Why.WAITING,
  expiresAtMs: wholeMs(expiresAtMs ?? 0),
});

const toWirePending = (pending: Pending): NonNullable<NonNullable<HostStatus['policy']>['pending']> => ({
  revision: BigInt(pending.revision),
  previousRevision: BigInt(pending.previousRevision),
  rollbackAtMs: wholeMs(pending.rollbackAtMs),
  remainingMs: Math.max(0, Math.round(pending.remainingMs)),
  transactionId: pending.transactionId,
});

const toWireInterface = (entry: InterfaceReading, traffic: TrafficStatus, counters: TrafficCounters | null): InterfaceStatus => {
  const attached = traffic.interfaces.find(({ name }) => name === entry.name);
  const reasons = counters?.interfaces.find(({ name }) => name === entry.name)?.reasons ?? [];
  return {
    name: entry.name,
    index: entry.index,
    driver: entry.driver,
    macAddress: entry.macAddress,
    mtu: entry.mtu,
    up: entry.up,
    xdpMode: attached?.mode ?? '',
    xdpProblem: attached?.problem ?? '',
    addresses: [...entry.addresses],
    receivedPackets: entry.received.packets,
    receivedBytes: entry.received.bytes,
    receivedDrops: entry.received.drops,
    receivedErrors: entry.received.errors,
    sentPackets: entry.sent.packets,
    sentBytes: entry.sent.bytes,
    sentDrops: entry.sent.drops,
    sentErrors: entry.sent.errors,
    engineChoice: attached?.choice ?? 'off',
    engine: attached?.engine ?? '',
    engineReason: attached?.reason ?? 'Not among the interfaces that the configuration names.',
    receiveQueues: attached?.facts?.receiveQueues ?? 0,
    sendQueues: attached?.facts?.sendQueues ?? 0,
    numaNode: attached?.facts?.numaNode ?? undefined,
    speedMbps: attached?.facts?.speedMbps ?? undefined,
    xdpFeatures: attached?.facts?.xdpFeatures?.join(', '),
    engines: (attached?.engines ?? []).map((probe) => ({ ...probe })),
    virtualFunctions: attached?.facts?.virtualFunctions?.enabled,
    virtualFunctionsMax: attached?.facts?.virtualFunctions?.total,
    reasons: toWireReasons(reasons),
  };
};

const toWireReasons = (reasons: TrafficCounters['reasons']): InterfaceStatus['reasons'] => {
  const wire: InterfaceStatus['reasons'] = {};
  for (const { reason, count } of reasons) wire[Reason[reason]] = { packets: count.packets, bytes: count.bytes };
  return wire;
};
