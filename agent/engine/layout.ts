/** Offsets and numbers of bpf/include/nest/abi.h that TypeScript reads; layout.test.ts derives them from the header again and holds them equal. */

/** struct nest_record */
export const recordBytes = 96;
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
  source_port: 56,
  destination_port: 58,
  source: 60,
  destination: 76,
  age_ms: 92,
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

/** NEST_TRACE_FLOW_* */
export const traceFlow = { notAsked: 0, miss: 1, hit: 2, stale: 3, idle: 4, closed: 5 } as const;
/** NEST_TRACE_PARSE_* */
export const traceParse = { ipv4Options: 1, ipv6Extensions: 2, firstFragment: 4, laterFragment: 8 } as const;

/** NEST_LOSS_* */
export const lossKinds = { ringFull: 0, suppressed: 1, flowTable: 2 } as const;

/** NEST_MAPPING_DEFAULT: the index of the default action. */
export const mappingDefault = 16_384;
/** NEST_FLOWS_MAX of both address families together. */
export const flowsMax = 2 * 131_072;
