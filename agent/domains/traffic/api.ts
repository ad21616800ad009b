/**
 * What traffic is allowed on this host: plans candidates, makes policy current, answers with flows, counters and
 * traces. Used by the server and wired by system.ts. It never sees wire types and never stores revisions.
 */
import type { ReasonName } from '../../../proto/model/reason.ts';
import type { DriftPort } from '../../control/drift/api.ts';
import type { Activation } from '../../control/revisions/api.ts';

export interface Count {
  readonly packets: bigint;
  readonly bytes: bigint;
}

export interface Problem {
  readonly code: string;
  readonly severity: 'error' | 'warning';
  readonly path: string;
  readonly message: string;
}

export interface Flow {
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly protocol: number;
  readonly state: 'live' | 'ended' | 'denied' | 'cut';
  readonly allowed: boolean;
  readonly reason: ReasonName;
  /** Empty = default action. */
  readonly mapping: string;
  readonly interface: string;
  readonly forward: Count;
  readonly reverse: Count;
  readonly firstSeenMs: number;
  readonly lastSeenMs: number;
  readonly revision: number;
  readonly sourceServices: readonly string[];
  readonly destinationServices: readonly string[];
  /** null: neither its ends change nor does a balancer choose where it goes. */
  readonly translation: Translation | null;
}

/** A flow's ends as its packets leave. The same as before where a balancer leaves them as they are. */
export interface Translation {
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** Empty when none was chosen, or the policy in force has it no more. */
  readonly backend: string;
}

/** What is absent does not filter. */
export interface FlowFilter {
  /** Address or CIDR of either side, and of one side. */
  readonly address?: string;
  readonly source?: string;
  readonly destination?: string;
  /** Of either side. */
  readonly port?: number;
  /** IP protocol number. */
  readonly protocol?: number;
  readonly mapping?: string;
  readonly interface?: string;
  readonly verdict?: 'allowed' | 'denied';
  readonly state?: Flow['state'];
  readonly reason?: ReasonName;
}

export type FlowSumKey = 'source' | 'destination' | 'mapping' | 'port' | 'reason';

export interface FlowSums {
  /** The most bytes first. Key of a mapping: empty = default action. Of a port: "tcp/443", or the protocol where there is none. */
  readonly sums: readonly { readonly key: string; readonly flows: number; readonly deniedFlows: number; readonly count: Count }[];
  /** Different keys in all. */
  readonly keys: number;
  readonly flows: number;
  readonly total: Count;
  readonly recordsLost: number;
}

export interface FlowImpact {
  readonly replayed: number;
  readonly unchanged: number;
  readonly cut: number;
  /** Of those, in the flow table now; the others have ended. */
  readonly cutLive: number;
  readonly newlyAllowed: number;
  readonly windowSeconds: number;
  /** At most 200: live ones first, then the heaviest; services as the candidate names them. */
  readonly changes: readonly { readonly flow: Flow; readonly allowed: boolean; readonly mapping: string }[];
  readonly changesTruncated: boolean;
  readonly recordsLost: number;
}

export interface TableStats {
  readonly identities: number;
  readonly pairs: number;
  readonly portIntervals: number;
  readonly mappings: number;
  readonly imageBytes: number;
  readonly compileMs: number;
}

export interface Plan {
  /** Lower-case hex; empty when problems hold an error. */
  readonly planHash: string;
  readonly baseRevision: number;
  readonly baseEtag: string;
  readonly generation: string;
  readonly diff: readonly { readonly kind: 'same' | 'added' | 'removed'; readonly text: string }[];
  readonly problems: readonly Problem[];
  readonly impact: FlowImpact | null;
  readonly expiresAtMs: number;
  /** Whether the caller's own connection stays allowed; null when the caller's address is not known. */
  readonly managementReachable: boolean | null;
  readonly tables: TableStats | null;
  readonly canApply: boolean;
  readonly cannotApplyReason: string;
  readonly mappingCount: number;
  readonly serviceCount: number;
}

export interface PlanRequest {
  readonly policyJson: string;
  readonly base: { readonly revision: number; readonly etag: string; readonly policyJson: string };
  /** 1..60 */
  readonly flowWindowMinutes: number;
  /** As in BroughtPolicy; absent or null: not the one who asks. */
  readonly author?: string | null;
  /** The caller's connection to this agent, for the management check. */
  readonly management: {
    readonly callerAddress: string;
    readonly callerPort: number;
    readonly localAddress: string;
    readonly localPort: number;
  } | null;
}

/** A document and who brings it, as `requestedBy` names people; null: not the one who asks (a staged rollout of another operator). */
export interface BroughtPolicy {
  readonly policyJson: string;
  readonly basePolicyJson: string;
  readonly author: string | null;
}

export interface ApprovalRequest {
  /** The document in force. */
  readonly policyJson: string;
  readonly mapping: string;
  readonly approver: string;
  /** Earlier documents and who brought them, the newest first. */
  readonly history: Iterable<{ readonly policyJson: string; readonly author: string }>;
}

/** A mapping of the document that is not in force. */
export interface WithheldMapping {
  readonly mapping: string;
  /** waiting: nobody has approved it yet. ended: its time is over. */
  readonly why: 'waiting' | 'ended';
  /** null: it does not end. */
  readonly expiresAtMs: number | null;
}

export interface RateLimit {
  /** null = not limited in that unit. */
  readonly packetsPerSecond: number | null;
  readonly bytesPerSecond: number | null;
  /** Packets that may come at once; bytes when only bytes are limited. */
  readonly burst: number;
  readonly perSource: boolean;
}

export interface Backend {
  readonly name: string;
  readonly address: string;
  /** 0 = as in the packet. */
  readonly port: number;
  readonly weight: number;
  readonly wanted: 'up' | 'drain' | 'down';
  /** What the data path does with it now. */
  readonly effective: 'up' | 'drain' | 'down';
  readonly health: 'unknown' | 'up' | 'down';
  /** The last answer of the check; empty before the first. */
  readonly healthDetail: string;
  readonly healthSinceMs: number | null;
  /** Begun under the policy in force. */
  readonly flows: bigint;
  /** In the flow table at the last sweep, some seconds ago; null before the first. */
  readonly liveFlows: number | null;
  readonly count: Count;
}

export interface Balancer {
  readonly mapping: string;
  readonly destinations: readonly string[];
  readonly protocols: readonly string[];
  readonly ports: readonly string[];
  readonly nat: 'dnat' | 'full' | 'dsr';
  readonly affinity: 'none' | 'source';
  readonly backends: readonly Backend[];
  readonly healthCheck: {
    readonly kind: 'tcp' | 'http' | 'icmp';
    readonly path: string;
    readonly intervalMs: number;
    readonly timeoutMs: number;
    readonly rise: number;
    readonly fall: number;
  } | null;
}

export interface DenyList {
  readonly name: string;
  /** Of the policy document, or kept by this host. */
  readonly origin: 'policy' | 'host';
  /** Name of the file it is read from; empty = none. */
  readonly file: string;
  readonly prefixes: number;
  readonly firstPrefixes: readonly string[];
  readonly expiresAtMs: number | null;
  readonly isExpired: boolean;
  /** Dropped because of it, under the policy in force. */
  readonly hits: Count;
  /** Why its file was not read, or a part of it; empty when nothing is wrong. */
  readonly problem: string;
}

export interface DenyListUpdate {
  readonly name: string;
  readonly add: readonly string[];
  readonly remove: readonly string[];
  /** When the added prefixes go by themselves; null = never. */
  readonly expiresAtMs: number | null;
  /** Removes the list whole. */
  readonly delete: boolean;
}

export interface PathCounters {
  readonly judged: bigint;
  readonly forwarded: bigint;
  readonly routedByKernel: bigint;
  readonly tooBigAnswered: bigint;
  readonly isFlood: boolean;
  readonly floodSinceMs: number | null;
}

export type EngineName = 'auto' | 'xdp' | 'af_xdp' | 'dpdk' | 'off';

export interface TrafficCounters {
  readonly mappings: readonly {
    readonly mapping: string;
    readonly allow: boolean;
    readonly count: Count;
    /** Over the limit, under the policy in force; not in `count`. */
    readonly limited: Count;
    readonly limit: RateLimit | null;
  }[];
  readonly path: PathCounters;
  readonly reasons: readonly { readonly reason: ReasonName; readonly dropped: boolean; readonly count: Count }[];
  readonly interfaces: readonly {
    readonly name: string;
    readonly index: number;
    readonly reasons: readonly { readonly reason: ReasonName; readonly dropped: boolean; readonly count: Count }[];
  }[];
  readonly recordsLost: bigint;
  readonly recordsSuppressed: bigint;
  readonly flowsNotInserted: bigint;
}

/** What left this host for collectors, since the agent started. */
export interface ExportCounters {
  readonly targets: readonly {
    readonly target: 'syslog' | 'ipfix';
    /** Datagrams handed to the network, waiting, and dropped by reason. */
    readonly sent: number;
    readonly queued: number;
    readonly dropped: readonly { readonly reason: string; readonly count: number }[];
    /** False while the collector's name has no address. */
    readonly isResolved: boolean;
    readonly records: readonly { readonly kind: string; readonly count: number }[];
  }[];
  /** Dumps that did not hold all flows. */
  readonly dumpsTruncated: number;
  /** Periods in which the dump could not be read or came too late. */
  readonly dumpsMissed: number;
  /** Records that came faster than they could be sent. */
  readonly recordsDropped: number;
  /** Flows forgotten for lack of room: some of their counts are in no record. */
  readonly flowsForgotten: number;
}

export interface TraceResult {
  readonly allowed: boolean;
  readonly reason: ReasonName;
  readonly mapping: string;
  readonly priority: number;
  readonly steps: readonly { readonly stage: string; readonly title: string; readonly detail: string; readonly subject: string }[];
  readonly generation: string;
  readonly interface: string;
  readonly durationNs: number;
  readonly sourceServices: readonly string[];
  readonly destinationServices: readonly string[];
  readonly outcome: 'pass' | 'drop' | 'transmit' | 'redirect';
  /** The packet as it leaves; empty when it is dropped. */
  readonly output: Uint8Array;
}

export interface TrafficStatus {
  readonly mode: 'enforce' | 'observe';
  /** Why it only observes, and what to do. */
  readonly observeReason: string;
  readonly generation: string;
  readonly desiredGeneration: string;
  /** Of the policy loaded last. */
  readonly withheld: readonly WithheldMapping[];
  readonly adopted: boolean;
  readonly flows: number | null;
  readonly flowsMax: number;
  readonly engines: readonly { readonly engine: string; readonly available: boolean; readonly reason: string }[];
  readonly interfaces: readonly InterfaceService[];
}

/** How one interface is served. */
export interface InterfaceService {
  readonly name: string;
  readonly mode: 'native' | 'generic' | null;
  readonly problem: string;
  readonly choice: EngineName;
  /** "xdp-native", "xdp-generic", "af_xdp", "dpdk"; empty = none. */
  readonly engine: string;
  /** Why this one, or why none. */
  readonly reason: string;
  readonly engines: readonly { readonly engine: string; readonly available: boolean; readonly reason: string }[];
  /** null: not known. */
  readonly facts: {
    readonly receiveQueues: number;
    readonly sendQueues: number;
    readonly numaNode: number | null;
    readonly speedMbps: number | null;
    readonly xdpFeatures: readonly string[] | null;
    /** Of SR-IOV; null: the device has none. */
    readonly virtualFunctions: { readonly enabled: number; readonly total: number } | null;
  } | null;
}

/**
 * Codes raised: POLICY_INVALID, POLICY_TOO_LARGE, OBSERVE_ONLY, ENGINE_FAILED, INTERFACE_UNKNOWN, PACKET_INVALID,
 * PLAN_EXPIRED, PLAN_MISMATCH.
 */
export interface Traffic extends Activation, DriftPort {
  /** Opens or adopts the data path and attaches the configured interfaces; without the means it goes on in observe mode. */
  start(signal: AbortSignal): Promise<void>;
  status(): TrafficStatus;
  plan(request: PlanRequest, signal: AbortSignal): Promise<Plan>;
  /** The plan of this hash when it is still valid and fits the document. Throws PLAN_EXPIRED, PLAN_MISMATCH. */
  takePlan(planHash: string, policyJson: string): Promise<Plan>;
  /** Raises POLICY_INVALID when the document says about approvals what its author may not say. */
  checkApprovals(brought: BroughtPolicy): void;
  /** The document with the approval in it, to be applied. Raises NOT_FOUND, APPROVAL_REFUSED. */
  approve(request: ApprovalRequest): string;
  /** Tells which stored revision the tables belong to, for flows and counters. */
  setRevision(revision: number): void;
  counters(): TrafficCounters;
  flows(
    query: { readonly filter: FlowFilter; readonly limit: number; readonly windowSeconds: number },
    signal: AbortSignal,
  ): Promise<{ readonly flows: readonly Flow[]; readonly matched: number; readonly truncated: boolean; readonly recordsLost: number }>;
  /** Sums of flows by one property; at most 100. */
  sumFlows(
    query: { readonly filter: FlowFilter; readonly by: FlowSumKey; readonly limit: number; readonly windowSeconds: number },
    signal: AbortSignal,
  ): Promise<FlowSums>;
  /** Batches of at most 500 flows; the oldest are dropped for a slow reader and counted in `lost`. */
  watchFlows(filter: FlowFilter, signal: AbortSignal): AsyncIterable<{ readonly flows: readonly Flow[]; readonly lost: number }>;
  balancers(): readonly Balancer[];
  /** With the first so many prefixes of each list that the host keeps. */
  denyLists(prefixes: number): readonly DenyList[];
  /** Takes effect at once. Raises INPUT_INVALID, OBSERVE_ONLY, STATE_FAILED, ENGINE_FAILED. */
  updateDenyList(update: DenyListUpdate): Promise<{ readonly added: number; readonly removed: number; readonly prefixes: number }>;
  /**
   * Which engine serves an interface from now on; kept over restarts. Raises INTERFACE_UNKNOWN, ENGINE_UNAVAILABLE (with the reason), OBSERVE_ONLY,
   * STATE_FAILED. `warning`: what fails from now on because interfaces are served by engines that do not share flows; empty = nothing.
   */
  setInterfaceEngine(
    name: string,
    engine: EngineName,
  ): Promise<{ readonly engine: string; readonly reason: string; readonly warning: string }>;
  trace(request: { readonly interface: string; readonly packet: Uint8Array }, signal: AbortSignal): Promise<TraceResult>;
  /** Stops threads; traffic goes on under the pinned programs. */
  close(): Promise<void>;
}
