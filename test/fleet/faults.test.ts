/**
 * Faults while policy is being changed. Whatever happens nothing is half applied (what the kernel enforces is what the disk says is in
 * force) and nothing is unaccounted (every host of a rollout ends in a state with a reason, every call that began has an end in the log).
 *
 * | Fault                                             | Test                                                            |
 * | ------------------------------------------------- | --------------------------------------------------------------- |
 * | console killed at every step, another goes on     | rollout-takeover.test.ts, after each record it wrote            |
 * | console process killed -9 at any moment           | faults-simulator.test.ts                                        |
 * | agent killed in each phase of apply               | "an agent that is killed", nine phases; on the lab:             |
 * |                                                   | test/integration/agent-death.test.ts and dead-man.test.ts       |
 * | disk full, of a host and of a console             | "a full disk"                                                   |
 * | two operators at once                             | "two operators at once"                                         |
 * | half the fleet offline before and while it runs   | "half of the fleet is away", faults-simulator.test.ts           |
 * | clock jumps of ten minutes and two days           | "clocks that jump"                                              |
 */
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createTestFleet } from '../../agent/control/identity/test-fleet.ts';
import type { TestCertificate, TestFleet } from '../../agent/control/identity/test-fleet.ts';
import { systemClock as agentClock } from '../../agent/lib/clock.ts';
import { ask, dial, enroll, refusalOf } from '../../agent/server/test-console.ts';
import type { StagedRollout } from '../../desktop/bridge/rollout-model.ts';
import { createMemoryVault } from '../../desktop/core/api.ts';
import type { CredentialVault } from '../../desktop/core/api.ts';
import { systemClock } from '../../desktop/lib/api.ts';
import type { ApplyConfigResponse } from '../../proto/gen/nest/v1/config.ts';
import { ConfigServiceClient } from '../../proto/gen/nest/v1/config.ts';
import { decodeAuditEntry } from '../../proto/model/audit.ts';
import { createTestAgent } from '../support/agent-server.ts';
import type { TestAgent } from '../support/agent-server.ts';
import { ChildAgent } from '../support/child-agent.ts';
import { enforcedBy, startFaultAgent } from '../support/fault-agent.ts';
import type { FaultAgent, FaultStep } from '../support/fault-agent.ts';
import { freePort } from '../support/free-port.ts';
import { fullDiskProblem, mountFullDisk } from '../support/full-disk.ts';
import { copyInventory, ended, enrolAgent, nextPolicy, openConsole, testPassphrase, unlock, until } from '../support/rollout-console.ts';
import type { TestConsole } from '../support/rollout-console.ts';

const never = new AbortController().signal;
const [minuteMs, dayMs] = [60_000, 86_400_000];
const rolloutOf = { waves: [100], soakSeconds: 0, baselineSeconds: 0, maxUnavailable: 16 };
const jumpsMs = [2 * dayMs, -2 * dayMs, 10 * minuteMs, -10 * minuteMs];

const createFleet = async ({ core }: TestConsole): Promise<void> => {
  await core.handlers['fleet.create']({ fleetName: 'Test', operatorName: 'Ada', storage: 'passphrase', passphrase: testPassphrase }, never);
};

describe('an agent that is killed', { timeout: 120_000 }, () => {
  interface Phase {
    readonly phase: string;
    readonly step: FaultStep;
    /** The step comes a second time when the change is taken back. */
    readonly count?: number;
    readonly isAborted?: true;
  }
  const phases: readonly Phase[] = [
    { phase: 'while it plans', step: 'plan' },
    { phase: 'while it applies, before the tables', step: 'stage' },
    { phase: 'while it applies, with the tables in force and the disk unaware', step: 'activate' },
    { phase: 'with the change pending and the answer not sent', step: 'applied' },
    { phase: 'before it keeps', step: 'confirming' },
    { phase: 'with the change kept and the answer not sent', step: 'confirmed' },
    { phase: 'while it takes back, before the tables', step: 'stage', count: 2, isAborted: true },
    { phase: 'while it takes back, with the old tables in force and the disk unaware', step: 'activate', count: 2, isAborted: true },
    { phase: 'with the change taken back and the answer not sent', step: 'taken-back', isAborted: true },
  ];
  const agents = new Map<string, { readonly agent: ChildAgent; readonly hostId: string }>();
  let folder: string;
  let conductor: TestConsole;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'nest-killed-'));
    conductor = openConsole({ folder, name: 'console', vault: createMemoryVault() });
    await createFleet(conductor);
    const started = await Promise.all(
      phases.map(async ({ phase }, index) => {
        const stateDir = join(folder, `agent-${String(index)}`);
        await mkdir(stateDir);
        const port = await freePort();
        return { phase, port, agent: await ChildAgent.start({ stateDir, port, kernelFile: join(stateDir, 'kernel') }) };
      }),
    );
    for (const { phase, port, agent } of started)
      agents.set(phase, { agent, hostId: await enrolAgent(conductor, { name: phase, port, join: (token) => agent.join(token) }) });
    await until('the connections', async () => {
      const rows = await conductor.core.handlers['hosts.list']({}, never);
      return rows.every(({ state }) => state === 'healthy');
    });
  }, 120_000);

  afterAll(async () => {
    await conductor.kill();
    await Promise.all([...agents.values()].map(({ agent }) => agent[Symbol.asyncDispose]()));
    await rm(folder, { recursive: true, force: true });
  });

  it.concurrent.each(phases)('$phase has the old or the new policy as a whole, and every call has an end', async (where) => {
    const { agent, hostId } = agents.get(where.phase) ?? { agent: null, hostId: '' };
    if (agent === null) throw new Error('no agent');
    const { handlers } = conductor.core;
    const policy = nextPolicy();
    const soakSeconds = where.isAborted === true ? 600 : 0;
    const { planId } = await handlers['rollouts.plan']({ ...rolloutOf, name: where.phase, policy, hostIds: [hostId], soakSeconds }, never);
    await agent.dieAt(where.step, where.count);
    const { rolloutId } = await handlers['rollouts.start']({ planId }, never);
    const shown = async (): Promise<StagedRollout | undefined> => {
      for await (const now of handlers['rollouts.watch']({ rolloutId }, never)) return now;
      return undefined;
    };
    if (where.isAborted === true) {
      await until('the soak', async () => (await shown())?.hosts[0]?.state === 'soaking');
      await handlers['rollouts.abort']({ rolloutId }, never);
    }
    await agent.livesAgain(2);
    await ended(conductor, rolloutId);
    await until('an end of the host', async () => (await shown())?.hosts[0]?.state !== 'unreachable');
    const host = (await shown())?.hosts[0];
    const state = await agent.state();
    const isKept = host?.state === 'kept';
    expect(state).toMatchObject({ kernel: state.current.policyJson, isPending: false, auditProblem: null });
    expect(state.states).not.toContain('pending');
    expect({ isKept, isNew: state.kernel === policy, state: state.current.state }).toEqual({ isKept, isNew: isKept, state: 'confirmed' });
    expect(['kept', 'taken-back', 'failed', 'skipped']).toContain(host?.state);
    expect(host?.problem === null).toBe(isKept);
    const closed = new Set(state.entries.map(({ opening }) => opening));
    expect(state.entries.filter(({ number, result }) => result === 'started' && !closed.has(number))).toEqual([]);
    expect(state.entries.filter(({ action }) => action === 'agent.started')).toHaveLength(2);
    const openings = new Map(state.entries.map((entry) => [entry.number, entry.action]));
    const said = state.entries.filter(
      ({ action, opening }) =>
        action.startsWith('revision.') || (action === 'call.interrupted' && openings.get(opening)?.includes('/nest.v1.ConfigService/')),
    );
    // To plan changes nothing, and to keep had not begun; everything else was interrupted, and the next life says so.
    expect(said.length > 0).toBe(where.step !== 'plan' && where.step !== 'confirming');
  });
});

/** An agent that was enrolled by hand, for operators without a console. */
const openEnrolled = async (
  options: Parameters<typeof startFaultAgent>[0],
  { fleet, operator }: { readonly fleet: TestFleet; readonly operator: TestCertificate },
): Promise<FaultAgent> => {
  const agent = await startFaultAgent(options);
  const token = fleet.token();
  await agent.join(token.text);
  await enroll({ port: options.port, fleet, token, operator });
  return agent;
};

/** The calls of one operator to one agent. */
const operatorAt = (port: number, certificate: TestCertificate) => {
  const client = dial(ConfigServiceClient, { port, certificate });
  // Unlike those of whoever else works under this certificate.
  const own = randomBytes(8).toString('hex');
  let changes = 0;
  return {
    close: () => client.close(),
    read: () => ask(client.getConfig.bind(client), { revision: 0n }),
    plan: async (policyJson: string, baseRevision: number) =>
      ask(client.planConfig.bind(client), { policyJson, baseRevision: BigInt(baseRevision), flowWindowMinutes: 15 }),
    apply: (policyJson: string, planHash: string, confirmWithinSeconds = 60): Promise<ApplyConfigResponse> => {
      changes += 1;
      const transactionId = `${own}-${String(changes)}`;
      const conducted = { rolloutId: '', rolloutTerm: 0n, withoutDocument: false, policySha256: Buffer.alloc(0) };
      return ask(client.applyConfig.bind(client), { policyJson, planHash, transactionId, confirmWithinSeconds, comment: '', ...conducted });
    },
    /** The change of the last apply. */
    confirm: (revision: number) =>
      ask(client.confirmConfig.bind(client), {
        revision: BigInt(revision),
        transactionId: `${own}-${String(changes)}`,
        withoutDocument: false,
      }),
  };
};

describe('with operators at a host', { timeout: 60_000 }, () => {
  const fleetId = '01jz000000000000000000000a';
  let folder: string;
  let fleet: TestFleet;
  let ada: TestCertificate;
  let port: number;
  const opened: { close(): void }[] = [];
  const at = (certificate: TestCertificate) => {
    const operator = operatorAt(port, certificate);
    opened.push(operator);
    return operator;
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'nest-faults-'));
    // Made five days ago: clocks are going to be set back.
    fleet = await createTestFleet(fleetId, Date.now() - 5 * dayMs);
    ada = await fleet.operator('ada');
  });
  afterEach(() => {
    for (const operator of opened.splice(0)) operator.close();
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('two operators at once: one change wins, the other is refused with a code, and neither can keep what is not theirs', async () => {
    port = await freePort();
    const stateDir = join(folder, 'two');
    await mkdir(stateDir);
    const kernelFile = join(stateDir, 'kernel');
    await using agent = await openEnrolled({ stateDir, port, kernelFile }, { fleet, operator: ada });
    const operators = [at(ada), at(await fleet.operator('bob'))];
    const rounds = 10;
    for (let base = 0; base < rounds; base += 1) {
      const policies = operators.map(() => nextPolicy());
      const plans = await Promise.all(operators.map((operator, index) => operator.plan(policies[index] ?? '', base)));
      const applies = await Promise.allSettled(
        operators.map((operator, index) => operator.apply(policies[index] ?? '', plans[index]?.planHash ?? '')),
      );
      const winner = applies.findIndex(({ status }) => status === 'fulfilled');
      const loser = 1 - winner;
      expect(applies.filter(({ status }) => status === 'rejected')).toHaveLength(1);
      const refused = applies[loser];
      const { reason } = await refusalOf(Promise.reject(refused?.status === 'rejected' ? refused.reason : new Error()));
      expect(['REVISION_CONFLICT', 'APPLY_IN_PROGRESS']).toContain(reason);
      expect(enforcedBy(kernelFile)).toBe(policies[winner]);
      expect((await refusalOf(operators[loser]?.confirm(base + 1) ?? Promise.resolve())).reason).toBe('NOTHING_TO_CONFIRM');
      await operators[winner]?.confirm(base + 1);
      expect(agent.revisions.current()).toMatchObject({ revision: base + 1, state: 'confirmed', policyJson: policies[winner] });
    }
    const entries = [];
    for await (const piece of agent.audit.entries(0, 1_000_000)) entries.push(...piece.map(decodeAuditEntry));
    const applies = entries.filter(({ action, opening }) => action.endsWith('/ApplyConfig') && opening > 0);
    expect(applies.map(({ result }) => result === 'OK').filter(Boolean)).toHaveLength(rounds);
    expect(new Set(applies.map(({ actor }) => actor.replace(/.*\//, '')))).toEqual(new Set(['ada', 'bob']));
    expect([applies.length, (await agent.audit.verify()).problem]).toEqual([2 * rounds, null]);
  });

  it('clocks that jump by two days and by ten minutes neither end a pending change nor lengthen its time', async () => {
    port = await freePort();
    const stateDir = join(folder, 'jumps');
    await mkdir(stateDir);
    const kernelFile = join(stateDir, 'kernel');
    let skewMs = 0;
    const clock = { ...agentClock, nowMs: () => Date.now() + skewMs };
    await using agent = await openEnrolled({ stateDir, port, kernelFile, clock }, { fleet, operator: ada });
    const operator = at(ada);
    const begin = async (seconds: number): Promise<string> => {
      const policy = nextPolicy();
      const { planHash } = await operator.plan(policy, agent.revisions.current().revision);
      await operator.apply(policy, planHash, seconds);
      return policy;
    };
    for (const jumpMs of jumpsMs) {
      const policy = await begin(30);
      skewMs = jumpMs;
      await systemClock().sleep(200, never);
      const pending = agent.revisions.pending();
      expect({ jumpMs, kernel: enforcedBy(kernelFile), isPending: pending !== null }).toEqual({ jumpMs, kernel: policy, isPending: true });
      expect(pending?.remainingMs).toBeLessThanOrEqual(30_000);
      await operator.confirm(agent.revisions.current().revision);
      skewMs = 0;
    }
    const kept = enforcedBy(kernelFile);
    await begin(5);
    skewMs = -2 * dayMs;
    await until('the way back', () => enforcedBy(kernelFile) === kept);
    expect(agent.revisions.pending()).toBeNull();
    expect((await agent.audit.verify()).problem).toBeNull();
  });

  const problem = fullDiskProblem();
  if (problem !== null) console.log(`SKIP a full disk: ${problem}`);
  it.skipIf(problem !== null)(
    'a full disk changes nothing, takes back in time what waits, and all goes on when there is room',
    async () => {
      port = await freePort();
      using disk = mountFullDisk(3);
      const kernelFile = join(folder, 'kernel-of-full');
      const options = { stateDir: disk.path, port, kernelFile };
      let agent = await openEnrolled(options, { fleet, operator: ada });
      try {
        const operator = at(ada);
        const [first, second, third] = [nextPolicy(), nextPolicy(), nextPolicy()];
        await operator.apply(first, (await operator.plan(first, 0)).planHash);
        await operator.confirm(1);
        const { planHash } = await operator.plan(second, 1);

        disk.fill();
        // What is left of the last block of each file is used up first.
        const reasons: string[] = [];
        for (let tries = 0; tries < 32 && reasons.at(-1) !== 'AUDIT_FAILED'; tries += 1)
          reasons.push((await refusalOf(operator.apply(second, planHash))).reason);
        expect(reasons.at(-1)).toBe('AUDIT_FAILED');
        expect(reasons.every((reason) => reason === 'AUDIT_FAILED' || reason === 'STATE_FAILED')).toBe(true);
        expect({ kernel: enforcedBy(kernelFile), pending: agent.revisions.pending() }).toEqual({ kernel: first, pending: null });
        expect((await operator.read()).config?.revision).toBe(1n);
        expect(agent.warnings()).toContain('AUDIT_FAILED');

        disk.free();
        await operator.apply(second, planHash, 5);
        const { revision } = agent.revisions.current();
        disk.fill();
        expect((await refusalOf(operator.confirm(revision))).reason).toMatch(/^(AUDIT|STATE)_FAILED$/);
        await until('the way back on a full disk', () => enforcedBy(kernelFile) === first);
        expect(agent.revisions.current()).toMatchObject({ revision: 1, state: 'confirmed' });

        disk.free();
        await agent[Symbol.asyncDispose]();
        agent = await startFaultAgent(options);
        expect({ kernel: enforcedBy(kernelFile), pending: agent.revisions.pending() }).toEqual({ kernel: first, pending: null });
        expect(agent.revisions.list().map(({ state }) => state)).not.toContain('pending');
        expect((await agent.audit.verify()).problem).toBeNull();
        const again = at(ada);
        await again.apply(third, (await again.plan(third, 1)).planHash);
        await again.confirm(agent.revisions.current().revision);
        expect(enforcedBy(kernelFile)).toBe(third);
        expect(agent.warnings()).not.toContain('AUDIT_FAILED');
      } finally {
        await agent[Symbol.asyncDispose]();
      }
    },
  );
});

describe('with consoles over a fleet', { timeout: 120_000 }, () => {
  let folder: string;
  let vault: CredentialVault;
  const agents: TestAgent[] = [];
  const hostIds: string[] = [];
  const open: TestConsole[] = [];
  const consoleOf = (name: string, more: Partial<Parameters<typeof openConsole>[0]> = {}): TestConsole => {
    const made = openConsole({ folder, name, vault, ...more });
    open.push(made);
    return made;
  };
  const begin = async ({ core }: TestConsole, policy: string, more: object = {}): Promise<string> => {
    const { planId } = await core.handlers['rollouts.plan']({ ...rolloutOf, name: 'web', policy, hostIds: [...hostIds], ...more }, never);
    return (await core.handlers['rollouts.start']({ planId }, never)).rolloutId;
  };
  const policiesOf = (): readonly string[] => agents.map(({ revisions }) => revisions.current().policyJson);
  const waiting = (): number => agents.filter(({ revisions }) => revisions.pending() !== null).length;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'nest-faults-fleet-'));
    vault = createMemoryVault();
    const first = openConsole({ folder, name: 'first', vault });
    await createFleet(first);
    for (const name of ['edge-1', 'edge-2', 'edge-3', 'edge-4']) {
      const agent = await createTestAgent();
      agents.push(agent);
      hostIds.push(await enrolAgent(first, { name, port: agent.port, join: (token) => agent.join(token) }));
    }
    await first.kill();
    copyInventory({ folder, name: 'first' }, { folder, name: 'second' });
  }, 60_000);
  afterEach(async () => {
    await Promise.all(open.splice(0).map(({ kill }) => kill()));
  });
  afterAll(async () => {
    await Promise.all(agents.map((agent) => agent.close()));
    await rm(folder, { recursive: true, force: true });
  });

  it('two consoles that begin at the same moment do not mix their policies, and leave no host taken', async () => {
    const consoles = [consoleOf('first'), consoleOf('second')];
    await Promise.all(consoles.map(unlock));
    const policies = consoles.map(() => nextPolicy());
    const ids = await Promise.all(consoles.map((one, index) => begin(one, policies[index] ?? '')));
    const ends = await Promise.all(consoles.map((one, index) => ended(one, ids[index] ?? '')));
    expect(new Set(policiesOf()).size).toBe(1);
    expect(waiting()).toBe(0);
    for (const { phase, reason, hosts } of ends) {
      expect(phase === 'finished' || (phase === 'aborted' && reason?.code === 'ROLLOUT_CONFLICT')).toBe(true);
      expect(hosts.every(({ state, problem }) => state === 'kept' || problem !== null)).toBe(true);
    }
    expect(ends.filter(({ phase }) => phase === 'finished').length).toBeLessThanOrEqual(1);
    const [later] = consoles;
    if (later === undefined) throw new Error('no console');
    const policy = nextPolicy();
    expect(await ended(later, await begin(later, policy))).toMatchObject({ phase: 'finished' });
    expect(policiesOf()).toEqual(Array(4).fill(policy));
  });

  it('half of the fleet is away: the others are changed, and those follow when they are back', async () => {
    const first = consoleOf('first');
    await unlock(first);
    const away = agents.slice(2);
    await Promise.all(away.map((agent) => agent.stop()));
    const rows = () => first.core.handlers['hosts.list']({}, never);
    await until('the loss', async () => (await rows()).filter(({ state }) => state === 'offline').length === 2);
    const before = away[0]?.revisions.current().policyJson;
    const policy = nextPolicy();
    const end = await ended(first, await begin(first, policy, { offline: 'intent' }));
    expect(end.hosts.map(({ state }) => state)).toEqual(['kept', 'kept', 'deferred', 'deferred']);
    expect(policiesOf()).toEqual([policy, policy, before, before]);
    await Promise.all(away.map((agent) => agent.start()));
    const intents = () => first.core.handlers['intents.list']({}, never);
    await until('the delivery', async () => (await intents()).every(({ state }) => state === 'kept'));
    expect(policiesOf()).toEqual(Array(4).fill(policy));
    expect(waiting()).toBe(0);
  });

  it('a console whose clock jumps goes on as if nothing was', async () => {
    let skewMs = 0;
    const left = [...jumpsMs];
    const clock = { ...systemClock(), now: () => Date.now() + skewMs };
    const first = consoleOf('first', { clock, onWritten: () => (skewMs = left.shift() ?? skewMs) });
    await unlock(first);
    const policy = nextPolicy();
    const end = await ended(first, await begin(first, policy, { waves: [0, 100], soakSeconds: 1 }));
    expect(end).toMatchObject({ phase: 'finished', hosts: hostIds.map(() => ({ state: 'kept', problem: null })) });
    expect([left, policiesOf(), waiting()]).toEqual([[], Array(4).fill(policy), 0]);
  });

  it.skipIf(fullDiskProblem() !== null)('a console whose disk is full begins nothing, and ends what it has begun', async () => {
    using disk = mountFullDisk(16);
    const reports: string[] = [];
    const place = { folder: disk.path, name: 'full' };
    copyInventory({ folder, name: 'first' }, place);
    const openFull = (): TestConsole => consoleOf('full', { ...place, report: (message) => void reports.push(message) });
    const full = openFull();
    await unlock(full);
    const policy = nextPolicy();
    const rolloutId = await begin(full, policy, { waves: [0, 100], soakSeconds: 1 });
    await until('the soak', async () => {
      const [shown] = await full.core.handlers['rollouts.list']({}, never);
      return shown?.hosts.some(({ state }) => state === 'soaking') === true;
    });
    disk.fill();
    await expect(begin(full, nextPolicy())).rejects.toMatchObject({ code: 'STATE_FAILED' });
    expect(await ended(full, rolloutId)).toMatchObject({ phase: 'finished' });
    expect([policiesOf(), waiting()]).toEqual([Array(4).fill(policy), 0]);
    expect(reports).toContain('the progress of a rollout cannot be stored');
    disk.free();
    await full.kill();
    const again = openFull();
    await unlock(again);
    await until('the end in the list', async () => {
      const list = await again.core.handlers['rollouts.list']({}, never);
      return list.some((one) => one.rolloutId === rolloutId && one.phase === 'finished');
    });
    await again.kill();
  });
});
