import { Reason } from '../../../proto/gen/nest/v1/reason.ts';
import { TrafficServiceService } from '../../../proto/gen/nest/v1/traffic.ts';
import type {
  GetCountersRequest,
  GetCountersResponse,
  ReasonCounter,
  TracePacketRequest,
  TracePacketResponse,
  TrafficServiceServer,
} from '../../../proto/gen/nest/v1/traffic.ts';
import type { RevisionControl } from '../../control/revisions/api.ts';
import type { Traffic, TrafficCounters } from '../../domains/traffic/api.ts';
import type { Service } from '../acceptor.ts';
import type { CallAdapter } from '../call-adapter.ts';
import { wholeMs } from '../wire/revision-wire.ts';

export interface TrafficServiceOptions {
  readonly adapter: CallAdapter;
  readonly traffic: Pick<Traffic, 'counters' | 'trace'>;
  readonly revisions: Pick<RevisionControl, 'current'>;
  readonly nowMs: () => number;
}

/** Counters and the packet tracer on the wire. */
export const createTrafficService = ({ adapter, traffic, revisions, nowMs }: TrafficServiceOptions): Service => {
  const implementation: TrafficServiceServer = {
    getCounters: adapter.unary<GetCountersRequest, GetCountersResponse>(async () => {
      const { mappings, reasons, interfaces, recordsLost, recordsSuppressed, flowsNotInserted } = traffic.counters();
      return {
        mappings: mappings.map(({ mapping, allow, count }) => ({ mapping, allow, count: { ...count } })),
        reasons: toWireReasons(reasons),
        interfaces: interfaces.map(({ name, index, reasons: own }) => ({ name, index, reasons: toWireReasons(own) })),
        recordsLost,
        recordsSuppressed,
        flowsNotInserted,
        timeMs: wholeMs(nowMs()),
        revision: BigInt(revisions.current().revision),
      };
    }),
    tracePacket: adapter.unary<TracePacketRequest, TracePacketResponse>(async (request, call) => {
      const result = await traffic.trace({ interface: request.interface, packet: request.packet }, call.signal);
      return {
        ...result,
        reason: Reason[result.reason],
        steps: result.steps.map((step) => ({ ...step })),
        revision: BigInt(revisions.current().revision),
        sourceServices: [...result.sourceServices],
        destinationServices: [...result.destinationServices],
      };
    }),
  };
  return { definition: TrafficServiceService, implementation };
};

const toWireReasons = (reasons: TrafficCounters['reasons']): ReasonCounter[] =>
  reasons.map(({ reason, dropped, count }) => ({ reason: Reason[reason], dropped, count: { ...count } }));
