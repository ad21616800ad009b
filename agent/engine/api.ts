/**
 * The TypeScript face of the native data path: opens or adopts it, decodes what it packs, and passes on the policy
 * compiler, so that domains know neither the addon nor a memory layout. Used by agent/domains and wired by system.ts. It
 * never decides what traffic is allowed and never stores anything.
 */
import type { ReasonName } from '../../proto/model/reason.ts';

export {
  addressFromBytes,
  compilePolicy,
  diffPolicies,
  formatAddress,
  generationOf,
  isWithin,
  networkOf,
  openImage,
  parsePolicy,
  parsePrefix,
  validatePolicy,
} from '../../native/index.ts';
export type { CompiledPolicy, Judgement, Policy, PolicyImage, Prefix } from '../../native/index.ts';
export { flowsMax, mappingDefault, recordBytes, recordKinds, traceFlow, traceParse } from './layout.ts';
export { mergeRecord, recordAt, recordKey } from './record.ts';
export type { FlowRecord } from './record.ts';

export type AttachMode = 'native' | 'generic';

export interface EngineProbe {
  readonly engine: string;
  readonly available: boolean;
  /** One sentence for the operator, also when available. */
  readonly reason: string;
}

interface EngineInterface {
  readonly name: string;
  readonly index: number;
  readonly mode: AttachMode;
}

export interface EngineState {
  /** True when a running data path was taken over, false when it was loaded. */
  readonly adopted: boolean;
  /** Of the policy in force; 0 = none was ever loaded. */
  readonly sequence: number;
  /** Names this loading of the data path: the same as long as its pinned programs live. */
  readonly instance: string;
  readonly interfaces: readonly EngineInterface[];
}

interface PacketCount {
  readonly packets: bigint;
  readonly bytes: bigint;
}

/** Mapping i has packets at 2i and bytes at 2i + 1; the last mapping is the default action. */
export interface MappingValues {
  readonly sequence: number;
  readonly values: BigUint64Array;
}

export interface ReasonCount extends PacketCount {
  readonly reason: ReasonName;
}

export interface EngineCounters {
  /** Per attached interface, reasons that were counted at least once, since the data path was loaded. */
  readonly interfaces: readonly { readonly name: string; readonly index: number; readonly reasons: readonly ReasonCount[] }[];
  readonly active: MappingValues;
  /** Final values of the sequence before; null before the second swap. */
  readonly retired: MappingValues | null;
  readonly recordsLost: bigint;
  readonly recordsSuppressed: bigint;
  readonly flowsNotInserted: bigint;
}

export interface EngineTrace {
  readonly verdict: 'pass' | 'drop' | 'other';
  readonly durationNs: number;
  readonly reason: ReasonName;
  /** 0 = not IP. */
  readonly family: 0 | 4 | 6;
  /** Transport class of the policy table, 0 = not reached. */
  readonly l4: number;
  /** One of {@link traceFlow}. */
  readonly flow: number;
  readonly sourceIdentity: number;
  readonly destinationIdentity: number;
  /** Mapping index that decided, null = the default action or not judged by policy. */
  readonly mapping: number | null;
  readonly sequence: number;
  /** Bytes from the Ethernet header, 0 = not reached. */
  readonly l4Offset: number;
  readonly vlanTags: number;
  /** Bits of {@link traceParse}. */
  readonly parse: number;
}

/** Packed struct nest_record rows: read them with `recordAt`, one by one, without a copy. */
export interface RecordBatch {
  readonly rows: Buffer;
  readonly count: number;
}

/**
 * A running data path. Codes raised by every call: ENGINE_FAILED (details: native code, verifier log), ENGINE_UNAVAILABLE
 * after close; others are named at the call.
 */
export interface Engine {
  state(): EngineState;
  /** Idempotent. Raises INTERFACE_UNKNOWN, INTERFACE_FOREIGN_PROGRAM, INTERFACES_EXHAUSTED. */
  attach(name: string): Promise<EngineInterface>;
  /** True when it was attached. */
  detach(name: string): Promise<boolean>;
  /** Makes the image current under `sequence`, which must be the current one + 1. On failure the previous tables stay. */
  swap(image: Uint8Array, sequence: number): Promise<{ readonly loadMs: number; readonly flipMs: number }>;
  counters(): EngineCounters;
  /** Live flows of both families, at most `limit`. */
  flows(limit: number): Promise<RecordBatch & { readonly truncated: boolean }>;
  /** Removes idle flows and returns them as ended. */
  sweep(limit: number): Promise<RecordBatch>;
  /** Flow records since the last call, at most `limit`, and how many were lost since then on the way; never waits. */
  takeRecords(limit: number): RecordBatch & { readonly lost: number };
  /** Raises PACKET_INVALID, INTERFACE_UNKNOWN. */
  trace(packet: Uint8Array, interfaceName: string): Promise<EngineTrace>;
  /** Milliseconds since the Unix epoch of a record's time. */
  wallTimeMs(timeNs: bigint): number;
  /** Stops threads; traffic goes on under the pinned programs. Idempotent. */
  close(): Promise<void>;
}

export interface EngineOpening {
  /** null: observe only, because of `reason`. */
  readonly engine: Engine | null;
  /** Why there is no engine and what to do; empty when there is one. */
  readonly reason: string;
  readonly probes: readonly EngineProbe[];
}

/** What system.ts hands to the traffic domain: opening may be tried again after it failed. */
export interface EngineSource {
  /** Opens or adopts the data path. Never raises for a missing means: it says the reason instead. */
  open(): Promise<EngineOpening>;
}
