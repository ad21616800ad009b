import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { hash } from 'node:crypto';
import { HostDescription, HostServiceService, WatchStatusResponse } from '../../../proto/gen/nest/v1/host.ts';
import type { GetHostRequest, GetHostResponse, HostFacts, HostServiceServer, WatchStatusRequest } from '../../../proto/gen/nest/v1/host.ts';
import type { Traffic } from '../../domains/traffic/api.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Service } from '../acceptor.ts';
import type { CallAdapter } from '../call-adapter.ts';
import type { StatusFeed } from '../status-feed.ts';
import { statusDeltas, statusesInto, wholeStatuses } from '../status-stream.ts';

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
    watchStatus: adapter.feed<WatchStatusRequest, WatchStatusResponse>(({ deltas, knownDescription }, outlet) => {
      const description = knownDescription === undefined ? undefined : toReader(describe(), knownDescription);
      return feed.follow(statusesInto(outlet, deltas ? statusDeltas(clock, description) : wholeStatuses(description)));
    }),
  };
  return {
    definition: { ...HostServiceService, watchStatus: { ...HostServiceService.watchStatus, responseSerialize: createSerializer() } },
    implementation,
  };
};

type Description = Pick<HostDescription, 'facts' | 'engines'>;

/** A reader who knows it by its hash gets the hash alone. */
const toReader = (description: Description, known: Uint8Array): HostDescription => {
  const bytes = HostDescription.encode({ ...description, hash: Buffer.alloc(0) }).finish();
  const digest = hash('sha256', bytes, 'buffer');
  return digest.equals(known) ? { hash: digest, facts: undefined, engines: [] } : { ...description, hash: digest };
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
