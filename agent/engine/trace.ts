import { reasonName } from '../../proto/model/reason.ts';
import type { EngineTrace } from './api.ts';
import { mappingDefault, traceBytes, traceOffsets as at } from './layout.ts';
import { nativeError } from './native-error.ts';

interface NativeTrace {
  readonly trace: Buffer;
  readonly verdict: 'pass' | 'drop' | 'other';
  readonly durationNs: number;
}

/** Decodes a filled struct nest_trace. Raises ENGINE_FAILED for another size. */
export const decodeTrace = ({ trace, verdict, durationNs }: NativeTrace): EngineTrace => {
  if (trace.length !== traceBytes) throw nativeError(undefined);
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
  };
};

/** NEST_MATCH_MAPPING; null for NEST_MATCH_NONE. */
const mappingOfMatch = (match: number): number | null => {
  if (match === 0) return null;
  const mapping = (match & 0xffff) ^ 0xffff;
  return mapping < mappingDefault ? mapping : null;
};
