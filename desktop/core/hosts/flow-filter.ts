/** Filters kept flows as an agent would, for a host that is not there. */
import { isWithin, parsePrefix } from '../../../native/image/api.ts';
import { NestError } from '../../../proto/model/error.ts';
import type { FlowList, FlowRow } from '../../bridge/model.ts';

export interface FlowFilter {
  /** Address or CIDR of either side; "" = all. */
  readonly address: string;
  /** Of either side; 0 = all. */
  readonly port: number;
  readonly mapping: string;
  /** "allowed", "denied" or "" = all. */
  readonly verdict: string;
  readonly limit: number;
  /** Seen in so many seconds before the list was taken; 0 = all. */
  readonly windowSeconds: number;
}

/** The flows that match. Raises INPUT_INVALID for an address that is none. */
export const filterFlows = (list: FlowList, filter: FlowFilter): FlowList => {
  const outer = filter.address === '' ? undefined : parsePrefix(filter.address);
  if (filter.address !== '' && outer === undefined)
    throw new NestError('INPUT_INVALID', 'The address to look for is neither an address nor a CIDR. Write for instance 198.18.4.0/24.');
  const isSide = (address: string): boolean => {
    const inner = parsePrefix(address);
    return outer === undefined || (inner !== undefined && isWithin(inner, outer));
  };
  const matches = (flow: FlowRow): boolean =>
    (isSide(flow.source) || isSide(flow.destination)) &&
    (filter.port === 0 || flow.sourcePort === filter.port || flow.destinationPort === filter.port) &&
    (filter.mapping === '' || flow.mapping === filter.mapping) &&
    (filter.verdict === '' || flow.allowed === (filter.verdict === 'allowed')) &&
    (filter.windowSeconds === 0 || flow.lastSeen >= list.at - filter.windowSeconds * 1000);
  const matched = list.flows.filter(matches);
  return {
    ...list,
    flows: matched.slice(0, filter.limit),
    matched: matched.length,
    truncated: list.truncated || matched.length > filter.limit,
  };
};
