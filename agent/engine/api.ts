/**
 * The TypeScript face of the native data path: opens or adopts it, decodes what it packs, and passes on the policy
 * compiler, so that domains know neither the addon nor a memory layout. Used by agent/domains and wired by system.ts. It
 * never decides what traffic is allowed and never stores anything.
 */
import type { PacketTrace } from '../../native/index.ts';
import type { ReasonName } from '../../proto/model/reason.ts';

export {
  addressFromBytes,
  addressToBytes,
  approvalProblems,
  burstOf,
  compilePolicy,
  completeHealthCheck,
  createPolicyCompiler,
  createPolicyReader,
  diffPolicies,
  formatAddress,
  formatPrefix,
  generationOf,
  isSameRequest,
  isWithin,
  networkOf,
  openImage,
  packetWords,
  parseAddress,
  parsePolicy,
  parsePorts,
  parsePrefix,
  policyInForce,
  traceFlow,
  traceSteps,
  validatePolicy,
  withApproval,
} from '../../native/index.ts';
export type {
  CheckedMapping,
  CompiledPolicy,
  Judgement,
  Policy,
  PolicyCompiler,
  PolicyImage,
  PolicyInForce,
  PolicyReader,
  Prefix,
  TraceNames,
  WithheldMapping,
} from '../../native/index.ts';
export { backendNone, flowsMax, mappingDefault, recordBytes, recordKinds, recordOffsets } from './layout.ts';
export { mergeRecord, recordAt, recordKey } from './record.ts';
export type { FlowBackend, FlowRecord, TranslatedEnds } from './record.ts';

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

export interface EngineLocal {
  readonly attached: boolean;
  /** Why not; empty when attached. */
  readonly reason: string;
  /** Interfaces without a program at their egress, and why. */
  readonly problems: readonly string[];
}

export interface EngineState {
  /** True when a running data path was taken over, false when it was loaded. */
  readonly adopted: boolean;
  /** Of the policy in force; 0 = none was ever loaded. A re-stamp, which has all flows judged anew, counts it up by two. */
  readonly sequence: number;
  /** The sequence of the swap that loaded the policy in force: names its counters. */
  readonly loadedSequence: number;
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
  /** Over the rate limit, indexed likewise; empty when no mapping has one. */
  readonly limited: BigUint64Array;
  /** By deny list: packets at 2i, bytes at 2i + 1. */
  readonly denyLists: BigUint64Array;
  /** By backend: flows begun at 3i, packets at 3i + 1, bytes at 3i + 2. */
  readonly backends: BigUint64Array;
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
  /** Packets that no live flow settled; ICMP messages about size; rewritten packets that the kernel routes, and that left without it. */
  readonly judged: bigint;
  readonly tooBigAnswered: bigint;
  readonly routedByKernel: bigint;
  readonly forwarded: bigint;
}

/** Addresses of one interface, for masquerade: 4 and 16 bytes, null = none. */
export interface InterfaceAddress {
  readonly index: number;
  readonly address4: Uint8Array | null;
  readonly address6: Uint8Array | null;
}

/** What the kernel and the driver say about an interface. null: not known, or it has none. */
/** A destination that packets leave for without the kernel. */
export interface NextHopWanted {
  /** 4 or 16 bytes. */
  readonly address: Uint8Array;
  /** For a network: the gateway that leads there counts, its addresses on the link itself do not. */
  readonly isGatewayOnly: boolean;
}

/** notNeeded: an address of this host, or no gateway leads there; asked: the kernel looks for it now. */
export type EngineNextHop = 'noRoute' | 'notNeeded' | 'known' | 'asked';

export interface InterfaceFacts {
  readonly index: number;
  readonly driver: string;
  readonly receiveQueues: number;
  readonly sendQueues: number;
  readonly numaNode: number | null;
  readonly speedMbps: number | null;
  /** As the kernel names them, for instance "basic", "redirect", "ndo-xmit"; null before kernel 6.3. */
  readonly xdpFeatures: readonly string[] | null;
  /** 4 and 16 bytes each, in the order of the kernel, without link-local ones. */
  readonly addresses4: readonly Uint8Array[];
  readonly addresses6: readonly Uint8Array[];
}

/** What the kernel has now, beside what was put there. */
export interface EngineInspection {
  /** Attached ones. programId 0: none runs there now. isOurs: it is the program of this data path. */
  readonly interfaces: readonly {
    readonly name: string;
    readonly index: number;
    readonly programId: number;
    readonly isOurs: boolean;
    /** Its counter slot is as it was. */
    readonly isCounted: boolean;
  }[];
  readonly hooksMissing: readonly string[];
  readonly tablesChanged: readonly string[];
  /** Too large to be compared. */
  readonly tablesSkipped: readonly string[];
}

export interface EngineTrace extends PacketTrace {
  readonly verdict: 'pass' | 'drop' | 'other';
  readonly durationNs: number;
  readonly sourceIdentity: number;
  readonly destinationIdentity: number;
  /** Mapping index that decided, null = the default action or not judged by policy. */
  readonly mapping: number | null;
  readonly sequence: number;
  readonly outcome: 'pass' | 'drop' | 'transmit' | 'redirect';
  /** The packet as it leaves the program. */
  readonly output: Uint8Array;
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
  /**
   * Hooks for what this host itself sends: in the control group, and at the egress of attached interfaces, now and later. Idempotent;
   * says why not instead of raising. Call it again from time to time: it reads the host's routes.
   */
  attachLocal(cgroupPath: string): Promise<EngineLocal>;
  detachLocal(): Promise<void>;
  /**
   * Makes the image current under `sequence`, which must be the current one + 1. `states` (NEST_BACKEND_* by backend index)
   * stand in for those of the image. On failure the previous tables stay.
   */
  swap(image: Uint8Array, sequence: number, states?: Uint8Array): Promise<{ readonly loadMs: number; readonly flipMs: number }>;
  /** NEST_BACKEND_* of every backend of the policy in force; flows of backends that go down are balanced anew. */
  setBackendStates(states: Uint8Array): Promise<void>;
  /** Deny lists come before the flow table. */
  setFlood(isOn: boolean): void;
  /** Of all interfaces; those that are not named have none. */
  setInterfaceAddresses(addresses: readonly InterfaceAddress[]): Promise<void>;
  /** Interfaces that packets may be sent to without the kernel. */
  setTransmitPorts(indexes: readonly number[]): Promise<void>;
  /**
   * Has the kernel look for next hops that it does not know, or has not heard of lately; does not wait for their answers. At most 1,024 at
   * a time; an answer for each. Raises ENGINE_FAILED.
   */
  askNextHops(wanted: readonly NextHopWanted[]): Promise<readonly EngineNextHop[]>;
  /** Raises INTERFACE_UNKNOWN. */
  interfaceFacts(name: string): Promise<InterfaceFacts>;
  /** Compares what is attached and what policy tables hold with what was put there; changes wait for it. */
  inspect(): Promise<EngineInspection>;
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

/** Engines outside the kernel: each runs in a process of its own, nest-fastpathd. */
export type UserEngine = 'af_xdp' | 'dpdk';

export interface UserInterface {
  readonly name: string;
  readonly engine: UserEngine;
}

export interface UserService {
  readonly engine: UserEngine;
  /**
   * serving: the process judges. covered: it is away, and the packet program it left falls back. off: neither is there, so that the
   * kernel's verdict can be attached, or nobody judges where the fallback is pass.
   */
  readonly state: 'serving' | 'covered' | 'off';
  readonly fallback: 'xdp' | 'pass';
  /** One or two sentences for the operator. */
  readonly reason: string;
}

/**
 * Runs and supervises nest-fastpathd for the interfaces that an operator gave it, and answers for the whole data path, the
 * kernel's and theirs, as one engine. It never decides which engine serves an interface.
 */
export interface Fastpath {
  /** Reasons of the engines here, as found at the start. */
  probes(): Promise<readonly EngineProbe[]>;
  /** One engine of the kernel's and those beside it: gives them tables, adds their counters, records and flows. At most once. */
  join(engine: Engine, events: FastpathEvents): Engine;
  /** Interfaces to be served from now on. Resolves when they are, or when it is known why not; never rejects. */
  want(interfaces: readonly UserInterface[]): Promise<void>;
  /** An operator chose anew: what was given up is tried again. */
  forgive(name: string): void;
  /** These tables are in force already, taken over from the agent before. Never rejects. */
  provide(image: Uint8Array, states: Uint8Array): Promise<void>;
  /** True: the kernel's verdict must not be attached to the interface. */
  holds(name: string): boolean;
  /** Interfaces that are held. */
  links(): readonly { readonly name: string; readonly index: number }[];
  /** null: no process was ever asked for. */
  service(name: string): UserService | null;
  /** Stops watching; processes go on. */
  close(): Promise<void>;
}

export interface FastpathEvents {
  /** Who judges has changed somewhere. */
  readonly onChange: () => void;
}
