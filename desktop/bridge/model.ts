/** Plain data that crosses the bridge. Times: milliseconds since the Unix epoch. null = not measured or not known. */

import type { BreakGlassMark } from './mfa-model.ts';
import type { HostDrift, HostEditor } from './change-model.ts';
import type { RevisionConflict } from './merge-model.ts';
import type { EngineName } from './traffic-model.ts';

export type * from './audit-model.ts';
export type * from './access-model.ts';
export type * from './certificate-model.ts';
export type * from './change-model.ts';
export type * from './device-model.ts';
export type * from './license-model.ts';
export type * from './sso-model.ts';
export type * from './mfa-model.ts';
export type * from './merge-model.ts';
export type * from './traffic-model.ts';

/** Phantom that carries an output type through the contract. */
export interface Of<Type> {
  readonly __type?: Type;
}
export const of = <Type>(): Of<Type> => ({});

export interface ConsoleState {
  /** 'empty': no fleet yet. 'locked': keys are not in memory. 'open': ready. */
  readonly phase: 'empty' | 'locked' | 'open';
  readonly fleetName: string | null;
  readonly fleetId: string | null;
  readonly operatorName: string | null;
  /** How the keys are kept; null before a fleet exists. */
  readonly storage: 'keychain' | 'passphrase' | null;
  readonly keychain: { readonly available: boolean; readonly reason: string };
  readonly version: string;
  readonly hostCount: number;
  /** When the operator certificate ends. */
  readonly operatorCertificateEndsAt: number | null;
}

export interface Settings {
  readonly scheme: 'dark' | 'light' | 'contrast' | 'system';
  readonly density: 'compact' | 'comfortable';
}

export type HostState = 'connecting' | 'healthy' | 'degraded' | 'offline';

export interface HostRow {
  readonly hostId: string;
  readonly name: string;
  readonly address: string;
  readonly labels: readonly string[];
  readonly state: HostState;
  /** Why not healthy, one sentence with the next step. */
  readonly stateReason: string | null;
  /** When the numbers below were measured; null when never. */
  readonly seenAt: number | null;
  readonly engine: string | null;
  readonly packetsPerSecond: number | null;
  readonly dropsPerSecond: number | null;
  readonly bytesPerSecond: number | null;
  /** 0..1 */
  readonly cpuBusy: number | null;
  readonly flows: number | null;
  readonly revision: number | null;
  /** SHA-256 of the tables in the kernel. */
  readonly generation: string | null;
  readonly pendingUntil: number | null;
  /** Who works under a break-glass grant there; absent for nobody. */
  readonly breakGlass?: readonly BreakGlassMark[];
  readonly agentVersion: string | null;
  readonly kernel: string | null;
  readonly cluster: string | null;
  /** When the certificate of the host ends. */
  readonly certificateEndsAt: number | null;
  /** Packets per second, one point a second, oldest first, at most 300. */
  readonly history: readonly number[];
}

export interface FleetFrame {
  readonly at: number;
  readonly hosts: readonly HostRow[];
}

export interface Enrollment {
  readonly enrollmentId: string;
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly labels: readonly string[];
  /** What the token is bound to beyond address and labels; absent: to nothing more. */
  readonly hostName?: string | undefined;
  readonly cluster?: string | undefined;
  readonly state: 'waiting' | 'fingerprint' | 'signing' | 'enrolled' | 'failed' | 'cancelled' | 'expired';
  /** Shown once; null after the token was used or has expired. */
  readonly token: string | null;
  /** What to type on the host. */
  readonly joinCommand: string | null;
  readonly expiresAt: number;
  /** SHA-256 of the agent's public key, to be compared with what the agent prints. */
  readonly fingerprint: string | null;
  readonly facts: { readonly hostName: string; readonly kernel: string; readonly operatingSystem: string } | null;
  readonly hostId: string | null;
  readonly problem: { readonly code: string; readonly message: string } | null;
  readonly attempts: number;
}

export interface InterfaceRow {
  readonly name: string;
  readonly index: number;
  readonly up: boolean;
  readonly driver: string;
  readonly macAddress: string;
  readonly mtu: number;
  readonly addresses: readonly string[];
  readonly xdpMode: 'native' | 'generic' | null;
  readonly xdpProblem: string | null;
  /** What was asked for, what serves it ("xdp-native", ...; null = nothing), and why. */
  readonly engineChoice: EngineName | null;
  readonly engine: string | null;
  readonly engineReason: string | null;
  readonly engines: readonly { readonly engine: string; readonly available: boolean; readonly reason: string }[];
  readonly receiveQueues: number | null;
  readonly sendQueues: number | null;
  readonly numaNode: number | null;
  readonly speedMbps: number | null;
  readonly xdpFeatures: string | null;
  readonly virtualFunctions: { readonly used: number; readonly max: number } | null;
  readonly received: LinkCount;
  readonly sent: LinkCount;
}

export interface LinkCount {
  readonly packets: number;
  readonly bytes: number;
  readonly drops: number;
  readonly errors: number;
}

export interface HealthWarning {
  readonly code: string;
  readonly title: string;
  readonly message: string;
  readonly severity: 'warning' | 'critical';
  readonly since: number;
}

export interface HostDetail {
  readonly row: HostRow;
  readonly facts: {
    readonly hostName: string;
    readonly operatingSystem: string;
    readonly kernel: string;
    readonly architecture: string;
    readonly cpuCount: number;
    readonly cpuModel: string;
    readonly memoryBytes: number;
    readonly bootedAt: number;
    readonly agentStartedAt: number;
    readonly addresses: readonly string[];
  } | null;
  readonly engines: readonly { readonly engine: string; readonly available: boolean; readonly reason: string }[];
  readonly certificate: { readonly fingerprint: string; readonly endsAt: number } | null;
  readonly sample: HostSample | null;
}

/** One second of one host. Rates are differences of two counter readings divided by the time between them. */
export interface HostSample {
  readonly at: number;
  readonly live: boolean;
  readonly state: HostState;
  readonly stateReason: string | null;
  readonly cpuBusy: number | null;
  readonly memoryUsedBytes: number;
  readonly memoryTotalBytes: number;
  readonly disks: readonly { readonly mountPoint: string; readonly totalBytes: number; readonly usedBytes: number }[];
  readonly uptimeSeconds: number;
  /** Host clock minus console clock, half the round trip taken off. */
  readonly clockSkewMs: number | null;
  readonly warnings: readonly HealthWarning[];
  readonly interfaces: readonly InterfaceRow[];
  readonly policy: {
    readonly mode: 'enforce' | 'observe';
    readonly revision: number;
    readonly generation: string;
    readonly desiredGeneration: string;
    readonly pending: { readonly revision: number; readonly rollbackAt: number } | null;
    /** Mappings that are not in force: nobody has approved them yet, or their time is over. Absent: an agent that does not tell. */
    readonly withheld?: readonly { readonly mapping: string; readonly why: 'waiting' | 'ended'; readonly expiresAt: number | null }[];
  };
  /** Absent: an agent that does not tell. */
  readonly drift?: HostDrift | null;
  readonly editors?: readonly HostEditor[];
  readonly flows: number | null;
  readonly flowsMax: number;
  /** Absent for nobody. */
  readonly breakGlass?: readonly BreakGlassMark[];
  /** Packets per second by verdict; null until two readings exist. */
  readonly allowedPerSecond: number | null;
  readonly deniedPerSecond: number | null;
  readonly bytesPerSecond: number | null;
  /** By reason name, only those that ever counted. */
  readonly reasons: readonly {
    readonly reason: string;
    readonly dropped: boolean;
    readonly packets: number;
    readonly perSecond: number | null;
  }[];
  /** One point a second, oldest first, at most 300. */
  readonly history: readonly { readonly at: number; readonly allowed: number; readonly denied: number }[];
}

export interface HostCounters {
  readonly at: number;
  /** When offline: the last reading, with its age in `at`. */
  readonly live: boolean;
  readonly revision: number;
  readonly mappings: readonly {
    readonly mapping: string;
    readonly action: 'allow' | 'deny';
    readonly packets: number;
    readonly bytes: number;
    /** null: it has no rate limit. limited*: dropped by it under the policy in force. */
    readonly limit: {
      readonly packetsPerSecond: number | null;
      readonly bytesPerSecond: number | null;
      readonly burst: number;
      readonly per: 'mapping' | 'source';
      readonly limitedPackets: number;
      readonly limitedBytes: number;
    } | null;
  }[];
  readonly path: {
    readonly judged: number;
    readonly forwarded: number;
    readonly routedByKernel: number;
    readonly tooBigAnswered: number;
    readonly floodMode: boolean;
    readonly floodSince: number | null;
  };
  readonly reasons: readonly {
    readonly reason: string;
    readonly sentence: string;
    readonly dropped: boolean;
    readonly packets: number;
    readonly bytes: number;
  }[];
  readonly interfaces: readonly {
    readonly name: string;
    readonly reasons: readonly { readonly reason: string; readonly dropped: boolean; readonly packets: number; readonly bytes: number }[];
  }[];
  readonly recordsLost: number;
  readonly recordsSuppressed: number;
  readonly flowsNotInserted: number;
}

export interface FlowRow {
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly protocol: string;
  readonly state: 'live' | 'ended' | 'denied' | 'cut';
  readonly allowed: boolean;
  readonly reason: string;
  /** null = default action. */
  readonly mapping: string | null;
  readonly interface: string;
  readonly packets: number;
  readonly bytes: number;
  readonly firstSeen: number;
  readonly lastSeen: number;
  readonly sourceServices: readonly string[];
  readonly destinationServices: readonly string[];
  /** Endpoints after translation; null when the flow is not translated. */
  readonly translation: {
    readonly source: string;
    readonly destination: string;
    readonly sourcePort: number;
    readonly destinationPort: number;
    readonly backend: string | null;
  } | null;
}

export interface FlowList {
  readonly at: number;
  readonly live: boolean;
  readonly flows: readonly FlowRow[];
  readonly matched: number;
  readonly truncated: boolean;
  readonly recordsLost: number;
}

export interface PolicyRevision {
  readonly hostId: string;
  readonly revision: number;
  readonly etag: string;
  /** JSON of the policy document; empty in lists. */
  readonly policy: string;
  readonly generation: string;
  readonly state: 'pending' | 'confirmed' | 'rolled-back' | 'superseded' | 'failed';
  readonly author: string;
  readonly comment: string;
  readonly createdAt: number;
  readonly settledAt: number | null;
  readonly settledReason: string;
  readonly mappingCount: number;
  readonly serviceCount: number;
  /** False when it comes from the cache of a host that does not answer; `at` says how old it is. */
  readonly live: boolean;
  readonly at: number;
}

export interface PolicyProblem {
  readonly code: string;
  readonly severity: 'error' | 'warning';
  readonly path: string;
  readonly message: string;
}

export interface PolicyCheck {
  readonly valid: boolean;
  readonly problems: readonly PolicyProblem[];
  readonly tables: TableStats | null;
}

export interface TableStats {
  readonly identities: number;
  readonly pairs: number;
  readonly portIntervals: number;
  readonly mappings: number;
  readonly imageBytes: number;
  readonly compileMs: number;
}

export interface PolicyImport {
  readonly format: string;
  readonly policy: string;
  readonly notes: readonly { readonly subject: string; readonly code: string; readonly message: string }[];
}

export interface Draft {
  readonly policy: string;
  readonly hostIds: readonly string[];
  /** The revision of a host that the draft was made on, where it is known. */
  readonly bases?: Readonly<Record<string, number>>;
  readonly savedAt: number;
}

export interface DiffLine {
  readonly kind: 'same' | 'added' | 'removed';
  readonly text: string;
}

export interface FlowChange {
  readonly flow: FlowRow;
  readonly allowed: boolean;
  readonly mapping: string | null;
}

export interface FlowImpact {
  readonly replayed: number;
  readonly unchanged: number;
  readonly cut: number;
  /** Of those, under way now; the others have ended. */
  readonly cutLive: number;
  readonly newlyAllowed: number;
  readonly windowSeconds: number;
  readonly changes: readonly FlowChange[];
  readonly changesTruncated: boolean;
  readonly recordsLost: number;
}

export interface HostPlan {
  readonly hostId: string;
  readonly hostName: string;
  readonly problem: { readonly code: string; readonly message: string } | null;
  /** The host has another revision than the change was made on; null: it has that one, or the change names none. */
  readonly conflict: RevisionConflict | null;
  readonly planHash: string | null;
  readonly baseRevision: number | null;
  readonly diff: readonly DiffLine[];
  readonly problems: readonly PolicyProblem[];
  readonly impact: FlowImpact | null;
  readonly managementReachable: boolean | null;
  readonly canApply: boolean;
  readonly cannotApplyReason: string | null;
  readonly tables: TableStats | null;
}

export interface FleetPlan {
  readonly planId: string;
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly hosts: readonly HostPlan[];
  /** Sums over the hosts that could be planned. */
  readonly replayed: number;
  readonly unchanged: number;
  readonly cut: number;
  /** Of those, under way now; the others have ended. */
  readonly cutLive: number;
  readonly newlyAllowed: number;
}

export interface RolloutHost {
  readonly hostId: string;
  readonly hostName: string;
  readonly state: 'waiting' | 'applying' | 'pending' | 'confirmed' | 'rolled-back' | 'failed' | 'unreachable';
  readonly revision: number | null;
  readonly previousRevision: number | null;
  /** Console clock. */
  readonly rollbackAt: number | null;
  readonly loadMs: number | null;
  readonly problem: { readonly code: string; readonly message: string } | null;
}

export interface Rollout {
  readonly rolloutId: string;
  readonly planId: string;
  readonly startedAt: number;
  readonly confirmWithinSeconds: number;
  /** 'pending': waits for keep or undo. */
  readonly state: 'applying' | 'pending' | 'confirming' | 'confirmed' | 'undoing' | 'rolled-back' | 'failed' | 'mixed';
  readonly hosts: readonly RolloutHost[];
  /** The earliest rollback of a pending host, console clock. */
  readonly rollbackAt: number | null;
}

export interface TraceStep {
  readonly stage: string;
  readonly title: string;
  readonly detail: string;
  readonly subject: string | null;
}

export interface Trace {
  readonly allowed: boolean;
  readonly reason: string;
  readonly sentence: string;
  readonly mapping: string | null;
  readonly priority: number | null;
  readonly steps: readonly TraceStep[];
  readonly revision: number;
  readonly generation: string;
  readonly interface: string;
  /** Null when the host's own program was not asked. */
  readonly durationNs: number | null;
  readonly hex: string;
  readonly outcome: 'pass' | 'drop' | 'transmit' | 'redirect';
  /** The packet as it leaves; null when it is dropped. */
  readonly outputHex: string | null;
  readonly draft: { readonly allowed: boolean; readonly reason: string; readonly mapping: string | null } | null;
  /** False when the host did not answer: judged here, by the policy it had at `at`, without its flows, routes and own deny lists. */
  readonly live: boolean;
  readonly at: number;
}
