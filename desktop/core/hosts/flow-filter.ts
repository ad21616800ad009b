/** Filters and sums kept flows as an agent would, for a host that is not there. */
import { isWithin, parsePrefix } from '../../../native/image/api.ts';
import type { Prefix } from '../../../native/image/api.ts';
import { SummarizeFlowsRequest_By } from '../../../proto/gen/nest/v1/flow.ts';
import { NestError } from '../../../proto/model/error.ts';
import type { FlowList, FlowRow, FlowSums } from '../../bridge/model.ts';
import type { FlowQuery } from './balancing-model.ts';

export type SumBy = 'source' | 'destination' | 'mapping' | 'port' | 'reason';

export const wireBy: Readonly<Record<SumBy, SummarizeFlowsRequest_By>> = {
  source: SummarizeFlowsRequest_By.SOURCE,
  destination: SummarizeFlowsRequest_By.DESTINATION,
  mapping: SummarizeFlowsRequest_By.MAPPING,
  port: SummarizeFlowsRequest_By.PORT,
  reason: SummarizeFlowsRequest_By.REASON,
};

const protocolNumbers: Readonly<Record<string, number>> = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58 };

/** The flows that match, at most `limit`. Raises INPUT_INVALID for an address that is none. */
export const filterFlows = (list: FlowList, query: FlowQuery, limit: number): FlowList => {
  const either = prefixOf(query.address);
  const source = prefixOf(query.source);
  const destination = prefixOf(query.destination);
  const isSame = <Value>(wanted: Value | undefined, value: Value | null): boolean => wanted === undefined || wanted === value;
  const sinceMs = query.windowSeconds === undefined ? 0 : list.at - query.windowSeconds * 1000;
  const matches = (flow: FlowRow): boolean =>
    (isIn(flow.source, either) || isIn(flow.destination, either)) &&
    isIn(flow.source, source) &&
    isIn(flow.destination, destination) &&
    (isSame(query.port, flow.sourcePort) || isSame(query.port, flow.destinationPort)) &&
    isSame(query.protocol, protocolNumbers[flow.protocol] ?? Number(flow.protocol)) &&
    isSame(query.mapping, flow.mapping) &&
    isSame(query.interface, flow.interface) &&
    isSame(query.verdict, flow.allowed ? 'allowed' : 'denied') &&
    isSame(query.state, flow.state) &&
    isSame(query.reason?.toUpperCase().replaceAll('-', '_'), flow.reason) &&
    flow.lastSeen >= sinceMs;
  const matched = list.flows.filter(matches);
  return { ...list, flows: matched.slice(0, limit), matched: matched.length, truncated: list.truncated || matched.length > limit };
};

/** Sums of a list by one property, the most bytes first. */
export const sumFlows = (list: FlowList, by: SumBy, limit: number): FlowSums => {
  const sums = new Map<string, FlowSums['sums'][number]>();
  for (const flow of list.flows) {
    const key = keyOf(flow, by);
    const sum = sums.get(key) ?? { key, flows: 0, deniedFlows: 0, packets: 0, bytes: 0 };
    sums.set(key, {
      key,
      flows: sum.flows + 1,
      deniedFlows: sum.deniedFlows + (flow.allowed ? 0 : 1),
      packets: sum.packets + flow.packets,
      bytes: sum.bytes + flow.bytes,
    });
  }
  return {
    at: list.at,
    live: false,
    sums: [...sums.values()].sort((a, b) => b.bytes - a.bytes || (a.key < b.key ? -1 : 1)).slice(0, limit),
    keys: sums.size,
    flows: list.flows.length,
    packets: list.flows.reduce((sum, { packets }) => sum + packets, 0),
    bytes: list.flows.reduce((sum, { bytes }) => sum + bytes, 0),
    recordsLost: list.recordsLost,
  };
};

const keyOf = (flow: FlowRow, by: SumBy): string => {
  if (by === 'mapping') return flow.mapping ?? '';
  if (by === 'port') return flow.protocol === 'tcp' || flow.protocol === 'udp' ? `${flow.protocol}/${flow.destinationPort}` : flow.protocol;
  return flow[by];
};

const isIn = (address: string, outer: Prefix | undefined): boolean => {
  if (outer === undefined) return true;
  const inner = parsePrefix(address);
  return inner !== undefined && isWithin(inner, outer);
};

const prefixOf = (text: string | undefined): Prefix | undefined => {
  if (text === undefined || text === '') return undefined;
  const prefix = parsePrefix(text);
  if (prefix !== undefined) return prefix;
  throw new NestError('INPUT_INVALID', 'The address to look for is neither an address nor a CIDR. Write for instance 198.18.4.0/24.');
};
