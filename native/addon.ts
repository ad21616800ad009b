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
  readonly engine: 'xdp-native' | 'xdp-generic' | 'af_xdp' | 'dpdk';
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

/** Both halves of the per-mapping counters: mapping i of the given sequence has packets at 2i, bytes at 2i + 1; last is the default action. */
export interface MappingCounters {
  readonly sequence: number;
  readonly values: BigUint64Array;
}

export interface Counters {
  /** Per attached interface: reason r has packets at 2r, bytes at 2r + 1. */
  readonly interfaces: readonly { readonly name: string; readonly index: number; readonly reasons: BigUint64Array }[];
  readonly active: MappingCounters;
  /** Counters of the previous sequence: final, kept until the next swap overwrites them; null before the second swap. */
  readonly retired: MappingCounters | null;
  /** Index = NEST_LOSS_*. */
  readonly losses: BigUint64Array;
}

export interface DataPathState {
  /** True when programs and maps were found pinned and taken over, false when they were loaded. */
  readonly adopted: boolean;
  readonly sequence: number;
  readonly flags: number;
  readonly programId: number;
  readonly interfaces: readonly AttachedInterface[];
}

export interface DataPath {
  state(): DataPathState;
  /** Attaches in driver mode, else in generic mode, and pins the link. Refuses when a foreign program is there. Idempotent. */
  attach(interfaceName: string): Promise<AttachedInterface>;
  /** Detaches and removes the pin; true when it was attached. */
  detach(interfaceName: string): Promise<boolean>;
  /** Loads the image into the inactive tables and makes it current by one store. `sequence` must be the current one + 1. */
  swap(image: Uint8Array, sequence: number): Promise<SwapResult>;
  counters(): Counters;
  /** All flows of both families as packed rows: struct nest_record each, kind 0, packets and bytes as of now, time_ns = last seen. */
  flows(limit: number): Promise<{ readonly rows: Buffer; readonly rowBytes: number; readonly truncated: boolean }>;
  /** Removes idle and ended flows; returns them as packed records of kind END (idle ends). */
  sweep(limit: number): Promise<Buffer>;
  /** Takes the flow records gathered since the last call (packed struct nest_record), at most `limit`; never blocks. */
  takeRecords(limit: number): { readonly records: Buffer; readonly lost: bigint };
  /** Runs the loaded program on the live tables without effect. Returns the filled struct nest_trace (32 bytes) and the program's answer. */
  trace(
    packet: Uint8Array,
    interfaceName: string,
  ): Promise<{ readonly trace: Buffer; readonly verdict: 'pass' | 'drop' | 'other'; readonly durationNs: number }>;
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
  /** Adopts what is pinned under pinPath, else loads and pins. */
  open(options: LoadOptions): Promise<DataPath>;
}
