/** Offsets and numbers of bpf/include/nest/abi.h that TypeScript reads; layout.test.ts derives them from the header again and holds them equal. */

/** struct nest_record */
export const recordBytes = 136;
export const recordOffsets = {
  time_ns: 0,
  packets: 8,
  bytes: 24,
  interface: 40,
  sequence: 44,
  mapping: 48,
  kind: 50,
  reason: 51,
  family: 52,
  protocol: 53,
  tcp_flags: 54,
  rewrite: 55,
  source_port: 56,
  destination_port: 58,
  source: 60,
  destination: 76,
  age_ms: 92,
  rewritten_source: 96,
  rewritten_destination: 112,
  rewritten_source_port: 128,
  rewritten_destination_port: 130,
  backend: 132,
} as const;

/** NEST_RECORD_*; live is the kind of rows read from the flow table. */
export const recordKinds = { live: 0, start: 1, end: 2, deny: 3, rejudged: 4 } as const;

/** struct nest_trace */
export const traceBytes = 32;
export const traceOffsets = {
  magic: 0,
  reason: 8,
  family: 9,
  l4: 10,
  flow: 11,
  source_identity: 12,
  destination_identity: 16,
  match: 20,
  sequence: 24,
  l4_offset: 28,
  vlan_tags: 30,
  parse: 31,
} as const;

/** struct nest_trace_more, its rewrite in front. */
export const traceMoreBytes = 80;
export const traceMoreOffsets = { rewrite: 0, deny_list: 64, balancer: 68, ring_position: 72, action: 76, limit: 77 } as const;
/** struct nest_rewrite */
export const rewriteOffsets = {
  source: 0,
  destination: 16,
  source_port: 32,
  destination_port: 34,
  flags: 36,
  dscp: 37,
  backend: 38,
  egress: 40,
  route_second: 44,
  mtu: 48,
  destination_mac: 50,
  source_mac: 56,
} as const;
/** NEST_REWRITE_* */
export const rewriteFlags = { source: 1, destination: 2, dscp: 4, direct: 8, routed: 16 } as const;
/** NEST_OUTCOME_*: the position is the number. */
export const outcomes = ['pass', 'drop', 'transmit', 'redirect'] as const;
/** NEST_TRACE_LIMIT_*: the position is the number. */
export const limitStates = ['none', 'within', 'over'] as const;
/** NEST_BACKEND_NONE */
export const backendNone = 0xffff;

/** NEST_LOSS_* */
export const lossKinds = { ringFull: 0, suppressed: 1, flowTable: 2 } as const;

/** NEST_STAT_* */
export const statKinds = { judged: 0, tooBig: 1, kernel: 2, forwarded: 3 } as const;

/** NEST_MAPPING_DEFAULT: the index of the default action. */
export const mappingDefault = 16_384;
/** NEST_FLOWS_MAX of both address families together. */
export const flowsMax = 2 * 131_072;
