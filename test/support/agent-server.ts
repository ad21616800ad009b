/** The agent's own server, identity, revisions and records over real TLS, without a data path. Ships nowhere. */
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createAccessControl } from '../../agent/control/access/access-control.ts';
import type { AccessControl } from '../../agent/control/access/api.ts';
import type { IdentityControl } from '../../agent/control/identity/api.ts';
import { createIdentityControl } from '../../agent/control/identity/identity-control.ts';
import { createIntentControl } from '../../agent/control/intent/intent-control.ts';
import type { RevisionControl } from '../../agent/control/revisions/api.ts';
import type { AuditFact } from '../../agent/control/audit/api.ts';
import { createRevisionControl } from '../../agent/control/revisions/revisions.ts';
import { createRolloutControl } from '../../agent/control/rollout/rollout-control.ts';
import type { RolloutControl } from '../../agent/control/rollout/api.ts';
import type { SessionControl } from '../../agent/control/session/api.ts';
import { createSessionControl } from '../../agent/control/session/session-control.ts';
import type { Plan, Traffic } from '../../agent/domains/traffic/api.ts';
import { systemClock } from '../../agent/lib/clock.ts';
import type { Clock } from '../../agent/lib/clock.ts';
import { silentLogger } from '../../agent/lib/log.ts';
import { systemRandom } from '../../agent/lib/random.ts';
import { createServer } from '../../agent/server/api.ts';
import type { AgentServer } from '../../agent/server/api.ts';
import { createFakeDomains } from '../../agent/server/fake-domains.ts';
import type { FakeDomains } from '../../agent/server/fake-domains.ts';
import { NestError } from '../../proto/model/error.ts';
import { freePort } from './free-port.ts';

export interface TestAgentOptions {
  /** By the time of a test; the port's limit per source does not count. */
  readonly clock?: Clock;
  /** Enforces access bundles and second factors, as system.ts wires them. */
  readonly isGuarded?: boolean;
}

export interface TestAgent {
  readonly port: number;
  readonly revisions: RevisionControl;
  readonly rollouts: RolloutControl;
  /** What the agent has written into its audit log. */
  readonly facts: readonly AuditFact[];
  readonly fingerprint: string;
  /** Drops counted per second under a policy that holds this text; none when empty. */
  badPolicy: string;
  join(token: string): Promise<void>;
  /** Listens no more; state stays on disk. */
  stop(): Promise<void>;
  start(): Promise<void>;
  close(): Promise<void>;
}

const statusMs = 150;
const dropsPerSecond = 5_000;

const hashOf = (text: string): string => createHash('sha256').update(text).digest('hex');

/** An agent that has not joined anything yet, listening on loopback. */
export const createTestAgent = async ({ clock = systemClock, isGuarded = false }: TestAgentOptions = {}): Promise<TestAgent> => {
  const stateDir = await mkdtemp(join(tmpdir(), 'nest-agent-'));
  const identity = await createIdentityControl({ stateDir, clock, random: systemRandom });
  const domains = createFakeDomains();
  const kernel = { policy: '', drops: 0, countedMs: performance.now() };
  const tables = { badPolicy: '' };
  const traffic = createTables(domains.traffic, kernel, tables);
  const parts = { stateDir, clock, log: silentLogger };
  const guard = isGuarded ? await createGuard(parts, { identity, domains }) : null;
  const checkAct: SessionControl['checkAct'] = (act) => guard?.sessions.checkAct(act);
  const revisions = createRevisionControl({ ...parts, activation: traffic, raise: () => undefined });
  await revisions.start(new AbortController().signal);
  const rollouts = createRolloutControl({ ...parts, identity, checkAct, maySign: () => true });
  const intents = createIntentControl({ ...parts, identity, checkAct, maySign: () => true });
  let server: AgentServer | null = null;
  const port = await freePort();
  const start = async (): Promise<void> => {
    server = await createServer({
      ...domains,
      ...guard,
      traffic,
      revisions,
      rollouts,
      intents,
      identity,
      listen: { address: '127.0.0.1', port },
      metrics: { address: '127.0.0.1', port: 0 },
      agentVersion: '1.2.3',
      // Many short connections of a test do not meet the limit per source.
      clock: { ...clock, monotonicMs: () => performance.now() * 100 },
      logger: silentLogger,
    });
  };
  await start();
  const ticking = setInterval(() => domains.tick(), statusMs);
  return {
    port,
    revisions,
    rollouts,
    facts: domains.audit.facts,
    fingerprint: identity.fingerprint(),
    get badPolicy() {
      return tables.badPolicy;
    },
    set badPolicy(text) {
      tables.badPolicy = text;
    },
    join: async (token) => {
      await identity.openEnrollment(token);
      await server?.settled();
    },
    start,
    stop: async () => {
      await server?.close();
      server = null;
    },
    close: async () => {
      clearInterval(ticking);
      await server?.close();
      await revisions.close();
      rollouts.close();
      intents.close();
      guard?.sessions.close();
      guard?.access.close();
      identity.close();
      await rm(stateDir, { recursive: true, force: true });
    },
  };
};

/** Access and second factors of a real agent. */
const createGuard = async (
  parts: { readonly stateDir: string; readonly clock: Clock; readonly log: typeof silentLogger },
  { identity, domains }: { readonly identity: IdentityControl; readonly domains: FakeDomains },
): Promise<{ readonly access: AccessControl; readonly sessions: SessionControl }> => {
  const raise: FakeDomains['host']['raise'] = (code, warning) => domains.host.raise(code, warning);
  const access = await createAccessControl({ ...parts, fleet: () => identity.identity(), raise });
  identity.onChanged(() => void access.refresh());
  return { access, sessions: await createSessionControl({ ...parts, identity, access, audit: domains.audit, raise }) };
};

/** Plans and tables in memory; drops are counted under a policy that holds the bad text. */
export const createTables = (
  fake: Traffic,
  kernel: { policy: string; drops: number; countedMs: number },
  tables: { readonly badPolicy: string },
): Traffic => {
  const plans = new Map<string, Plan>();
  return {
    ...fake,
    plan: async ({ policyJson, base }) => {
      const generation = hashOf(policyJson);
      const planHash = hashOf(`${base.etag} ${generation}`);
      const plan: Plan = {
        planHash,
        baseRevision: base.revision,
        baseEtag: base.etag,
        generation,
        diff: [],
        problems: [],
        impact: null,
        expiresAtMs: Date.now() + 600_000,
        managementReachable: true,
        tables: null,
        canApply: true,
        cannotApplyReason: '',
        mappingCount: 0,
        serviceCount: 0,
      };
      plans.set(planHash, plan);
      return plan;
    },
    takePlan: async (planHash) => {
      const plan = plans.get(planHash);
      if (plan === undefined) throw new NestError('PLAN_EXPIRED', 'Plan again.');
      return plan;
    },
    activate: async (policyJson) => {
      kernel.policy = policyJson;
      return { generation: hashOf(policyJson), loadMs: 1, flipMs: 0.1 };
    },
    status: () => ({ ...fake.status(), generation: hashOf(kernel.policy), desiredGeneration: hashOf(kernel.policy) }),
    counters: () => {
      const nowMs = performance.now();
      if (tables.badPolicy !== '' && kernel.policy.includes(tables.badPolicy))
        kernel.drops += ((nowMs - kernel.countedMs) * dropsPerSecond) / 1000;
      kernel.countedMs = nowMs;
      const count = { packets: BigInt(Math.round(kernel.drops)), bytes: 0n };
      const reasons = [
        { reason: 'POLICY_DENY' as const, dropped: true, count },
        { reason: 'FLOW' as const, dropped: false, count: { packets: BigInt(Math.round(nowMs)), bytes: 1n } },
      ];
      return { ...fake.counters(), reasons, interfaces: [{ name: 'lan0', index: 2, reasons }] };
    },
  };
};
