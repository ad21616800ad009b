import { FlowServiceService, SummarizeFlowsRequest_By } from '../../../proto/gen/nest/v1/flow.ts';
import type {
  FlowServiceServer,
  ListFlowsRequest,
  ListFlowsResponse,
  SummarizeFlowsRequest,
  SummarizeFlowsResponse,
  WatchFlowsRequest,
  WatchFlowsResponse,
} from '../../../proto/gen/nest/v1/flow.ts';
import { NestError } from '../../../proto/model/error.ts';
import type { FlowFilter, FlowSumKey, Traffic } from '../../domains/traffic/api.ts';
import type { Service } from '../acceptor.ts';
import type { CallAdapter } from '../call-adapter.ts';
import { toWireColumns } from '../wire/flow-columns-wire.ts';
import { fromWireFilter, toWireFlow } from '../wire/flow-wire.ts';
import { withDefault } from '../wire/number-wire.ts';

export interface FlowServiceOptions {
  readonly adapter: CallAdapter;
  readonly traffic: Pick<Traffic, 'flows' | 'sumFlows' | 'watchFlows'>;
}

const sumKeys: Readonly<Record<number, FlowSumKey>> = {
  [SummarizeFlowsRequest_By.SOURCE]: 'source',
  [SummarizeFlowsRequest_By.DESTINATION]: 'destination',
  [SummarizeFlowsRequest_By.MAPPING]: 'mapping',
  [SummarizeFlowsRequest_By.PORT]: 'port',
  [SummarizeFlowsRequest_By.REASON]: 'reason',
};

/** Flows on the wire: a page of what is known, and batches as they happen. */
export const createFlowService = ({ adapter, traffic }: FlowServiceOptions): Service => {
  const implementation: FlowServiceServer = {
    listFlows: adapter.unary<ListFlowsRequest, ListFlowsResponse>(async (request, call) => {
      const limit = withDefault(request.limit, { field: 'limit', min: 1, max: 1000, fallback: 200 });
      const query = { filter: fromWireFilter(request.filter), limit, windowSeconds: request.windowSeconds };
      const { flows, matched, truncated, recordsLost } = await traffic.flows(query, call.signal);
      return { flows: flows.map(toWireFlow), matched: BigInt(matched), truncated, recordsLost: BigInt(recordsLost) };
    }),
    summarizeFlows: adapter.unary<SummarizeFlowsRequest, SummarizeFlowsResponse>(async (request, call) => {
      const by = sumKeys[request.by];
      if (by === undefined)
        throw new NestError('INPUT_INVALID', 'Say by what flows are summed: source, destination, mapping, port or reason.');
      const limit = withDefault(request.limit, { field: 'limit', min: 1, max: 100, fallback: 10 });
      const query = { filter: fromWireFilter(request.filter), by, limit, windowSeconds: request.windowSeconds };
      const { sums, keys, flows, total, recordsLost } = await traffic.sumFlows(query, call.signal);
      return {
        sums: sums.map((sum) => ({
          key: sum.key,
          flows: BigInt(sum.flows),
          deniedFlows: BigInt(sum.deniedFlows),
          count: { ...sum.count },
        })),
        keys: BigInt(keys),
        flows: BigInt(flows),
        total: { ...total },
        recordsLost: BigInt(recordsLost),
      };
    }),
    watchFlows: adapter.stream<WatchFlowsRequest, WatchFlowsResponse>((request, call) =>
      watch(traffic, { filter: fromWireFilter(request.filter), isByColumn: request.columns }, call.signal),
    ),
  };
  return { definition: FlowServiceService, implementation };
};

async function* watch(
  traffic: FlowServiceOptions['traffic'],
  { filter, isByColumn }: { readonly filter: FlowFilter; readonly isByColumn: boolean },
  signal: AbortSignal,
): AsyncGenerator<WatchFlowsResponse> {
  let sequence = 0n;
  for await (const { flows, lost } of traffic.watchFlows(filter, signal)) {
    sequence++;
    const position = { sequence, lost: BigInt(lost) };
    yield isByColumn ? { position, flows: [], columns: toWireColumns(flows) } : { position, flows: flows.map(toWireFlow) };
  }
}
