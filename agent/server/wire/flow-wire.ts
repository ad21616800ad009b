import { Flow_State } from '../../../proto/gen/nest/v1/flow.ts';
import type { Flow as WireFlow, FlowFilter as WireFlowFilter } from '../../../proto/gen/nest/v1/flow.ts';
import { Reason } from '../../../proto/gen/nest/v1/reason.ts';
import { NestError } from '../../../proto/model/error.ts';
import { reasonName } from '../../../proto/model/reason.ts';
import type { Flow, FlowFilter } from '../../domains/traffic/api.ts';
import { wholeMs } from './revision-wire.ts';

/** Numbers of the wire by the names of the domain. */
export const flowStates = { live: Flow_State.LIVE, ended: Flow_State.ENDED, denied: Flow_State.DENIED, cut: Flow_State.CUT } as const;
const textMax = 256;

/** A flow on the wire. */
export const toWireFlow = (flow: Flow): WireFlow => ({
  source: flow.source,
  destination: flow.destination,
  sourcePort: flow.sourcePort,
  destinationPort: flow.destinationPort,
  protocol: flow.protocol,
  state: flowStates[flow.state],
  allowed: flow.allowed,
  reason: Reason[flow.reason],
  mapping: flow.mapping,
  interface: flow.interface,
  forward: { ...flow.forward },
  reverse: { ...flow.reverse },
  firstSeenMs: wholeMs(flow.firstSeenMs),
  lastSeenMs: wholeMs(flow.lastSeenMs),
  revision: BigInt(flow.revision),
  sourceServices: [...flow.sourceServices],
  destinationServices: [...flow.destinationServices],
  translation: flow.translation === null ? undefined : { ...flow.translation },
});

/** The filter of a request; empty fields do not filter. Throws INPUT_INVALID. */
export const fromWireFilter = (filter: WireFlowFilter | undefined): FlowFilter => {
  if (filter === undefined) return {};
  const texts = [filter.address, filter.source, filter.destination, filter.mapping, filter.interface];
  if (texts.some((text) => text.length > textMax))
    throw new NestError('INPUT_INVALID', `A text of the filter is longer than ${textMax} characters. Shorten it.`);
  if (filter.port > 65_535) throw new NestError('INPUT_INVALID', `The port ${filter.port} does not exist. Use 1 to 65535, or 0 for all.`);
  return {
    ...(filter.address === '' ? {} : { address: filter.address }),
    ...(filter.port === 0 ? {} : { port: filter.port }),
    ...(filter.mapping === '' ? {} : { mapping: filter.mapping }),
    ...(filter.source === '' ? {} : { source: filter.source }),
    ...(filter.destination === '' ? {} : { destination: filter.destination }),
    ...(filter.protocolPlusOne === 0 ? {} : { protocol: protocolOf(filter.protocolPlusOne - 1) }),
    ...(filter.interface === '' ? {} : { interface: filter.interface }),
    ...verdictOf(filter.verdict),
    ...stateOf(filter.state),
    ...(filter.reason === Reason.UNSPECIFIED ? {} : { reason: reasonName(filter.reason) }),
  };
};

const protocolOf = (protocol: number): number => {
  if (protocol <= 255) return protocol;
  throw new NestError('INPUT_INVALID', 'The protocol of a filter is an IP protocol number from 0 to 255. Correct it.');
};

const stateOf = (state: Flow_State): Pick<FlowFilter, 'state'> => {
  if (state === Flow_State.UNSPECIFIED) return {};
  const found = (Object.keys(flowStates) as Flow['state'][]).find((name) => flowStates[name] === state);
  if (found !== undefined) return { state: found };
  throw new NestError('INPUT_INVALID', 'The state of a filter is live, ended, denied or cut. Correct it.');
};

const verdictOf = (verdict: string): Pick<FlowFilter, 'verdict'> => {
  if (verdict === '') return {};
  if (verdict === 'allowed' || verdict === 'denied') return { verdict };
  throw new NestError('INPUT_INVALID', 'The verdict of a filter is "allowed", "denied" or empty. Correct it.');
};
