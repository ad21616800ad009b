import { isDropped } from '../../../../proto/model/reason.ts';
import type { ReasonName } from '../../../../proto/model/reason.ts';
import { recordKinds, recordOffsets } from '../../../engine/api.ts';
import type { FlowRecord } from '../../../engine/api.ts';
import type { Translation } from '../api.ts';
import { mappingOf, translationOf } from '../flow-view.ts';
import type { FlowNames } from '../flow-view.ts';
import type { FlowDelta, FlowDeltas } from './flow-deltas.ts';

/** TCP header flags (RFC 9293). */
const tcpFin = 1;
const tcpReset = 4;
const protocolTcp = 6;

/** cut: a new policy ended it. */
export type FlowRecordKind = 'start' | 'periodic' | 'end' | 'deny' | 'cut';
/** idle: an end without the signs of one. none: not TCP. */
export type TcpState = 'none' | 'opening' | 'established' | 'finished' | 'reset' | 'idle';

/** A record as it leaves the host. It reads the batch, so it is valid only as long as that. */
export interface ExportedFlow {
  readonly kind: FlowRecordKind;
  readonly record: FlowRecord;
  readonly reason: ReasonName;
  readonly isAllowed: boolean;
  /** Empty = default action, or the policy it belongs to is forgotten. */
  readonly mapping: string;
  readonly interfaceName: string;
  /** 0 = not known. */
  readonly revision: number;
  readonly delta: FlowDelta;
  readonly tcpState: TcpState;
  /** null: its packets leave as they came. */
  readonly translation: Translation | null;
  /** Wall time, milliseconds since the Unix epoch. */
  readonly startMs: number;
  readonly endMs: number;
}

/** The record with names and with what is new since the flow's last one; null for what is no flow, or a live one that nothing is new of. */
export const exportFlow = (record: FlowRecord, deltas: FlowDeltas, names: FlowNames): ExportedFlow | null => {
  if (record.family !== 4 && record.family !== 6) return null;
  const kind = kindOf(record.kind);
  const { reason } = record;
  const isAllowed = !isDropped(reason);
  if (kind === null || (kind === 'periodic' && !isAllowed)) return null;
  const flags = flagsOf(record);
  const delta = deltas.observe(record, flags);
  if (kind === 'periodic' && delta.forwardPackets === 0n && delta.reversePackets === 0n) return null;
  const endMs = names.wallTimeMs(record.timeNs);
  const mapping = mappingOf(record, names, undefined);
  return {
    kind,
    record,
    reason,
    isAllowed,
    mapping,
    interfaceName: names.interfaceName(record.interfaceIndex),
    revision: names.revisionOf(record.sequence),
    delta,
    tcpState: tcpStateOf(record, kind, flags),
    translation: translationOf(record, mapping, names),
    startMs: endMs - (record.ageMs ?? 0),
    endMs,
  };
};

const kindOf = (kind: number): FlowRecordKind | null => {
  if (kind === recordKinds.live) return 'periodic';
  if (kind === recordKinds.start) return 'start';
  if (kind === recordKinds.end) return 'end';
  if (kind === recordKinds.deny) return 'deny';
  return kind === recordKinds.rejudged ? 'cut' : null;
};

/**
 * TCP flags of the record's packet that belong to the flow. An idle flow ends when a packet comes for its place: those flags are of the
 * next flow.
 */
const flagsOf = (record: FlowRecord): number => {
  if (record.protocol !== protocolTcp) return 0;
  const flags = record.row.readUInt8(recordOffsets.tcp_flags);
  return record.kind === recordKinds.end && (flags & (tcpFin | tcpReset)) === 0 ? 0 : flags;
};

const tcpStateOf = (record: FlowRecord, kind: FlowRecordKind, flags: number): TcpState => {
  if (record.protocol !== protocolTcp) return 'none';
  if (kind === 'end') {
    if ((flags & tcpReset) !== 0) return 'reset';
    return (flags & tcpFin) === 0 ? 'idle' : 'finished';
  }
  return record.reverse.packets > 0n ? 'established' : 'opening';
};
