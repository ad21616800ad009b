import { HostServiceService } from '../../../proto/gen/nest/v1/host.ts';
import type {
  GetHostRequest,
  GetHostResponse,
  HostFacts,
  HostServiceServer,
  HostStatus,
  WatchStatusRequest,
  WatchStatusResponse,
} from '../../../proto/gen/nest/v1/host.ts';
import { statusHeartbeatMs } from '../../../proto/model/limits.ts';
import { deltaBetween, isQuiet } from '../../../proto/model/status-delta.ts';
import type { Traffic } from '../../domains/traffic/api.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Service } from '../acceptor.ts';
import type { CallAdapter } from '../call-adapter.ts';
import type { StatusFeed } from '../status-feed.ts';

export interface HostServiceOptions {
  readonly adapter: CallAdapter;
  readonly facts: () => HostFacts;
  readonly feed: StatusFeed;
  readonly traffic: Pick<Traffic, 'status'>;
  readonly clock: Pick<Clock, 'monotonicMs'>;
}

/** Facts and health of the host on the wire. */
export const createHostService = ({ adapter, facts, feed, traffic, clock }: HostServiceOptions): Service => {
  const implementation: HostServiceServer = {
    getHost: adapter.unary<GetHostRequest, GetHostResponse>(async () => ({
      facts: facts(),
      engines: traffic.status().engines.map(({ engine, available, reason }) => ({ engine, available, reason })),
      status: feed.now(),
    })),
    watchStatus: adapter.stream<WatchStatusRequest, WatchStatusResponse>(({ deltas }, call) =>
      deltas ? watchDeltas({ feed, clock }, call.signal) : watch(feed, call.signal),
    ),
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

/** What changed since the last message; the whole state first, and whenever more than counters changed. */
async function* watchDeltas(
  { feed, clock }: Pick<HostServiceOptions, 'feed' | 'clock'>,
  signal: AbortSignal,
): AsyncGenerator<WatchStatusResponse> {
  let sequence = 0n;
  let sent: HostStatus | null = null;
  let sentMs = 0;
  for await (const { value, lost } of feed.watch(signal)) {
    const delta = sent === null ? null : deltaBetween(sent, value);
    const nowMs = clock.monotonicMs();
    if (sent !== null && delta !== null && isQuiet(sent, delta) && nowMs - sentMs < statusHeartbeatMs - tickSlackMs) continue;
    sequence++;
    sent = value;
    sentMs = nowMs;
    const position = { sequence, lost: BigInt(lost) };
    yield delta === null ? { position, status: value } : { position, delta };
  }
}

/** Readings do not come to the millisecond: a heartbeat that is nearly due leaves with this one. */
const tickSlackMs = 500;
