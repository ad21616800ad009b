/** Packed flow records for tests, as bpf/include/nest/abi.h lays them out. */
import { addressToBytes, parseAddress } from '../../../../native/index.ts';
import { reasonNames } from '../../../../proto/model/reason.ts';
import type { ReasonName } from '../../../../proto/model/reason.ts';
import { backendNone, mappingDefault, recordBytes, recordKinds, recordOffsets as at } from '../../../engine/layout.ts';
import { recordAt } from '../../../engine/record.ts';
import type { FlowRecord } from '../../../engine/record.ts';
import { translationOf } from '../flow-view.ts';
import type { FlowNames } from '../flow-view.ts';
import type { ExportedFlow } from './exported-flow.ts';

export interface RecordFields {
  readonly kind: keyof typeof recordKinds;
  readonly source?: string;
  readonly destination?: string;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly protocol?: number;
  /** Since boot. */
  readonly startMs?: number;
  readonly timeMs?: number;
  readonly packets?: readonly [forward: bigint, reverse: bigint];
  readonly bytes?: readonly [forward: bigint, reverse: bigint];
  readonly tcpFlags?: number;
  readonly reason?: ReasonName;
  readonly mapping?: number;
  readonly rewritten?: RewrittenFields;
  /** Index; absent: no balancer chose one. */
  readonly backend?: number;
}

export interface RewrittenFields {
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** NEST_REWRITE_* */
  readonly flags: number;
}

/** Of TCP from 198.18.0.1 port 40000 to 198.19.0.1 port 443, begun one second after boot, unless told otherwise. */
export const testRow = (fields: RecordFields): Buffer => {
  const row = Buffer.alloc(recordBytes);
  const { kind, startMs = 1000, timeMs = startMs, packets = [1n, 0n], bytes = [60n, 0n] } = fields;
  const source = parseAddress(fields.source ?? '198.18.0.1');
  const destination = parseAddress(fields.destination ?? '198.19.0.1');
  if (source === undefined || destination === undefined) throw new Error('an address of a test record is none');
  row.writeBigUInt64LE(BigInt(timeMs) * 1_000_000n, at.time_ns);
  for (const side of [0, 1] as const) {
    row.writeBigUInt64LE(packets[side], at.packets + side * 8);
    row.writeBigUInt64LE(bytes[side], at.bytes + side * 8);
  }
  row.writeUInt32LE(2, at.interface);
  row.writeUInt32LE(5, at.sequence);
  row.writeUInt16LE(fields.mapping ?? 0, at.mapping);
  row.writeUInt8(recordKinds[kind], at.kind);
  row.writeUInt8(reasonNames.indexOf(fields.reason ?? 'POLICY_ALLOW'), at.reason);
  row.writeUInt8(source.family, at.family);
  row.writeUInt8(fields.protocol ?? 6, at.protocol);
  row.writeUInt8(fields.tcpFlags ?? 0, at.tcp_flags);
  row.writeUInt16LE(fields.sourcePort ?? 40_000, at.source_port);
  row.writeUInt16LE(fields.destinationPort ?? 443, at.destination_port);
  row.set(addressToBytes(source), at.source);
  row.set(addressToBytes(destination), at.destination);
  row.writeUInt16LE(fields.backend ?? backendNone, at.backend);
  if (fields.rewritten !== undefined) writeRewritten(row, fields.rewritten);
  // As the data path does: at least 1 where the start is known.
  if (kind !== 'deny') row.writeUInt32LE(Math.max(1, timeMs - startMs), at.age_ms);
  return row;
};

const writeRewritten = (row: Buffer, { source, destination, sourcePort, destinationPort, flags }: RewrittenFields): void => {
  row.writeUInt8(flags, at.rewrite);
  const ends = [parseAddress(source), parseAddress(destination)];
  for (const [position, offset] of [at.rewritten_source, at.rewritten_destination].entries()) {
    const end = ends[position];
    if (end === undefined) throw new Error('an address of a test record is none');
    row.set(addressToBytes(end), offset);
  }
  row.writeUInt16LE(sourcePort, at.rewritten_source_port);
  row.writeUInt16LE(destinationPort, at.rewritten_destination_port);
};

export const testRecord = (fields: RecordFields): FlowRecord => recordAt(testRow(fields), 0);

/** Boot of the host whose records these are. */
export const bootMs = Date.UTC(2026, 0, 2, 3, 4, 5);

/** Mapping 0 is "web", the default action is nameless, interface 2 is lan0. */
export const testNames: FlowNames = {
  wallTimeMs: (timeNs) => bootMs + Number(timeNs / 1_000_000n),
  mappingName: (_sequence, mapping) => (mapping === mappingDefault ? undefined : 'web'),
  revisionOf: () => 3,
  interfaceName: () => 'lan0',
  backendName: (_mapping, address) => (address === '198.19.7.10' || address === '2001:db8:7::10' ? 'web-2' : ''),
  image: () => null,
};

/** The record as it leaves when it is the first of its flow. */
export const testFlow = (fields: RecordFields & { readonly mappingName?: string }, kind: ExportedFlow['kind'] = 'start'): ExportedFlow => {
  const record = testRecord(fields);
  const { forward, reverse } = record;
  const endMs = testNames.wallTimeMs(record.timeNs);
  return {
    kind,
    record,
    reason: record.reason,
    isAllowed: fields.kind !== 'deny' && fields.kind !== 'rejudged',
    mapping: fields.mappingName ?? 'web',
    interfaceName: 'lan0',
    revision: 3,
    delta: {
      forwardPackets: forward.packets,
      forwardBytes: forward.bytes,
      reversePackets: reverse.packets,
      reverseBytes: reverse.bytes,
      tcpFlags: fields.tcpFlags ?? 0,
    },
    tcpState: record.protocol === 6 ? 'opening' : 'none',
    translation: translationOf(record, fields.mappingName ?? 'web', testNames),
    startMs: endMs - (record.ageMs ?? 0),
    endMs,
  };
};
