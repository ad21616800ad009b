import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { HostServiceService, WatchStatusResponse } from '../../../proto/gen/nest/v1/host.ts';
import type {
  GetHostRequest,
  GetHostResponse,
  HostFacts,
  HostServiceServer,
  HostStatus,
  WatchStatusRequest,
} from '../../../proto/gen/nest/v1/host.ts';
import { statusHeartbeatMs } from '../../../proto/model/limits.ts';
import { deltaBetween, isQuiet } from '../../../proto/model/status-delta.ts';
import type { Traffic } from '../../domains/traffic/api.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Service } from '../acceptor.ts';
import type { CallAdapter, Outlet } from '../call-adapter.ts';
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
    watchStatus: adapter.feed<WatchStatusRequest, WatchStatusResponse>(({ deltas }, outlet) =>
      feed.follow(statusesInto(outlet, deltas ? createDeltas(clock) : createStates())),
    ),
  };
  return { definition: { ...HostServiceService, watchStatus: { ...HostServiceService.watchStatus, responseSerialize: createSerializer() } }, implementation };
};

/** Statuses a slow reader may be behind before it misses the oldest: five seconds' worth. */
const queueMax = 5;

/** What a reader is told of a state; null = nothing. */
type Telling = (status: HostStatus, lost: number) => WatchStatusResponse | null;

/** Tells each state as soon as the one before has left. Never waits: who is too slow misses the oldest, and is told how many. */
const statusesInto = (outlet: Outlet<WatchStatusResponse>, tell: Telling): ((status: HostStatus) => void) => {
  const queue: HostStatus[] = [];
  let isBusy = false;
  let lost = 0;
  const left = (): void => {
    isBusy = false;
    while (!isBusy) {
      const next = queue.shift();
      if (next === undefined) return;
      send(next);
    }
  };
  const send = (status: HostStatus): void => {
    const message = tell(status, lost);
    if (message === null) return;
    isBusy = true;
    outlet.write(message, left);
  };
  return (status) => {
    if (!isBusy) {
      send(status);
      return;
    }
    queue.push(status);
    if (queue.length <= queueMax) return;
    queue.shift();
    lost += 1;
  };
};

const createStates = (): Telling => {
  let sequence = 0n;
  return (status, lost) => {
    sequence += 1n;
    return { position: { sequence, lost: BigInt(lost) }, status };
  };
};

/** What changed since the last message; the whole state first, and whenever more than counters changed. */
const createDeltas = (clock: Pick<Clock, 'monotonicMs'>): Telling => {
  let sequence = 0n;
  let sent: HostStatus | null = null;
  let sentMs = 0;
  return (status, lost) => {
    const delta = sent === null ? null : deltaBetween(sent, status);
    const nowMs = clock.monotonicMs();
    if (sent !== null && delta !== null && isQuiet(sent, delta) && nowMs - sentMs < statusHeartbeatMs - tickSlackMs) return null;
    sequence += 1n;
    sent = status;
    sentMs = nowMs;
    const position = { sequence, lost: BigInt(lost) };
    return delta === null ? { position, status } : { position, delta };
  };
};

/** One writer for all statuses: it has grown to their size already, where a new one would grow from nothing for each. */
const createSerializer = (): ((message: WatchStatusResponse) => Buffer) => {
  let writer: BinaryWriter | null = null;
  return (message) => {
    const own = writer ?? new BinaryWriter();
    // Given back only when it is empty again: a message that cannot be written leaves a part of itself behind.
    writer = null;
    const { buffer, byteOffset, length } = WatchStatusResponse.encode(message, own).finish();
    writer = own;
    return Buffer.from(buffer, byteOffset, length);
  };
};

/** Readings do not come to the millisecond: a heartbeat that is nearly due leaves with this one. */
const tickSlackMs = 500;
