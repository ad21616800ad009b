import { isDropped } from '../../../proto/model/reason.ts';
import type { FlowRecord, RecordBatch } from '../../engine/api.ts';
import type { FlowSumKey, FlowSums } from './api.ts';
import type { FlowMatch } from './flow-filter.ts';
import { createTop, eachRecord } from './flow-query.ts';
import { judgeRecord, mappingOf } from './flow-view.ts';
import type { FlowNames } from './flow-view.ts';

/** Different keys that are told apart; what comes beyond is summed under {@link otherKey}. */
export const keysMax = 65_536;
export const otherKey = 'others';

interface Sum {
  readonly key: string;
  flows: number;
  deniedFlows: number;
  packets: bigint;
  bytes: bigint;
}

export interface FlowSumQuery {
  readonly batches: readonly RecordBatch[];
  readonly match: FlowMatch;
  /** Only flows seen since then. */
  readonly sinceNs: bigint;
  readonly by: FlowSumKey;
  readonly limit: number;
}

/** Sums of the flows that match by one property, the most bytes first. Ends with AbortError when the signal aborts. */
export const sumFlowRecords = async (
  query: FlowSumQuery,
  names: FlowNames,
  signal: AbortSignal,
): Promise<Omit<FlowSums, 'recordsLost'>> => {
  const sums = new Map<string, Sum>();
  const total: Sum = emptySum('');
  const keyOf = keyReader(query.by, names);
  await eachRecord(query.batches, signal, (record) => {
    if (record.timeNs < query.sinceNs || !query.match(record)) return;
    add(total, record);
    add(sumOf(sums, keyOf(record)), record);
  });
  const top = createTop<Sum>(query.limit, heavierFirst);
  for (const sum of sums.values()) top.add(sum);
  return {
    sums: top.sorted().map(({ key, flows, deniedFlows, packets, bytes }) => ({ key, flows, deniedFlows, count: { packets, bytes } })),
    keys: sums.size,
    flows: total.flows,
    total: { packets: total.packets, bytes: total.bytes },
  };
};

const emptySum = (key: string): Sum => ({ key, flows: 0, deniedFlows: 0, packets: 0n, bytes: 0n });

const sumOf = (sums: Map<string, Sum>, wanted: string): Sum => {
  const found = sums.get(wanted);
  if (found !== undefined) return found;
  const key = sums.size < keysMax ? wanted : otherKey;
  const sum = sums.get(key) ?? emptySum(key);
  sums.set(key, sum);
  return sum;
};

const add = (sum: Sum, { reason, forward, reverse }: FlowRecord): void => {
  sum.flows++;
  if (isDropped(reason)) sum.deniedFlows++;
  sum.packets += forward.packets + reverse.packets;
  sum.bytes += forward.bytes + reverse.bytes;
};

const heavierFirst = (a: Sum, b: Sum): number => {
  if (a.bytes !== b.bytes) return a.bytes > b.bytes ? -1 : 1;
  return a.key < b.key ? -1 : 1;
};

const protocolNames: Readonly<Record<number, string>> = { 1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'icmpv6' };

const keyReader = (by: FlowSumKey, names: FlowNames): ((record: FlowRecord) => string) => {
  if (by === 'source') return ({ sourceText }) => sourceText;
  if (by === 'destination') return ({ destinationText }) => destinationText;
  if (by === 'reason') return ({ reason }) => reason;
  if (by === 'mapping') return (record) => mappingOf(record, names, judgeRecord(record, names.image()));
  return ({ protocol, destinationPort }) => {
    const name = protocolNames[protocol] ?? String(protocol);
    return name === 'tcp' || name === 'udp' ? `${name}/${String(destinationPort)}` : name;
  };
};
