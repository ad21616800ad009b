/**
 * What traffic is allowed on this host: plans candidates, makes policy current, answers with flows, counters and
 * traces. Used by the server and wired by system.ts. It never sees wire types and never stores revisions.
 */
import type { ReasonName } from '../../../proto/model/reason.ts';
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
}

export interface FlowFilter {
  readonly address?: string;
  readonly port?: number;
  readonly mapping?: string;
  readonly verdict?: 'allowed' | 'denied';
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
  /** The caller's connection to this agent, for the management check. */
  readonly management: {
    readonly callerAddress: string;
    readonly callerPort: number;
    readonly localAddress: string;
    readonly localPort: number;
  } | null;
}

export interface TrafficCounters {
  readonly mappings: readonly { readonly mapping: string; readonly allow: boolean; readonly count: Count }[];
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
}

export interface TrafficStatus {
  readonly mode: 'enforce' | 'observe';
  /** Why it only observes, and what to do. */
  readonly observeReason: string;
  readonly generation: string;
  readonly desiredGeneration: string;
  readonly adopted: boolean;
  readonly flows: number | null;
  readonly flowsMax: number;
  readonly engines: readonly { readonly engine: string; readonly available: boolean; readonly reason: string }[];
  readonly interfaces: readonly { readonly name: string; readonly mode: 'native' | 'generic' | null; readonly problem: string }[];
}

/**
 * Codes raised: POLICY_INVALID, POLICY_TOO_LARGE, OBSERVE_ONLY, ENGINE_FAILED, INTERFACE_UNKNOWN, PACKET_INVALID,
 * PLAN_EXPIRED, PLAN_MISMATCH.
 */
export interface Traffic extends Activation {
  /** Opens or adopts the data path and attaches the configured interfaces; without the means it goes on in observe mode. */
  start(signal: AbortSignal): Promise<void>;
  status(): TrafficStatus;
  plan(request: PlanRequest, signal: AbortSignal): Promise<Plan>;
  /** The plan of this hash when it is still valid and fits the document. Throws PLAN_EXPIRED, PLAN_MISMATCH. */
  takePlan(planHash: string, policyJson: string): Promise<Plan>;
  /** Tells which stored revision the tables belong to, for flows and counters. */
  setRevision(revision: number): void;
  counters(): TrafficCounters;
  flows(
    query: { readonly filter: FlowFilter; readonly limit: number; readonly windowSeconds: number },
    signal: AbortSignal,
  ): Promise<{ readonly flows: readonly Flow[]; readonly matched: number; readonly truncated: boolean; readonly recordsLost: number }>;
  /** Batches of at most 500 flows; the oldest are dropped for a slow reader and counted in `lost`. */
  watchFlows(filter: FlowFilter, signal: AbortSignal): AsyncIterable<{ readonly flows: readonly Flow[]; readonly lost: number }>;
  trace(request: { readonly interface: string; readonly packet: Uint8Array }, signal: AbortSignal): Promise<TraceResult>;
  /** Stops threads; traffic goes on under the pinned programs. */
  close(): Promise<void>;
}
