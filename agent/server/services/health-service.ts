import { HealthCheckResponse_ServingStatus, HealthService } from '../../../proto/gen/grpc/health/v1/health.ts';
import type { HealthCheckRequest, HealthCheckResponse, HealthServer } from '../../../proto/gen/grpc/health/v1/health.ts';
import { NestError } from '../../../proto/model/error.ts';
import type { Service } from '../acceptor.ts';
import type { CallAdapter } from '../call-adapter.ts';
import type { HealthReport } from '../health.ts';

export interface HealthServiceOptions {
  readonly adapter: CallAdapter;
  /** Full names of the services served; the empty name asks for the agent as a whole. */
  readonly serviceNames: readonly string[];
  readonly health: () => HealthReport;
  /** Ticks once a second. */
  readonly ticks: (signal: AbortSignal) => AsyncIterable<unknown>;
}

/** grpc.health.v1, as load balancers and probes speak it. */
export const createHealthService = ({ adapter, serviceNames, health, ticks }: HealthServiceOptions): Service => {
  const statusOf = (service: string): HealthCheckResponse_ServingStatus => {
    if (service !== '' && !serviceNames.includes(service)) return HealthCheckResponse_ServingStatus.SERVICE_UNKNOWN;
    return health().reasons.length === 0 ? HealthCheckResponse_ServingStatus.SERVING : HealthCheckResponse_ServingStatus.NOT_SERVING;
  };
  const implementation: HealthServer = {
    check: adapter.unary<HealthCheckRequest, HealthCheckResponse>(async ({ service }) => {
      const status = statusOf(service);
      if (status === HealthCheckResponse_ServingStatus.SERVICE_UNKNOWN)
        throw new NestError('NOT_FOUND', 'This agent does not serve that service. Ask with an empty name for the agent as a whole.');
      return { status };
    }),
    watch: adapter.stream<HealthCheckRequest, HealthCheckResponse>((request, call) =>
      watch(() => statusOf(request.service), ticks(call.signal)),
    ),
  };
  return { definition: HealthService, implementation };
};

/** The present status, then every change of it. */
async function* watch(
  statusNow: () => HealthCheckResponse_ServingStatus,
  ticks: AsyncIterable<unknown>,
): AsyncGenerator<HealthCheckResponse> {
  let last = statusNow();
  yield { status: last };
  for await (const _tick of ticks) {
    const status = statusNow();
    if (status === last) continue;
    last = status;
    yield { status };
  }
}
