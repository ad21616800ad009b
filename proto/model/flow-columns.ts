/** Batches of flows by column, read without making an object for every flow. */
import type { SequenceInfo } from '../gen/nest/v1/common.ts';
import type { Flow, FlowColumns, WatchFlowsResponse } from '../gen/nest/v1/flow.ts';

/** A batch as it came, whichever form the agent sent. */
export interface FlowBatch {
  readonly position: SequenceInfo;
  readonly count: number;
  /** Bytes of one flow in both directions. */
  bytes(index: number): number;
  /** One flow, made when it is asked for; 0 <= index < count. */
  flow(index: number): Flow;
}

const noPosition: SequenceInfo = { sequence: 0n, lost: 0n };

/** The batch in an answer. */
export const flowBatchOf = ({ position = noPosition, flows, columns }: WatchFlowsResponse): FlowBatch => {
  if (columns !== undefined) {
    const [forward, reverse] = [doublesOf(columns.forwardBytes), doublesOf(columns.reverseBytes)];
    return { position, count: columns.count, bytes: (index) => forward(index) + reverse(index), flow: (index) => flowOf(columns, index) };
  }
  const at = (index: number): Flow => {
    const flow = flows[index];
    if (flow === undefined) throw new RangeError('There is no such flow in the batch.');
    return flow;
  };
  return {
    position,
    count: flows.length,
    bytes: (index) => Number(at(index).forward?.bytes ?? 0n) + Number(at(index).reverse?.bytes ?? 0n),
    flow: at,
  };
};

/** Widths of the numbers in columns, bytes. */
export const columnWidth = { number: 4, double: 8 } as const;

type Column = (index: number) => number;
const zeros: Column = () => 0;

/** A column that is too short for its batch reads as zeros beyond its end. */
const doublesOf = (bytes: Uint8Array): Column => {
  if (bytes.length === 0) return zeros;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return (index) => ((index + 1) * columnWidth.double <= view.byteLength ? view.getFloat64(index * columnWidth.double, true) : 0);
};

const numberAt = (bytes: Uint8Array, index: number): number => {
  const at = index * columnWidth.number;
  if (at + columnWidth.number > bytes.length) return 0;
  return new DataView(bytes.buffer, bytes.byteOffset + at, columnWidth.number).getUint32(0, true);
};

const flowOf = (columns: FlowColumns, index: number): Flow => {
  if (index < 0 || index >= columns.count) throw new RangeError('There is no such flow in the batch.');
  const number = (column: Uint8Array): number => numberAt(column, index);
  const whole = (column: Uint8Array): bigint => BigInt(Math.trunc(doublesOf(column)(index)));
  const text = (column: Uint8Array): string => columns.texts[number(column)] ?? '';
  const names = (column: Uint8Array): string[] =>
    (columns.serviceLists[number(column)]?.names ?? []).map((name) => columns.texts[name] ?? '');
  return {
    source: text(columns.sources),
    destination: text(columns.destinations),
    sourcePort: number(columns.sourcePorts),
    destinationPort: number(columns.destinationPorts),
    protocol: number(columns.protocols),
    state: number(columns.states) as Flow['state'],
    allowed: number(columns.verdicts) === 1,
    reason: number(columns.reasons) as Flow['reason'],
    mapping: text(columns.mappings),
    interface: text(columns.interfaces),
    forward: { packets: whole(columns.forwardPackets), bytes: whole(columns.forwardBytes) },
    reverse: { packets: whole(columns.reversePackets), bytes: whole(columns.reverseBytes) },
    firstSeenMs: whole(columns.firstSeenMs),
    lastSeenMs: whole(columns.lastSeenMs),
    revision: BigInt(number(columns.revisions)),
    sourceServices: names(columns.sourceServices),
    destinationServices: names(columns.destinationServices),
    translation: columns.translationList[number(columns.translations) - 1],
  };
};
