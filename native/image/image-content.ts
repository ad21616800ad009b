/** What a table image says, before it is bytes and after. */
import type { Address, AddressWords } from './address.ts';

export interface ImageMapping {
  readonly name: string;
  readonly isDeny: boolean;
  readonly priority: number;
}

/** struct nest_action. */
export interface ImageAction {
  /** Index of the mapping. */
  readonly mapping: number;
  /** 0 = no limit. */
  readonly packetsPerSecond: number;
  readonly bytesPerSecond: number;
  /** Depths of the buckets; 0 where there is no limit. */
  readonly burstPackets: number;
  readonly burstBytes: number;
  /** Index + 1; 0 = none. */
  readonly balancer: number;
  /** 0..63, or `dscpKeep`. */
  readonly dscp: number;
  /** Bits, `action...` of limits.ts. */
  readonly flags: number;
  /** Addresses of source NAT; zero = of no use in that family. */
  readonly source4: number;
  readonly source6: AddressWords;
}

/** struct nest_balancer. */
export interface ImageBalancer {
  readonly mapping: number;
  /** Index of the ring of its IPv4 backends, `ringNone` = it has none. */
  readonly ring4: number;
  readonly ring6: number;
  readonly firstBackend: number;
  readonly backendCount: number;
  /** A value of `natKind`. */
  readonly nat: number;
  readonly isBySource: boolean;
}

/** struct nest_backend, and its name. */
export interface ImageBackend {
  readonly name: string;
  readonly address: Address;
  /** 0 = as in the packet. */
  readonly port: number;
  readonly weight: number;
  /** A value of `backendState`. */
  readonly state: number;
  readonly seed: number;
  readonly balancer: number;
}

/** Deny lists: rows of struct nest_image_deny4 and nest_image_deny6, sorted by address, then length. */
export interface DenyTables {
  /** Names of the lists; the position is the index in the rows. */
  readonly names: readonly string[];
  readonly rows4: Uint8Array;
  readonly rows6: Uint8Array;
}

/** What stays as it is while mappings keep their names and services their addresses, encoded once. */
export interface ImageFrame {
  readonly identities4: Uint8Array;
  readonly identities6: Uint8Array;
  readonly names: Uint8Array;
  /** Bytes of each mapping's name. */
  readonly nameBytes: Uint16Array;
  readonly sourceClasses: number;
  readonly destinationClasses: number;
  /** The explanation up to the deny lists. */
  readonly explain: Uint8Array;
}

export interface ImageContent {
  readonly isEmpty: boolean;
  readonly isDefaultDeny: boolean;
  readonly frame: ImageFrame;
  /** Pair numbers, ascending, and per pair { first, count } of its port set, back to back. */
  readonly pairs: Float64Array;
  readonly portSets: Uint32Array;
  /** [start, match, ...] */
  readonly portIntervals: Uint32Array;
  /** Sorted by name. */
  readonly mappings: readonly { readonly action: string; readonly priority: number }[];
  /** Sorted by mapping; those that do more than allow or deny. */
  readonly actions: readonly ImageAction[];
  readonly deny: DenyTables;
  /** Sorted by mapping. */
  readonly balancers: readonly ImageBalancer[];
  /** Those of one balancer in a row, sorted by name. */
  readonly backends: readonly ImageBackend[];
}
