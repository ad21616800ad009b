/**
 * The shape of the native addon, as `native/src/binding` exports it. Types only: loading is in `index.ts`.
 * Every call that enters the kernel for longer than a map look-up is asynchronous and runs off the JS thread.
 * Native failures are `Error`s with `code` (one of {@link NativeErrorCode}), `step` (what the operator can do next)
 * and, where the verifier spoke, `verifierLog` (its last lines).
 */

export type NativeErrorCode =
  | 'NATIVE_UNAVAILABLE'
  | 'NATIVE_PERMISSION'
  | 'NATIVE_KERNEL_TOO_OLD'
  | 'NATIVE_VERIFIER_REJECTED'
  | 'NATIVE_BPFFS_MISSING'
  | 'NATIVE_INTERFACE_UNKNOWN'
  | 'NATIVE_INTERFACE_FOREIGN_PROGRAM'
  | 'NATIVE_INTERFACES_EXHAUSTED'
  | 'NATIVE_ATTACH_FAILED'
  | 'NATIVE_IMAGE_INVALID'
  | 'NATIVE_TABLE_FULL'
  | 'NATIVE_PIN_INCOMPATIBLE'
  | 'NATIVE_PACKET_INVALID'
  | 'NATIVE_CLOSED'
  | 'NATIVE_SYSTEM';

export type AttachMode = 'native' | 'generic';

/** Whether an engine can run here, and why not. */
export interface EngineProbe {
  readonly engine: 'xdp-native' | 'xdp-generic';
  readonly available: boolean;
  /** One sentence for the operator; also set when available ("kernel 6.18, BTF present"). */
  readonly reason: string;
}

export interface AttachedInterface {
  readonly name: string;
  readonly index: number;
  readonly mode: AttachMode;
  /** Counter slot, 0..63. */
  readonly slot: number;
}

/** What the kernel and the driver say about an interface. */
export interface InterfaceFacts {
  readonly name: string;
  readonly index: number;
  /** Empty: not known. */
  readonly driver: string;
  readonly receiveQueues: number;
  readonly sendQueues: number;
  /** null: the host has one node, or the interface is virtual. */
  readonly numaNode: number | null;
  readonly mtu: number;
  /** null: not known, as of most virtual interfaces and of those without a link. */
  readonly speedMbps: number | null;
  /**
   * basic, redirect, ndo-xmit, xsk-zerocopy, hw-offload, rx-sg, ndo-xmit-sg; null: this kernel does not say (before 6.3). Packets
   * can be redirected to an interface with ndo-xmit; a veth has it while its peer runs an XDP program or GRO.
   */
  readonly xdpFeatures: readonly string[] | null;
  /** 4 and 16 bytes each, in the order of the kernel, without link-local ones. */
  readonly addresses4: readonly Buffer[];
  readonly addresses6: readonly Buffer[];
}

export interface LoadOptions {
  /** Path of nest_xdp.bpf.o. */
  readonly objectPath: string;
  /** Directory inside a bpffs; created when absent. Pins live here as `maps/*`, `programs/*`, `links/<interface>`. */
  readonly pinPath: string;
}

export interface SwapResult {
  readonly sequence: number;
  /** Milliseconds to fill the inactive tables, and to flip. */
  readonly loadMs: number;
  readonly flipMs: number;
}

/** What one policy has counted. */
export interface MappingCounters {
  /** Of the swap that loaded the policy: stays the same when flows are stamped anew. */
  readonly sequence: number;
  /** Mapping i has packets at 2i, bytes at 2i + 1; the last one is the default action. */
  readonly values: BigUint64Array;
  /** Likewise, what was over the rate limit; empty when no mapping has one. */
  readonly limits: BigUint64Array;
  /** Deny list i has packets at 2i, bytes at 2i + 1; 256 lists. */
  readonly denyLists: BigUint64Array;
  /** Backend i has flows at 3i, packets at 3i + 1, bytes at 3i + 2; as many as the policy has. */
  readonly backends: BigUint64Array;
}

export interface Counters {
  /** Per attached interface: reason r has packets at 2r, bytes at 2r + 1. */
  readonly interfaces: readonly { readonly name: string; readonly index: number; readonly reasons: BigUint64Array }[];
  readonly active: MappingCounters;
  /** Counters of the policy before: final, kept until the next swap overwrites them; null before the second swap. */
  readonly retired: MappingCounters | null;
  /** Index = NEST_LOSS_*. */
  readonly losses: BigUint64Array;
  /** Index = NEST_STAT_*. */
  readonly stats: BigUint64Array;
}

export interface DataPathState {
  /** True when programs and maps were found pinned and taken over, false when they were loaded. */
  readonly adopted: boolean;
  /** Present stamp of flows and records, 0 = no policy was ever loaded. Moves by swaps, and by 2 when flows are to be judged anew. */
  readonly sequence: number;
  /** The sequence given to the swap that loaded the policy in use. */
  readonly swapped: number;
  readonly flags: number;
  readonly programId: number;
  readonly interfaces: readonly AttachedInterface[];
  readonly local: LocalState;
}

/** Hooks for what processes of this host send. */
export interface LocalState {
  /** In the control group: connect, sendmsg, getpeername and the accounting of connections. */
  readonly attached: boolean;
  readonly cgroupPath: string;
  /** Why not; empty when attached. */
  readonly reason: string;
  /** At the egress of each attached interface: tcx from kernel 6.6 on, before that clsact; none says its reason. */
  readonly egress: readonly {
    readonly name: string;
    readonly index: number;
    readonly kind: 'tcx' | 'clsact' | 'none';
    readonly reason: string;
  }[];
}

export interface LocalCounters {
  /**
   * Of the policy in use, eight per mapping, the last mapping is the default action: calls allowed, calls refused, connections
   * established, closed, bytes sent (acknowledged), bytes received, segments sent, segments received. Bytes and segments are of closed
   * connections. Empty when no hooks are loaded.
   */
  readonly values: BigUint64Array;
  /** Calls of connect and sendmsg by reason, since the hooks were first loaded. */
  readonly reasons: BigUint64Array;
}

/** What the kernel has now, beside what was put there: somebody else may have changed it. */
export interface Inspection {
  /** Those that are attached as far as this process knows; programId 0 = none runs there now. */
  readonly interfaces: readonly {
    readonly name: string;
    readonly index: number;
    readonly programId: number;
    readonly isCounted: boolean;
  }[];
  /** Hooks for local traffic that were attached and are not any more. */
  readonly hooksMissing: readonly string[];
  /** Tables of the policy in use that hold something else, and those too large to tell. */
  readonly tablesChanged: readonly string[];
  readonly tablesSkipped: readonly string[];
}

/** The sequence that flows are stamped with from now on. */
export interface Stamped {
  readonly sequence: number;
}

export interface InterfaceAddress {
  readonly index: number;
  /** 4 bytes. */
  readonly address4: Uint8Array | null;
  /** 16 bytes. */
  readonly address6: Uint8Array | null;
}

export interface Trace {
  /** struct nest_trace, 32 bytes. */
  readonly trace: Buffer;
  /** struct nest_trace_more, 80 bytes: the rewrite, the deny list, the balancer. */
  readonly more: Buffer;
  /** The packet as the program left it. */
  readonly packet: Buffer;
  /** other: sent out or redirected; `more` says where to. */
  readonly verdict: 'pass' | 'drop' | 'other';
  readonly durationNs: number;
}

export interface DataPath {
  state(): DataPathState;
  /** Attaches in driver mode, else in generic mode, and pins the link. Refuses when a foreign program is there. Idempotent. */
  attach(interfaceName: string): Promise<AttachedInterface>;
  /** Detaches and removes the pin; true when it was attached. */
  detach(interfaceName: string): Promise<boolean>;
  /**
   * Judges and steers what processes of the control group (version 2, usually the root) begin, and judges what this host sends by the
   * attached interfaces, now and later. Pinned: outlives this process. Idempotent; each call reads the host's routes anew, which give
   * connections their source address. Never raises for a missing means: the state says the reason.
   */
  attachLocal(options: { readonly cgroupPath: string }): Promise<LocalState>;
  /** Also takes away what a process before this one left attached. */
  detachLocal(): Promise<void>;
  localCounters(): Promise<LocalCounters>;
  /**
   * Loads the image into the inactive tables and makes it current by one store. `sequence` must be above the present one
   * and odd where that is even. `states`: NEST_BACKEND_* per backend in the order of the image, from the first packet on; the
   * image's own when left out. Prefixes that updateDeny added are gone. Flood mode stays as it is.
   */
  swap(image: Uint8Array, sequence: number, states?: Uint8Array): Promise<SwapResult>;
  /**
   * Sets NEST_BACKEND_* per backend of the policy in use: rings are filled again, and flows of backends that are down go
   * elsewhere at their next packet. Resolves with the present sequence, which is another one when anything changed.
   */
  setBackendStates(states: Uint8Array): Promise<Stamped>;
  /**
   * Changes the deny lists of the policy in use. `add` and `remove` are packed struct nest_image_deny4 or nest_image_deny6 (by
   * `family`), at most 65,536 each; what is removed is found by prefix alone and need not be there. Removal comes first. Flows
   * are judged anew when anything was added. Raises NATIVE_TABLE_FULL when more than 65,536 were added since the swap; what
   * fitted stays, without a new stamp.
   */
  updateDeny(family: 4 | 6, add: Uint8Array, remove: Uint8Array): Promise<Stamped>;
  /** Asks deny lists before the flow table (by source), or after it. Outlives swaps and this process. */
  setFlood(on: boolean): void;
  /** Addresses for masquerade and full NAT, at most 64 interfaces; all others lose theirs. */
  setInterfaceAddresses(rows: readonly InterfaceAddress[]): Promise<void>;
  /** Interface indexes that packets may be sent to without the kernel (XDP_TX, XDP_REDIRECT); all others may not. */
  setTxPorts(indexes: Uint32Array): Promise<void>;
  /** Reads what is attached, and policy tables of up to 65,536 entries whole. Changes wait for it. */
  inspect(): Promise<Inspection>;
  /** Waits some milliseconds when a swap was a moment ago: what the policy before has counted is final then. */
  counters(): Counters;
  /**
   * All flows of both families as packed rows: struct nest_record each, kind 0, packets and bytes as of now, time_ns = last seen. A
   * translated flow is one row, seen from its initiator.
   */
  flows(limit: number): Promise<{ readonly rows: Buffer; readonly rowBytes: number; readonly truncated: boolean }>;
  /** Removes idle and ended flows; returns them as packed records of kind END (idle ends). */
  sweep(limit: number): Promise<Buffer>;
  /** Takes the flow records gathered since the last call (packed struct nest_record), at most `limit`; never blocks. */
  takeRecords(limit: number): { readonly records: Buffer; readonly lost: bigint };
  /** Runs the loaded program on the live tables without effect on flows, counters and records. */
  trace(packet: Uint8Array, interfaceName: string): Promise<Trace>;
  /** Milliseconds since the Unix epoch minus the coarse monotonic clock, to turn time_ns into wall time. */
  clockOffsetMs(): number;
  /** Stops threads and closes descriptors. Pins stay, traffic goes on. */
  close(): Promise<void>;
  /** Detaches everything and removes every pin, then closes. */
  remove(): Promise<void>;
}

export interface NativeAddon {
  readonly abi: number;
  probe(): Promise<readonly EngineProbe[]>;
  /** In the network namespace of this process. Raises NATIVE_INTERFACE_UNKNOWN. */
  interfaceFacts(name: string): Promise<InterfaceFacts>;
  /**
   * Finds the next hop towards each address, and has the kernel look for those it does not know or has not heard of lately, without
   * waiting for their answers. Rows of 20 bytes, at most 1,024: family (4 or 6), 1 when a gateway alone counts, two bytes of padding, 16
   * bytes of address. One byte for each row: 0 no route, 1 not needed (an address of this host, or no gateway leads there), 2 known, 3 the kernel
   * looks for it now. In the network namespace of this process.
   */
  askNextHops(rows: Uint8Array): Promise<Buffer>;
  /** Adopts what is pinned under pinPath, else loads and pins. */
  open(options: LoadOptions): Promise<DataPath>;
}
