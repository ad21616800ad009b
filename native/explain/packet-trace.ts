/** What a run of the packet program says of one packet, whichever runtime ran it: numbers as in bpf/include/nest/abi.h. */
import type { ReasonName } from '../../proto/model/reason.ts';

/** NEST_TRACE_FLOW_* */
export const traceFlow = { notAsked: 0, miss: 1, hit: 2, stale: 3, idle: 4, closed: 5 } as const;
/** NEST_TRACE_PARSE_* */
export const traceParse = { ipv4Options: 1, ipv6Extensions: 2, firstFragment: 4, laterFragment: 8 } as const;

export interface PacketTrace {
  readonly reason: ReasonName;
  /** 0 = not IP. */
  readonly family: 0 | 4 | 6;
  /** Transport class of the policy table, 0 = not reached. */
  readonly l4: number;
  /** One of {@link traceFlow}. */
  readonly flow: number;
  /** Bytes from the Ethernet header, 0 = not reached. */
  readonly l4Offset: number;
  readonly vlanTags: number;
  /** Bits of {@link traceParse}. */
  readonly parse: number;
  /** What was rewritten; null: nothing. */
  readonly rewrite: PacketRewrite | null;
  /** Index of the deny list that decided; null = none. */
  readonly denyList: number | null;
  /** Index of the balancer that was asked; null = none. */
  readonly balancer: number | null;
  readonly ringPosition: number;
  readonly limit: 'none' | 'within' | 'over';
}

export interface PacketRewrite {
  /** 4 or 16 bytes, after the rewrite. */
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly isSource: boolean;
  readonly isDestination: boolean;
  readonly isDirect: boolean;
  /** Null: unchanged. */
  readonly dscp: number | null;
  /** Index of the backend; null = none. */
  readonly backend: number | null;
  /** Index of the interface it leaves by without the kernel; null = the kernel routes it. */
  readonly egress: number | null;
}
