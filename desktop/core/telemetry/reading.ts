/** What a status of a host says, in the words of the console. */
import { WithheldMapping_Why } from '../../../proto/gen/nest/v1/config.ts';
import { HealthWarning_Severity, PolicyStatus_Mode } from '../../../proto/gen/nest/v1/host.ts';
import type { HostStatus, InterfaceStatus } from '../../../proto/gen/nest/v1/host.ts';
import type * as model from '../../bridge/model.ts';
import { driftOf } from '../drift/drift-model.ts';
import { editorOf } from '../lease/lease-model.ts';

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
  /** Where the host says its audit log ends; null from agents that do not say. */
  readonly audit: AuditPosition | null;
};

export interface AuditPosition {
  /** Of the newest entry; 0 = the log is empty. */
  readonly number: number;
  /** Hex. */
  readonly hash: string;
  /** The first entry that the agent found broken; 0 = none. */
  readonly broken: number;
}

/** The part of a reading that seldom changes. */
export type Standing = Pick<
  Reading,
  | 'policy'
  | 'pendingTransactionId'
  | 'pendingRemainingMs'
  | 'breakGlass'
  | 'memoryTotalBytes'
  | 'flowsMax'
  | 'drift'
  | 'editors'
  | 'accessHash'
  | 'rootStep'
  | 'audit'
  | 'warnings'
>;

const engineNames: readonly model.EngineName[] = ['auto', 'xdp', 'af_xdp', 'dpdk', 'off'];

/** What changes with every status. */
export const machineOf = (
  status: HostStatus,
): Pick<Reading, 'cpuBusy' | 'memoryUsedBytes' | 'disks' | 'uptimeSeconds' | 'interfaces' | 'flows'> => ({
  cpuBusy: status.cpuBusy ?? null,
  memoryUsedBytes: Number(status.memoryUsedBytes),
  uptimeSeconds: Number(status.uptimeSeconds),
  flows: status.flows === undefined ? null : Number(status.flows),
  interfaces: status.interfaces.map(interfaceRowOf),
  disks: status.disks.map(({ mountPoint, totalBytes, usedBytes }) => ({
    mountPoint,
    totalBytes: Number(totalBytes),
    usedBytes: Number(usedBytes),
  })),
});

/** What stays as it is while only counters change; `at` is when the status came, by the console's clock, milliseconds since the Unix epoch. */
export const standingOf = (status: HostStatus, at: number): Standing => ({
  ...policyOf(status, at),
  ...breakGlassOf(status, at),
  memoryTotalBytes: Number(status.memoryTotalBytes),
  flowsMax: Number(status.flowsMax),
  drift: status.drift === undefined ? null : driftOf(status.drift),
  editors: status.editLeases.map(editorOf),
  accessHash: status.access?.hash.toString('hex') ?? '',
  rootStep: Number(status.rootStep ?? 0n),
  audit:
    status.audit === undefined
      ? null
      : { number: Number(status.audit.number), hash: status.audit.hash.toString('hex'), broken: Number(status.audit.brokenNumber) },
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
