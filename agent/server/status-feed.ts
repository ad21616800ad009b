import type { HostStatus } from '../../proto/gen/nest/v1/host.ts';
import type { AccessControl } from '../control/access/api.ts';
import type { IdentityControl } from '../control/identity/api.ts';
import type { DriftControl } from '../control/drift/api.ts';
import type { LeaseControl } from '../control/lease/api.ts';
import type { RevisionControl } from '../control/revisions/api.ts';
import type { SessionControl } from '../control/session/api.ts';
import type { Host } from '../domains/host/api.ts';
import type { Traffic, TrafficCounters } from '../domains/traffic/api.ts';
import { createBroadcast } from '../lib/broadcast.ts';
import type { Delivery } from '../lib/broadcast.ts';
import type { HostReading } from '../domains/host/api.ts';
import { toWireStatus } from './wire/host-wire.ts';

/** Samples a slow reader may be behind before it misses the oldest: five seconds' worth. */
const queueMax = 5;

export interface StatusFeedOptions {
  readonly host: Pick<Host, 'reading' | 'watch' | 'warnings'>;
  readonly traffic: Pick<Traffic, 'status' | 'counters'>;
  readonly revisions: Pick<RevisionControl, 'current' | 'pending'>;
  readonly access: Pick<AccessControl, 'head'>;
  readonly identity: Pick<IdentityControl, 'identity'>;
  readonly sessions: Pick<SessionControl, 'grants'>;
  readonly drift?: Pick<DriftControl, 'status'> | undefined;
  readonly leases?: Pick<LeaseControl, 'list'> | undefined;
}

/** The host's state joined once a second, however many watch. */
export interface StatusFeed {
  now(): HostStatus;
  /** The present state at once, then every second. */
  watch(signal: AbortSignal): AsyncIterable<Delivery<HostStatus>>;
  /** Follows the host's readings until the signal aborts. */
  run(signal: AbortSignal): Promise<void>;
}

/** Made once; `run` drives it. */
export const createStatusFeed = ({
  host,
  traffic,
  revisions,
  access,
  identity,
  sessions,
  drift,
  leases,
}: StatusFeedOptions): StatusFeed => {
  const broadcast = createBroadcast<HostStatus>(queueMax);
  const join = (reading: HostReading): HostStatus => {
    const status = traffic.status();
    const counters: TrafficCounters | null = status.mode === 'enforce' ? traffic.counters() : null;
    return toWireStatus({
      reading,
      traffic: status,
      counters,
      warnings: host.warnings(),
      revision: revisions.current().revision,
      pending: revisions.pending(),
      access: access.head(),
      rootStep: identity.identity()?.rootStep?.sequence ?? 0,
      breakGlass: sessions.grants(),
      drift: drift?.status() ?? null,
      leases: leases?.list() ?? [],
    });
  };
  return {
    now: () => join(host.reading()),
    watch: async function* watch(signal) {
      const later = broadcast.subscribe(signal);
      yield { value: join(host.reading()), lost: 0 };
      yield* later;
    },
    run: async (signal) => {
      for await (const reading of host.watch(signal)) {
        if (broadcast.readers > 0) broadcast.publish(join(reading));
      }
      broadcast.close();
    },
  };
};
