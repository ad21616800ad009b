import type { HostStatus } from '../../proto/gen/nest/v1/host.ts';
import type { AccessControl } from '../control/access/api.ts';
import type { AuditControl } from '../control/audit/api.ts';
import type { IdentityControl } from '../control/identity/api.ts';
import type { DriftControl } from '../control/drift/api.ts';
import type { LeaseControl } from '../control/lease/api.ts';
import type { RevisionControl } from '../control/revisions/api.ts';
import type { SessionControl } from '../control/session/api.ts';
import type { Host } from '../domains/host/api.ts';
import type { Traffic, TrafficCounters } from '../domains/traffic/api.ts';
import type { HostReading } from '../domains/host/api.ts';
import { toWireStatus } from './wire/host-wire.ts';

export interface StatusFeedOptions {
  readonly host: Pick<Host, 'reading' | 'watch' | 'warnings'>;
  readonly traffic: Pick<Traffic, 'status' | 'counters'>;
  readonly revisions: Pick<RevisionControl, 'current' | 'pending'>;
  readonly access: Pick<AccessControl, 'head'>;
  readonly audit: Pick<AuditControl, 'end' | 'broken'>;
  readonly identity: Pick<IdentityControl, 'identity'>;
  readonly sessions: Pick<SessionControl, 'grants'>;
  readonly drift?: Pick<DriftControl, 'status'> | undefined;
  readonly leases?: Pick<LeaseControl, 'list'> | undefined;
}

/** The host's state joined once a second, however many watch. */
export interface StatusFeed {
  now(): HostStatus;
  /** Calls `take` with the present state before it returns, then every second until the returned function is called. Nobody may change a state. */
  follow(take: (status: HostStatus) => void): () => void;
  /** Follows the host's readings until the signal aborts. */
  run(signal: AbortSignal): Promise<void>;
}

/** Made once; `run` drives it. */
export const createStatusFeed = ({
  host,
  traffic,
  revisions,
  access,
  audit,
  identity,
  sessions,
  drift,
  leases,
}: StatusFeedOptions): StatusFeed => {
  const readers = new Set<(status: HostStatus) => void>();
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
      audit: { ...audit.end(), broken: audit.broken() },
      rootStep: identity.identity()?.rootStep?.sequence ?? 0,
      breakGlass: sessions.grants(),
      drift: drift?.status() ?? null,
      leases: leases?.list() ?? [],
    });
  };
  return {
    now: () => join(host.reading()),
    follow: (take) => {
      // Its own, so that somebody who watches twice is two readers.
      const reader = (status: HostStatus): void => take(status);
      take(join(host.reading()));
      readers.add(reader);
      return () => void readers.delete(reader);
    },
    run: async (signal) => {
      for await (const reading of host.watch(signal)) {
        if (readers.size === 0) continue;
        const status = join(reading);
        for (const reader of readers) reader(status);
      }
    },
  };
};
