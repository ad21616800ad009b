/** A real agent over real TLS on loopback, real but for its kernel, which is in memory: for tests of changes, approvals, drift and leases. Ships nowhere. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { noteMappingEnds } from '../../agent/control/audit/local-effects.ts';
import { createDriftControl } from '../../agent/control/drift/drift-control.ts';
import { createIdentityControl } from '../../agent/control/identity/identity-control.ts';
import { createLeaseControl } from '../../agent/control/lease/lease-control.ts';
import type { RevisionControl } from '../../agent/control/revisions/api.ts';
import { createRevisionControl } from '../../agent/control/revisions/revisions.ts';
import { createFakeHost } from '../../agent/domains/traffic/fake-host.ts';
import type { FakeHost } from '../../agent/domains/traffic/fake-host.ts';
import { systemClock } from '../../agent/lib/clock.ts';
import { silentLogger } from '../../agent/lib/log.ts';
import { systemRandom } from '../../agent/lib/random.ts';
import { createServer } from '../../agent/server/api.ts';
import { createFakeDomains } from '../../agent/server/fake-domains.ts';
import type { FakeAudit } from '../../agent/server/fake-domains.ts';
import { freePort } from './free-port.ts';

export interface ChangeAgent {
  readonly port: number;
  readonly revisions: RevisionControl;
  readonly kernel: FakeHost['kernel'];
  readonly audit: FakeAudit;
  join(token: string): Promise<void>;
  close(): Promise<void>;
}

const statusMs = 150;

/** An agent that has joined nothing yet. */
export const createChangeAgent = async (): Promise<ChangeAgent> => {
  const stateDir = await mkdtemp(join(tmpdir(), 'nest-change-'));
  const parts = { stateDir, clock: systemClock, log: silentLogger, raise: () => undefined };
  const identity = await createIdentityControl({ stateDir, clock: systemClock, random: systemRandom });
  const domains = createFakeDomains();
  const host = createFakeHost();
  const traffic = await host.open({ clock: systemClock, onMappingEnded: noteMappingEnds(domains.audit) });
  const revisions = createRevisionControl({ ...parts, activation: traffic });
  await revisions.start(new AbortController().signal);
  const drift = await createDriftControl({ ...parts, port: traffic, audit: domains.audit });
  const port = await freePort();
  const server = await createServer({
    ...domains,
    traffic,
    revisions,
    identity,
    drift,
    leases: createLeaseControl(systemClock),
    listen: { address: '127.0.0.1', port },
    metrics: { address: '127.0.0.1', port: 0 },
    agentVersion: '1.2.3',
    clock: systemClock,
    logger: silentLogger,
  });
  const ticking = setInterval(() => domains.tick(), statusMs);
  return {
    port,
    revisions,
    kernel: host.kernel,
    audit: domains.audit,
    join: async (token) => {
      await identity.openEnrollment(token);
      await server.settled();
    },
    close: async () => {
      clearInterval(ticking);
      await drift.close();
      await server.close();
      await revisions.close();
      await host.close();
      identity.close();
      await rm(stateDir, { recursive: true, force: true });
    },
  };
};
