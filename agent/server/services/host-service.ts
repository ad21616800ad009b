import { hash } from 'node:crypto';
import { HostDescription, HostServiceService } from '../../../proto/gen/nest/v1/host.ts';
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
  const describe = (): Description => ({
    facts: facts(),
    engines: traffic.status().engines.map(({ engine, available, reason }) => ({ engine, available, reason })),
  });
  const implementation: HostServiceServer = {
    getHost: adapter.unary<GetHostRequest, GetHostResponse>(async () => ({
      ...describe(),
      status: feed.now(),
    })),
    watchStatus: adapter.stream<WatchStatusRequest, WatchStatusResponse>(({ deltas, knownDescription }, call) => {
      const description = knownDescription === undefined ? undefined : toReader(describe(), knownDescription);
      return deltas ? watchDeltas({ feed, clock, description }, call.signal) : watch({ feed, description }, call.signal);
    }),
  };
  return { definition: HostServiceService, implementation };
};

type Description = Pick<HostDescription, 'facts' | 'engines'>;

/** A reader who knows it by its hash gets the hash alone. */
const toReader = (description: Description, known: Uint8Array): HostDescription => {
  const bytes = HostDescription.encode({ ...description, hash: Buffer.alloc(0) }).finish();
  const digest = hash('sha256', bytes, 'buffer');
  return digest.equals(known) ? { hash: digest, facts: undefined, engines: [] } : { ...description, hash: digest };
};

/** What goes with the first message. */
interface Opening {
  readonly feed: StatusFeed;
  readonly description: HostDescription | undefined;
}

async function* watch({ feed, description }: Opening, signal: AbortSignal): AsyncGenerator<WatchStatusResponse> {
  let sequence = 0n;
  for await (const { value, lost } of feed.watch(signal)) {
    sequence++;
    const position = { sequence, lost: BigInt(lost) };
    yield sequence === 1n ? { position, status: value, description } : { position, status: value };
  }
}

/** What changed since the last message; the whole state first, and whenever more than counters changed. */
async function* watchDeltas(
  { feed, clock, description }: Opening & Pick<HostServiceOptions, 'clock'>,
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
    yield delta === null ? { position, status: value, description: sequence === 1n ? description : undefined } : { position, delta };
  }
}

/** Readings do not come to the millisecond: a heartbeat that is nearly due leaves with this one. */
const tickSlackMs = 500;
