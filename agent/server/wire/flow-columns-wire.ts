import type { FlowColumns } from '../../../proto/gen/nest/v1/flow.ts';
import { Reason } from '../../../proto/gen/nest/v1/reason.ts';
import { columnWidth } from '../../../proto/model/flow-columns.ts';
import type { Flow } from '../../domains/traffic/api.ts';
import { flowStates } from './flow-wire.ts';

const none = Buffer.alloc(0);

/** Numbers texts as they are met. */
interface Texts {
  readonly texts: string[];
  readonly of: (text: string) => number;
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

/** The same for texts that hardly differ from flow to flow: the last one is known without a look. */
const rarelyChanging = (of: (text: string) => number): ((text: string) => number) => {
  let last = '';
  let position = 0;
  return (text) => {
    if (text !== last) {
      last = text;
      position = of(text);
    }
    return position;
  };
};

/** A batch of flows by column: names, addresses and lists of services are sent once. */
export const toWireColumns = (flows: readonly Flow[]): FlowColumns => {
  const { texts, of } = createTexts();
  const [mapping, face] = [rarelyChanging(of), rarelyChanging(of)];
  const lists = createTexts();
  const serviceLists: FlowColumns['serviceLists'] = [{ names: [] }];
  const listOf = (services: readonly string[]): number => {
    if (services.length === 0) return 0;
    const position = lists.of(services.join('\n'));
    if (position === serviceLists.length) serviceLists.push({ names: services.map(of) });
    return position;
  };
  const translationList: FlowColumns['translationList'] = [];
  const numbers = (read: (flow: Flow) => number): Buffer => numberColumn(flows, read);
  const doubles = (read: (flow: Flow) => number): Buffer => doubleColumn(flows, read);
  return {
    count: flows.length,
    sources: numbers(({ source }) => of(source)),
    destinations: numbers(({ destination }) => of(destination)),
    sourcePorts: numbers(({ sourcePort }) => sourcePort),
    destinationPorts: numbers(({ destinationPort }) => destinationPort),
    protocols: numbers(({ protocol }) => protocol),
    states: numbers(({ state }) => flowStates[state]),
    verdicts: numbers(({ allowed }) => (allowed ? 1 : 0)),
    reasons: numbers(({ reason }) => Reason[reason]),
    mappings: numbers((flow) => mapping(flow.mapping)),
    interfaces: numbers((flow) => face(flow.interface)),
    revisions: numbers(({ revision }) => revision),
    sourceServices: numbers(({ sourceServices }) => listOf(sourceServices)),
    destinationServices: numbers(({ destinationServices }) => listOf(destinationServices)),
    translations: numbers(({ translation }) => (translation === null ? 0 : translationList.push({ ...translation }))),
    forwardPackets: doubles(({ forward }) => Number(forward.packets)),
    forwardBytes: doubles(({ forward }) => Number(forward.bytes)),
    reversePackets: doubles(({ reverse }) => Number(reverse.packets)),
    reverseBytes: doubles(({ reverse }) => Number(reverse.bytes)),
    firstSeenMs: doubles(({ firstSeenMs }) => Math.round(firstSeenMs)),
    lastSeenMs: doubles(({ lastSeenMs }) => Math.round(lastSeenMs)),
    serviceLists: serviceLists.length === 1 ? [] : serviceLists,
    translationList,
    texts,
  };
};

const numberColumn = (flows: readonly Flow[], read: (flow: Flow) => number): Buffer => {
  const bytes = new ArrayBuffer(flows.length * columnWidth.number);
  const view = new DataView(bytes);
  let isUsed = false;
  let at = 0;
  for (const flow of flows) {
    const value = read(flow);
    if (value !== 0) isUsed = true;
    view.setUint32(at, value, true);
    at += columnWidth.number;
  }
  return isUsed ? Buffer.from(bytes) : none;
};

const doubleColumn = (flows: readonly Flow[], read: (flow: Flow) => number): Buffer => {
  const bytes = new ArrayBuffer(flows.length * columnWidth.double);
  const view = new DataView(bytes);
  let isUsed = false;
  let at = 0;
  for (const flow of flows) {
    const value = read(flow);
    if (value !== 0) isUsed = true;
    view.setFloat64(at, value, true);
    at += columnWidth.double;
  }
  return isUsed ? Buffer.from(bytes) : none;
};
