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
  if (columns !== undefined)
    return {
      position,
      count: columns.count,
      bytes: (index) => (columns.forwardBytes[index] ?? 0) + (columns.reverseBytes[index] ?? 0),
      flow: (index) => flowOf(columns, index),
    };
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

const flowOf = (columns: FlowColumns, index: number): Flow => {
  if (index < 0 || index >= columns.count) throw new RangeError('There is no such flow in the batch.');
  const text = (column: readonly number[]): string => columns.texts[column[index] ?? 0] ?? '';
  const names = (column: readonly number[]): string[] =>
    (columns.serviceLists[column[index] ?? 0]?.names ?? []).map((name) => columns.texts[name] ?? '');
  const count = (packets: readonly number[], bytes: readonly number[]) => ({
    packets: BigInt(packets[index] ?? 0),
    bytes: BigInt(bytes[index] ?? 0),
  });
  return {
    source: text(columns.sources),
    destination: text(columns.destinations),
    sourcePort: columns.sourcePorts[index] ?? 0,
    destinationPort: columns.destinationPorts[index] ?? 0,
    protocol: columns.protocols[index] ?? 0,
    state: (columns.states[index] ?? 0) as Flow['state'],
    allowed: columns.verdicts[index] === 1,
    reason: (columns.reasons[index] ?? 0) as Flow['reason'],
    mapping: text(columns.mappings),
    interface: text(columns.interfaces),
    forward: count(columns.forwardPackets, columns.forwardBytes),
    reverse: count(columns.reversePackets, columns.reverseBytes),
    firstSeenMs: BigInt(columns.firstSeenMs[index] ?? 0),
    lastSeenMs: BigInt(columns.lastSeenMs[index] ?? 0),
    revision: BigInt(columns.revisions[index] ?? 0),
    sourceServices: names(columns.sourceServices),
    destinationServices: names(columns.destinationServices),
    translation: columns.translationList[(columns.translations[index] ?? 0) - 1],
  };
};
