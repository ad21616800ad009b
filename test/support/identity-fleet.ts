/** A console and real agents over real TLS on loopback, with nothing behind the agents: what certificates do is under test. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { AccessControl } from '../../agent/control/access/api.ts';
import { createAccessControl } from '../../agent/control/access/access-control.ts';
import type { AuditControl } from '../../agent/control/audit/api.ts';
import { createAuditControl } from '../../agent/control/audit/audit-control.ts';
import { createHeadSigner } from '../../agent/control/audit/head-signer.ts';
import { noteLocks } from '../../agent/control/audit/lock-notes.ts';
import type { IdentityControl } from '../../agent/control/identity/api.ts';
import { createIdentityControl } from '../../agent/control/identity/identity-control.ts';
import { systemClock as agentClock } from '../../agent/lib/clock.ts';
import { silentLogger } from '../../agent/lib/log.ts';
import { systemRandom as agentRandom } from '../../agent/lib/random.ts';
import { createServer } from '../../agent/server/api.ts';
import type { AgentServer } from '../../agent/server/api.ts';
import { createFakeDomains } from '../../agent/server/fake-domains.ts';
import { createConsoleCore, createMemorySettings, createMemoryVault } from '../../desktop/core/api.ts';
import type { ConsoleCore, CredentialVault } from '../../desktop/core/api.ts';
import { openFleetCache } from '../../desktop/core/cache/sqlite-fleet-cache.ts';
import { createVerdictProgram } from '../../desktop/core/trace/verdict-program.ts';
import { systemClock, systemRandom } from '../../desktop/lib/api.ts';
import { freePort } from './free-port.ts';

const never = new AbortController().signal;
const passphrase = 'correct horse battery';
const listen = { address: '127.0.0.1', port: 0 };

export interface TestAgent {
  readonly identity: IdentityControl;
  readonly access: AccessControl;
  readonly audit: AuditControl;
  readonly server: AgentServer;
  readonly port: number;
  close(): Promise<void>;
}

export interface TestConsole {
  readonly core: ConsoleCore;
  readonly vault: CredentialVault;
}

export interface TestFleet extends TestConsole {
  /** Makes an agent and joins it. */
  enroll(name: string): Promise<{ readonly hostId: string; readonly agent: TestAgent }>;
  /** Ends an agent. */
  stop(agent: TestAgent): Promise<void>;
  /** Starts it again from its files. */
  start(name: string, port: number): Promise<TestAgent>;
  /** Locks and unlocks, and waits for the host. */
  reconnect(hostId: string): Promise<void>;
  /** Another console, without a fleet. */
  openConsole(name: string): TestConsole;
  close(): Promise<void>;
}

export interface TestAgentOptions {
  /** Whether access bundles decide; without, every operator may do everything. */
  readonly isGuarded?: boolean;
}

/** An agent, without a fleet when its folder is new; its host reports once every 200 ms. */
export const openTestAgent = async (stateDir: string, port: number, options: TestAgentOptions = {}): Promise<TestAgent> => {
  await mkdir(stateDir, { recursive: true });
  const identity = await createIdentityControl({ stateDir, clock: agentClock, random: agentRandom });
  const domains = createFakeDomains();
  const raise: typeof domains.host.raise = (code, warning) => domains.host.raise(code, warning);
  const parts = { stateDir, clock: agentClock, log: silentLogger, raise };
  const audit = await createAuditControl({ ...parts, sign: createHeadSigner(() => identity.identity()) });
  const access = options.isGuarded === true ? await createAccessControl({ ...parts, fleet: () => identity.identity() }) : domains.access;
  identity.onChanged(() => void access.refresh());
  const stopNotes = noteLocks(audit, access);
  const server = await createServer({
    ...domains,
    audit,
    access,
    listen: { ...listen, port },
    metrics: listen,
    agentVersion: '1.2.3',
    identity,
    // Many short connections of a test must not meet the limit per source.
    clock: { ...agentClock, monotonicMs: () => performance.now() * 100 },
    logger: silentLogger,
  });
  const ticking = setInterval(() => domains.tick(), 200);
  return {
    identity,
    access,
    audit,
    server,
    port,
    close: async () => {
      clearInterval(ticking);
      await domains.host.close();
      await server.close();
      stopNotes();
      access.close();
      await audit.close();
      identity.close();
    },
  };
};

/** A console with a new fleet; its files lie in `folder`. */
export const openTestFleet = async (folder: string, options: TestAgentOptions = {}): Promise<TestFleet> => {
  const agents = new Map<number, TestAgent>();
  const consoles: TestConsole[] = [];
  const openConsole = (name: string): TestConsole => {
    const vault = createMemoryVault();
    const core = createConsoleCore({
      clock: systemClock(),
      random: systemRandom,
      cache: openFleetCache(join(folder, `${name}.sqlite`), Date.now()).cache,
      vaults: [vault],
      settings: createMemorySettings(),
      version: '0.0.0',
      verdictProgram: createVerdictProgram(),
      report: () => undefined,
    });
    consoles.push({ core, vault });
    return { core, vault };
  };
  const { core, vault } = openConsole('first');
  const { handlers } = core;
  await handlers['fleet.create']({ fleetName: 'Test', operatorName: 'ada', storage: 'passphrase', passphrase }, never);
  const live = async (hostId: string): Promise<void> => {
    for await (const sample of handlers['host.watch']({ hostId }, AbortSignal.timeout(15_000))) if (sample.live) return;
    throw new Error('the host did not come');
  };
  return {
    core,
    vault,
    openConsole,
    enroll: async (name) => {
      const port = await freePort();
      const agent = await openTestAgent(join(folder, name), port, options);
      agents.set(port, agent);
      const { enrollmentId, token } = await handlers['enrollment.begin']({ name, address: '127.0.0.1', port, labels: [] }, never);
      await agent.identity.openEnrollment(token ?? '');
      for await (const { state, problem } of handlers['enrollment.watch']({ enrollmentId }, AbortSignal.timeout(15_000))) {
        if (state === 'fingerprint') break;
        if (state !== 'waiting') throw new Error(`the enrolment ended: ${problem?.message ?? state}`);
      }
      const { hostId } = await handlers['enrollment.approve']({ enrollmentId }, never);
      await live(hostId ?? '');
      return { hostId: hostId ?? '', agent };
    },
    stop: async (agent) => {
      agents.delete(agent.port);
      await agent.close();
    },
    start: async (name, port) => {
      const agent = await openTestAgent(join(folder, name), port, options);
      agents.set(port, agent);
      return agent;
    },
    reconnect: async (hostId) => {
      await handlers['fleet.lock']({}, never);
      await handlers['fleet.unlock']({ passphrase }, never);
      await live(hostId);
    },
    close: async () => {
      for (const each of consoles) await each.core.close();
      for (const agent of agents.values()) await agent.close();
    },
  };
};
