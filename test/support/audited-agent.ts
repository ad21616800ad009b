/** A real agent server with a real audit log on loopback, without a data path, for tests of the console. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AuditControl } from '../../agent/control/audit/api.ts';
import { createAuditControl } from '../../agent/control/audit/audit-control.ts';
import { createHeadSigner } from '../../agent/control/audit/head-signer.ts';
import type { IdentityControl } from '../../agent/control/identity/api.ts';
import { createIdentityControl } from '../../agent/control/identity/identity-control.ts';
import { systemClock } from '../../agent/lib/clock.ts';
import { silentLogger } from '../../agent/lib/log.ts';
import { systemRandom } from '../../agent/lib/random.ts';
import { createServer } from '../../agent/server/api.ts';
import type { AgentServer } from '../../agent/server/api.ts';
import { createFakeDomains } from '../../agent/server/fake-domains.ts';

export interface AuditedAgent {
  readonly port: number;
  /** Where the log lies. */
  readonly auditDirectory: string;
  readonly audit: AuditControl;
  join(token: string): Promise<void>;
  /** Cuts every connection; the files stay. */
  stop(): Promise<void>;
  /** Listens on the same port again. */
  start(): Promise<void>;
  /** Stops and removes everything. */
  close(): Promise<void>;
}

export interface AuditedAgentOptions {
  readonly port: number;
  /** A log with small files, of which few are kept. */
  readonly segmentBytesMax?: number;
  readonly segmentsMax?: number;
}

/** An agent that has joined nothing yet. */
export const startAuditedAgent = async ({ port, ...segments }: AuditedAgentOptions): Promise<AuditedAgent> => {
  const stateDir = await mkdtemp(join(tmpdir(), 'nest-audited-agent-'));
  let running: Running | null = null;
  const start = async (): Promise<void> => {
    const domains = createFakeDomains();
    const identity = await createIdentityControl({ stateDir, clock: systemClock, random: systemRandom });
    const sign = createHeadSigner(() => identity.identity());
    const audit = await createAuditControl({ stateDir, clock: systemClock, log: silentLogger, sign, raise: () => undefined, ...segments });
    const listen = { address: '127.0.0.1', port };
    const server = await createServer({
      ...domains,
      audit,
      listen,
      metrics: { address: '127.0.0.1', port: 0 },
      agentVersion: '1.2.3',
      identity,
      clock: systemClock,
      logger: silentLogger,
    });
    const ticks = setInterval(() => domains.tick(), 200);
    running = { identity, audit, server, stop: () => domains.host.close().finally(() => clearInterval(ticks)) };
  };
  const live = (): Running => {
    if (running === null) throw new Error('the agent does not run');
    return running;
  };
  const stop = async (): Promise<void> => {
    if (running === null) return;
    const { identity, audit, server, stop: stopDomains } = running;
    running = null;
    await stopDomains();
    await server.close();
    await audit.close();
    identity.close();
  };
  await start();
  return {
    port,
    auditDirectory: join(stateDir, 'audit'),
    get audit() {
      return live().audit;
    },
    join: async (token) => {
      const { identity, server } = live();
      await identity.openEnrollment(token);
      await server.settled();
    },
    stop,
    start,
    close: async () => {
      await stop();
      await rm(stateDir, { recursive: true, force: true });
    },
  };
};

interface Running {
  readonly identity: IdentityControl;
  readonly audit: AuditControl;
  readonly server: AgentServer;
  readonly stop: () => Promise<void>;
}
