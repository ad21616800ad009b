import { HostServiceService } from '../../../proto/gen/nest/v1/host.ts';
import type {
  GetHostRequest,
  GetHostResponse,
  HostFacts,
  HostServiceServer,
  WatchStatusRequest,
  WatchStatusResponse,
} from '../../../proto/gen/nest/v1/host.ts';
import type { Traffic } from '../../domains/traffic/api.ts';
import type { Service } from '../acceptor.ts';
import type { CallAdapter } from '../call-adapter.ts';
import type { StatusFeed } from '../status-feed.ts';

export interface HostServiceOptions {
  readonly adapter: CallAdapter;
  readonly facts: () => HostFacts;
  readonly feed: StatusFeed;
  readonly traffic: Pick<Traffic, 'status'>;
}

/** Facts and health of the host on the wire. */
export const createHostService = ({ adapter, facts, feed, traffic }: HostServiceOptions): Service => {
  const implementation: HostServiceServer = {
    getHost: adapter.unary<GetHostRequest, GetHostResponse>(async () => ({
      facts: facts(),
      engines: traffic.status().engines.map(({ engine, available, reason }) => ({ engine, available, reason })),
      status: feed.now(),
    })),
    watchStatus: adapter.stream<WatchStatusRequest, WatchStatusResponse>((_request, call) => watch(feed, call.signal)),
  };
  return { definition: HostServiceService, implementation };
};

async function* watch(feed: StatusFeed, signal: AbortSignal): AsyncGenerator<WatchStatusResponse> {
  let sequence = 0n;
  for await (const { value, lost } of feed.watch(signal)) {
    sequence++;
    yield { position: { sequence, lost: BigInt(lost) }, status: value };
  }
}
