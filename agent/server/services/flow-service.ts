import { FlowServiceService } from '../../../proto/gen/nest/v1/flow.ts';
import type {
  FlowServiceServer,
  ListFlowsRequest,
  ListFlowsResponse,
  WatchFlowsRequest,
  WatchFlowsResponse,
} from '../../../proto/gen/nest/v1/flow.ts';
import type { FlowFilter, Traffic } from '../../domains/traffic/api.ts';
import type { Service } from '../acceptor.ts';
import type { CallAdapter } from '../call-adapter.ts';
import { fromWireFilter, toWireFlow } from '../wire/flow-wire.ts';
import { withDefault } from '../wire/number-wire.ts';

export interface FlowServiceOptions {
  readonly adapter: CallAdapter;
  readonly traffic: Pick<Traffic, 'flows' | 'watchFlows'>;
}

/** Flows on the wire: a page of what is known, and batches as they happen. */
export const createFlowService = ({ adapter, traffic }: FlowServiceOptions): Service => {
  const implementation: FlowServiceServer = {
    listFlows: adapter.unary<ListFlowsRequest, ListFlowsResponse>(async (request, call) => {
      const limit = withDefault(request.limit, { field: 'limit', min: 1, max: 1000, fallback: 200 });
      const query = { filter: fromWireFilter(request.filter), limit, windowSeconds: request.windowSeconds };
      const { flows, matched, truncated, recordsLost } = await traffic.flows(query, call.signal);
      return { flows: flows.map(toWireFlow), matched: BigInt(matched), truncated, recordsLost: BigInt(recordsLost) };
    }),
    watchFlows: adapter.stream<WatchFlowsRequest, WatchFlowsResponse>((request, call) =>
      watch(traffic, fromWireFilter(request.filter), call.signal),
    ),
  };
  return { definition: FlowServiceService, implementation };
};

async function* watch(traffic: FlowServiceOptions['traffic'], filter: FlowFilter, signal: AbortSignal): AsyncGenerator<WatchFlowsResponse> {
  let sequence = 0n;
  for await (const { flows, lost } of traffic.watchFlows(filter, signal)) {
    sequence++;
    yield { position: { sequence, lost: BigInt(lost) }, flows: flows.map(toWireFlow) };
  }
}
