import type { FlowColumns } from '../../../proto/gen/nest/v1/flow.ts';
import { Reason } from '../../../proto/gen/nest/v1/reason.ts';
import type { Flow } from '../../domains/traffic/api.ts';
import { flowStates } from './flow-wire.ts';

/** Numbers texts as they are met. */
interface Texts {
  readonly texts: string[];
  of(text: string): number;
}

const createTexts = (): Texts => {
  const texts = [''];
  const positions = new Map([['', 0]]);
  return {
    texts,
    of: (text) => {
      const known = positions.get(text);
      if (known !== undefined) return known;
      positions.set(text, texts.length);
      return texts.push(text) - 1;
    },
  };
};

/** A batch of flows by column: names, addresses and lists of services are sent once. */
export const toWireColumns = (flows: readonly Flow[]): FlowColumns => {
  const { texts, of } = createTexts();
  const lists = createTexts();
  const serviceLists: FlowColumns['serviceLists'] = [{ names: [] }];
  const listOf = (services: readonly string[]): number => {
    if (services.length === 0) return 0;
    const position = lists.of(services.join('\n'));
    if (position === serviceLists.length) serviceLists.push({ names: services.map(of) });
    return position;
  };
  const translationList: FlowColumns['translationList'] = [];
  const column = (read: (flow: Flow) => number): number[] => {
    const values: number[] = [];
    let isUsed = false;
    for (const flow of flows) {
      const value = read(flow);
      if (value !== 0) isUsed = true;
      values.push(value);
    }
    return isUsed ? values : [];
  };
  return {
    count: flows.length,
    sources: column(({ source }) => of(source)),
    destinations: column(({ destination }) => of(destination)),
    sourcePorts: column(({ sourcePort }) => sourcePort),
    destinationPorts: column(({ destinationPort }) => destinationPort),
    protocols: column(({ protocol }) => protocol),
    states: column(({ state }) => flowStates[state]),
    verdicts: column(({ allowed }) => (allowed ? 1 : 0)),
    reasons: column(({ reason }) => Reason[reason]),
    mappings: column(({ mapping }) => of(mapping)),
    interfaces: column((flow) => of(flow.interface)),
    forwardPackets: column(({ forward }) => Number(forward.packets)),
    forwardBytes: column(({ forward }) => Number(forward.bytes)),
    reversePackets: column(({ reverse }) => Number(reverse.packets)),
    reverseBytes: column(({ reverse }) => Number(reverse.bytes)),
    firstSeenMs: column(({ firstSeenMs }) => Math.round(firstSeenMs)),
    lastSeenMs: column(({ lastSeenMs }) => Math.round(lastSeenMs)),
    revisions: column(({ revision }) => revision),
    sourceServices: column(({ sourceServices }) => listOf(sourceServices)),
    destinationServices: column(({ destinationServices }) => listOf(destinationServices)),
    serviceLists: serviceLists.length === 1 ? [] : serviceLists,
    translations: column(({ translation }) => (translation === null ? 0 : translationList.push({ ...translation }))),
    translationList,
    texts,
  };
};
