import { reasonName } from '../../proto/model/reason.ts';
import type { PacketRewrite } from '../../native/index.ts';
import type { EngineTrace } from './api.ts';
import {
  backendNone,
  limitStates,
  mappingDefault,
  outcomes,
  rewriteFlags,
  rewriteOffsets,
  traceBytes,
  traceMoreBytes,
  traceMoreOffsets,
  traceOffsets as at,
} from './layout.ts';
import { nativeError } from './native-error.ts';

interface NativeTrace {
  readonly trace: Buffer;
  readonly more: Buffer;
  readonly packet: Buffer;
  readonly verdict: 'pass' | 'drop' | 'other';
  readonly durationNs: number;
}

/** Decodes a filled struct nest_trace and struct nest_trace_more. Raises ENGINE_FAILED for another size. */
export const decodeTrace = ({ trace, more, packet, verdict, durationNs }: NativeTrace): EngineTrace => {
  if (trace.length !== traceBytes || more.length !== traceMoreBytes) throw nativeError(undefined);
  const family = trace.readUInt8(at.family);
  const match = trace.readUInt32LE(at.match);
  return {
    verdict,
    durationNs,
    reason: reasonName(trace.readUInt8(at.reason)),
    family: family === 4 || family === 6 ? family : 0,
    l4: trace.readUInt8(at.l4),
    flow: trace.readUInt8(at.flow),
    sourceIdentity: trace.readUInt32LE(at.source_identity),
    destinationIdentity: trace.readUInt32LE(at.destination_identity),
    mapping: mappingOfMatch(match),
    sequence: trace.readUInt32LE(at.sequence),
    l4Offset: trace.readUInt16LE(at.l4_offset),
    vlanTags: trace.readUInt8(at.vlan_tags),
    parse: trace.readUInt8(at.parse),
    outcome: outcomes[more.readUInt8(traceMoreOffsets.action)] ?? 'pass',
    output: packet,
    rewrite: rewriteOf(more, family),
    denyList: indexOf(more.readUInt32LE(traceMoreOffsets.deny_list)),
    balancer: indexOf(more.readUInt32LE(traceMoreOffsets.balancer)),
    ringPosition: more.readUInt32LE(traceMoreOffsets.ring_position),
    limit: limitStates[more.readUInt8(traceMoreOffsets.limit)] ?? 'none',
  };
};

/** null for a rewrite without flags. */
const rewriteOf = (more: Buffer, family: number): PacketRewrite | null => {
  const flags = more.readUInt8(rewriteOffsets.flags);
  if (flags === 0) return null;
  const bytes = family === 4 ? 4 : 16;
  const backend = more.readUInt16LE(rewriteOffsets.backend);
  const has = (flag: number): boolean => (flags & flag) !== 0;
  return {
    source: more.subarray(rewriteOffsets.source, rewriteOffsets.source + bytes),
    destination: more.subarray(rewriteOffsets.destination, rewriteOffsets.destination + bytes),
    sourcePort: more.readUInt16BE(rewriteOffsets.source_port),
    destinationPort: more.readUInt16BE(rewriteOffsets.destination_port),
    isSource: has(rewriteFlags.source),
    isDestination: has(rewriteFlags.destination),
    isDirect: has(rewriteFlags.direct),
    dscp: has(rewriteFlags.dscp) ? more.readUInt8(rewriteOffsets.dscp) : null,
    backend: backend === backendNone ? null : backend,
    egress: has(rewriteFlags.routed) ? more.readUInt32LE(rewriteOffsets.egress) : null,
  };
};

/** An index + 1 where 0 is none. */
const indexOf = (number: number): number | null => (number === 0 ? null : number - 1);

/** NEST_MATCH_MAPPING; null for NEST_MATCH_NONE. */
const mappingOfMatch = (match: number): number | null => {
  if (match === 0) return null;
  const mapping = (match & 0xffff) ^ 0xffff;
  return mapping < mappingDefault ? mapping : null;
};
