/** Plain data about engines, sums of flows, balancers and deny lists that crosses the bridge; the conventions are those of model.ts. */

export type EngineName = 'auto' | 'xdp' | 'af_xdp' | 'dpdk' | 'off';

export interface EngineChoice {
  readonly engine: string | null;
  readonly reason: string;
  /** What fails from now on and what to do; empty = nothing, or the host is older than the warning. */
  readonly warning: string;
}

export interface FlowSums {
  readonly at: number;
  readonly live: boolean;
  /** The most bytes first. An empty key under 'mapping' is the default action. */
  readonly sums: readonly {
    readonly key: string;
    readonly flows: number;
    readonly deniedFlows: number;
    readonly packets: number;
    readonly bytes: number;
  }[];
  readonly keys: number;
  readonly flows: number;
  readonly packets: number;
  readonly bytes: number;
  readonly recordsLost: number;
}

export interface BackendRow {
  readonly name: string;
  readonly address: string;
  /** null: as in the packet. */
  readonly port: number | null;
  readonly weight: number;
  readonly wanted: 'up' | 'drain' | 'down';
  /** What the data path does with it now. */
  readonly effective: 'up' | 'drain' | 'down';
  readonly health: 'up' | 'down' | 'unknown';
  readonly healthDetail: string;
  readonly healthSince: number | null;
  readonly flows: number;
  readonly packets: number;
  readonly bytes: number;
  readonly liveFlows: number | null;
}

export interface BalancerList {
  readonly at: number;
  readonly live: boolean;
  readonly revision: number;
  readonly balancers: readonly {
    readonly mapping: string;
    readonly destinations: readonly string[];
    readonly protocols: readonly string[];
    readonly ports: readonly string[];
    readonly nat: 'dnat' | 'full' | 'dsr';
    readonly affinity: 'none' | 'source';
    readonly healthCheck: {
      readonly kind: 'tcp' | 'http' | 'icmp';
      readonly path: string;
      readonly intervalMs: number;
      readonly timeoutMs: number;
      readonly rise: number;
      readonly fall: number;
    } | null;
    readonly backends: readonly BackendRow[];
  }[];
}

export interface DenyListTable {
  readonly at: number;
  readonly live: boolean;
  readonly lists: readonly {
    readonly name: string;
    /** 'policy': of the document, changed by plan and apply. 'host': kept by the host, changed at once. */
    readonly origin: 'policy' | 'host';
    readonly file: string | null;
    readonly prefixes: number;
    readonly firstPrefixes: readonly string[];
    readonly expiresAt: number | null;
    readonly expired: boolean;
    readonly hitPackets: number;
    readonly hitBytes: number;
    readonly problem: string | null;
  }[];
}

export interface DenyListChange {
  readonly added: number;
  readonly removed: number;
  readonly prefixes: number;
}
