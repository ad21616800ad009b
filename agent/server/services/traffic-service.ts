import { Reason } from '../../../proto/gen/nest/v1/reason.ts';
import { TrafficServiceService } from '../../../proto/gen/nest/v1/traffic.ts';
import type {
  GetCountersRequest,
  GetCountersResponse,
  ListBalancersRequest,
  ListBalancersResponse,
  ListDenyListsRequest,
  ListDenyListsResponse,
  ReasonCounter,
  SetInterfaceEngineRequest,
  SetInterfaceEngineResponse,
  TracePacketRequest,
  TracePacketResponse,
  TrafficServiceServer,
  UpdateDenyListRequest,
  UpdateDenyListResponse,
} from '../../../proto/gen/nest/v1/traffic.ts';
import type { RevisionControl } from '../../control/revisions/api.ts';
import { NestError } from '../../../proto/model/error.ts';
import type { EngineName, Traffic, TrafficCounters } from '../../domains/traffic/api.ts';
import type { Service } from '../acceptor.ts';
import type { CallAdapter } from '../call-adapter.ts';
import { fromWireDenyUpdate, toWireBalancer, toWireDenyList, toWireMapping } from '../wire/balancing-wire.ts';
import { wholeMs } from '../wire/revision-wire.ts';

export interface TrafficServiceOptions {
  readonly adapter: CallAdapter;
  readonly traffic: Pick<Traffic, 'counters' | 'trace' | 'balancers' | 'denyLists' | 'updateDenyList' | 'setInterfaceEngine'>;
  readonly revisions: Pick<RevisionControl, 'current'>;
  readonly nowMs: () => number;
}

/** Counters and the packet tracer on the wire. */
export const createTrafficService = ({ adapter, traffic, revisions, nowMs }: TrafficServiceOptions): Service => {
  const implementation: TrafficServiceServer = {
    getCounters: adapter.unary<GetCountersRequest, GetCountersResponse>(async () => {
      const { mappings, path, reasons, interfaces, recordsLost, recordsSuppressed, flowsNotInserted } = traffic.counters();
      return {
        mappings: mappings.map(toWireMapping),
        reasons: toWireReasons(reasons),
        interfaces: interfaces.map(({ name, index, reasons: own }) => ({ name, index, reasons: toWireReasons(own) })),
        recordsLost,
        recordsSuppressed,
        flowsNotInserted,
        timeMs: wholeMs(nowMs()),
        revision: BigInt(revisions.current().revision),
        path: {
          judged: path.judged,
          forwarded: path.forwarded,
          routedByKernel: path.routedByKernel,
          tooBigAnswered: path.tooBigAnswered,
          floodMode: path.isFlood,
          floodSinceMs: path.floodSinceMs === null ? 0n : wholeMs(path.floodSinceMs),
        },
      };
    }),
    listBalancers: adapter.unary<ListBalancersRequest, ListBalancersResponse>(async () => ({
      balancers: traffic.balancers().map(toWireBalancer),
      timeMs: wholeMs(nowMs()),
      revision: BigInt(revisions.current().revision),
    })),
    listDenyLists: adapter.unary<ListDenyListsRequest, ListDenyListsResponse>(async ({ prefixes }) => ({
      lists: traffic.denyLists(Math.min(prefixes, prefixesShownMax)).map(toWireDenyList),
      timeMs: wholeMs(nowMs()),
    })),
    updateDenyList: adapter.unary<UpdateDenyListRequest, UpdateDenyListResponse>(async (request) => {
      const { added, removed, prefixes } = await traffic.updateDenyList(fromWireDenyUpdate(request));
      return { added: BigInt(added), removed: BigInt(removed), prefixes: BigInt(prefixes) };
    }),
    setInterfaceEngine: adapter.unary<SetInterfaceEngineRequest, SetInterfaceEngineResponse>(
      async (request) => await traffic.setInterfaceEngine(request.interface, toEngineName(request.engine)),
    ),
    tracePacket: adapter.unary<TracePacketRequest, TracePacketResponse>(async (request, call) => {
      const result = await traffic.trace({ interface: request.interface, packet: request.packet }, call.signal);
      return {
        ...result,
        reason: Reason[result.reason],
        steps: result.steps.map((step) => ({ ...step })),
        revision: BigInt(revisions.current().revision),
        sourceServices: [...result.sourceServices],
        destinationServices: [...result.destinationServices],
        output: Buffer.from(result.output),
      };
    }),
  };
  return { definition: TrafficServiceService, implementation };
};

/** Prefixes of one list in one answer. */
const prefixesShownMax = 1000;
const engineNames: readonly EngineName[] = ['auto', 'xdp', 'af_xdp', 'dpdk', 'off'];

const toEngineName = (text: string): EngineName => {
  const found = engineNames.find((name) => name === text);
  if (found !== undefined) return found;
  throw new NestError('INPUT_INVALID', `There is no engine "${text.slice(0, 63)}". Use one of ${engineNames.join(', ')}.`);
};

const toWireReasons = (reasons: TrafficCounters['reasons']): ReasonCounter[] =>
  reasons.map(({ reason, dropped, count }) => ({ reason: Reason[reason], dropped, count: { ...count } }));
