import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../desktop/lib/api.ts';
import { createMemoryVault } from '../../desktop/core/api.ts';
import type { ConsoleCore, CredentialVault } from '../../desktop/core/api.ts';
import { createTestAgent } from '../../test/support/agent-server.ts';
import type { TestAgent } from '../../test/support/agent-server.ts';
import {
  copyInventory as copyInventoryAt,
  ended,
  enrolAgent,
  nextPolicy,
  openConsole as openConsoleAt,
  testPassphrase,
  unlock,
} from '../support/rollout-console.ts';
import type { TestConsole } from '../support/rollout-console.ts';

const never = new AbortController().signal;

/** The name of the one mapping of a test policy, quoted: unlike those of the others. */
const mappingOf = (policy: string): string => /"p\d+"/.exec(policy)?.[0] ?? '';

describe('a rollout over real TLS, with the server of the agent', { timeout: 240_000 }, () => {
  let folder: string;
  let vault: CredentialVault;
  const agents: TestAgent[] = [];
  const hostIds: string[] = [];
  const open: TestConsole[] = [];
  const reports: unknown[] = [];

  /** A console with a folder of its own; `onWritten` sees each time it writes progress down. */
  const openConsole = (name: string, onWritten: () => void = () => undefined): TestConsole => {
    const report = (message: string, error: unknown): void => void reports.push({ message, error: String(error) });
    const made = openConsoleAt({ folder, name, vault, onWritten, report });
    open.push(made);
    return made;
  };
  const copyInventory = (from: string, to: string): void => copyInventoryAt({ folder, name: from }, { folder, name: to });
  const plan = (core: ConsoleCore, policy: string, more: object = {}): Promise<{ readonly planId: string }> =>
    core.handlers['rollouts.plan'](
      { name: 'web', policy, hostIds: [...hostIds], waves: [0, 100], soakSeconds: 0, baselineSeconds: 0, maxUnavailable: 1, ...more },
      never,
    );
  const policiesOf = (): string[] => agents.map(({ revisions }) => revisions.current().policyJson);

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'nest-takeover-'));
    vault = createMemoryVault();
    const { core, kill } = openConsole('first');
    await core.handlers['fleet.create'](
      { fleetName: 'Test', operatorName: 'Ada', storage: 'passphrase', passphrase: testPassphrase },
      never,
    );
    for (const name of ['edge-1', 'edge-2', 'edge-3']) {
      const agent = await createTestAgent();
      agents.push(agent);
      hostIds.push(await enrolAgent({ core, kill }, { name, port: agent.port, join: (token) => agent.join(token) }));
    }
    await kill();
    copyInventory('first', 'second');
  }, 60_000);

  afterEach(async () => {
    await Promise.all(open.splice(0).map(({ kill }) => kill()));
    expect(reports.splice(0)).toEqual([]);
  });

  afterAll(async () => {
    await Promise.all(agents.map((agent) => agent.close()));
    await rm(folder, { recursive: true, force: true });
  });

  it('keeps the change on every host, wave by wave, and every host has the record', async () => {
    const policy = nextPolicy();
    const first = openConsole('first');
    await unlock(first);
    const { planId } = await plan(first.core, policy, { soakSeconds: 2, baselineSeconds: 1 });
    const { rolloutId } = await first.core.handlers['rollouts.start']({ planId }, never);
    const end = await ended(first, rolloutId);
    expect(end).toMatchObject({ phase: 'finished', wave: 1, reason: null, hosts: hostIds.map(() => ({ state: 'kept', problem: null })) });
    expect(end.hosts[0]?.gates.map(({ gate, verdict }) => [gate, verdict])).toEqual(
      ['drop-rate', 'flow-failures', 'health', 'drift'].map((gate) => [gate, 'passed']),
    );
    expect(policiesOf()).toEqual(Array(3).fill(policy));
    expect(agents.map(({ revisions }) => revisions.pending())).toEqual([null, null, null]);
    expect(agents.map(({ rollouts }) => rollouts.records()[0]?.rolloutId)).toEqual(Array(3).fill(rolloutId));
  });

  it('is finished by another console wherever the first was killed', async () => {
    let steps = 0;
    for (let killAt = 1; ; killAt++) {
      const policy = nextPolicy();
      let written = 0;
      // Killed for good: a console that comes back would go on with its rollout by itself.
      copyInventory('first', `killed-${String(killAt)}`);
      const first: TestConsole = openConsole(`killed-${String(killAt)}`, () => {
        written += 1;
        if (written === killAt) void first.kill();
      });
      await unlock(first);
      const { planId } = await plan(first.core, policy);
      const { rolloutId } = await first.core.handlers['rollouts.start']({ planId }, never);
      const last = await ended(first, rolloutId).catch(() => null);
      if (last?.phase === 'finished' && written < killAt) break;
      await first.kill();
      steps = killAt;
      const second = openConsole('second');
      await unlock(second);
      const listed = await second.core.handlers['rollouts.list']({}, never);
      // Killed before any host was told, nothing has happened: nobody can know of it.
      const isTold = listed.some((rollout) => rollout.rolloutId === rolloutId);
      if (isTold) {
        const taken = await second.core.handlers['rollouts.takeOver']({ rolloutId }, never);
        expect({ killAt, conducted: taken.conducted }).toEqual({ killAt, conducted: 'here' });
        const end = await ended(second, rolloutId);
        expect({ killAt, phase: end.phase, states: end.hosts.map(({ state }) => state) }).toEqual({
          killAt,
          phase: 'finished',
          states: Array(3).fill('kept'),
        });
        expect(policiesOf()).toEqual(Array(3).fill(policy));
      } else expect(policiesOf()).not.toContain(policy);
      expect(agents.map(({ revisions }) => revisions.pending())).toEqual([null, null, null]);
      await second.kill();
    }
    // Begun, told, and then applied, soaking, keeping and kept on each of three hosts.
    expect(steps).toBeGreaterThanOrEqual(12);
  });

  it('makes the first console yield when the second takes over while both live', async () => {
    const policy = nextPolicy();
    const [first, second] = [openConsole('first'), openConsole('second')];
    await Promise.all([unlock(first), unlock(second)]);
    const { planId } = await plan(first.core, policy, { soakSeconds: 3 });
    const { rolloutId } = await first.core.handlers['rollouts.start']({ planId }, never);
    for await (const { hosts } of first.core.handlers['rollouts.watch']({ rolloutId }, AbortSignal.timeout(20_000)))
      if (hosts.some(({ state }) => state === 'soaking')) break;
    await expect(second.core.handlers['rollouts.pause']({ rolloutId }, never)).rejects.toMatchObject({ code: 'ROLLOUT_CONFLICT' });
    await second.core.handlers['rollouts.takeOver']({ rolloutId }, never);
    const [yielded, end] = await Promise.all([ended(first, rolloutId), ended(second, rolloutId)]);
    expect(yielded).toMatchObject({ phase: 'yielded', reason: { code: 'ROLLOUT_CONFLICT' } });
    expect(end).toMatchObject({ phase: 'finished', term: 2, hosts: hostIds.map(() => ({ state: 'kept' })) });
  });

  it('refuses a second rollout on the same hosts, stops at a breach and takes all back', async () => {
    const [before, policy] = [policiesOf(), nextPolicy()];
    const [first, second] = [openConsole('first'), openConsole('second')];
    await Promise.all([unlock(first), unlock(second)]);
    const bad = agents[1];
    if (bad !== undefined) bad.badPolicy = mappingOf(policy);
    const { planId } = await plan(first.core, policy, { soakSeconds: 3, baselineSeconds: 1, rollback: 'all' });
    const { rolloutId } = await first.core.handlers['rollouts.start']({ planId }, never);
    for await (const { hosts } of first.core.handlers['rollouts.watch']({ rolloutId }, AbortSignal.timeout(20_000)))
      if (hosts[0]?.state === 'kept') break;
    const other = await plan(second.core, nextPolicy());
    const refused = await second.core.handlers['rollouts.start']({ planId: other.planId }, never);
    expect(await ended(second, refused.rolloutId)).toMatchObject({ phase: 'aborted', reason: { code: 'ROLLOUT_CONFLICT' } });
    const end = await ended(first, rolloutId);
    expect(end).toMatchObject({ phase: 'stopped', reason: { code: 'ROLLOUT_STOPPED' } });
    expect(end.reason?.message).toContain('edge-2 drops more packets for POLICY_DENY');
    expect(end.hosts.map(({ state }) => state)).toEqual(['reverted', 'taken-back', 'skipped']);
    expect(policiesOf()).toEqual(before);
  });

  it('goes on by itself after a restart of the same console', async () => {
    const policy = nextPolicy();
    const first = openConsole('first');
    await unlock(first);
    const { planId } = await plan(first.core, policy, { soakSeconds: 2 });
    const { rolloutId } = await first.core.handlers['rollouts.start']({ planId }, never);
    for await (const { hosts } of first.core.handlers['rollouts.watch']({ rolloutId }, AbortSignal.timeout(20_000)))
      if (hosts[1]?.state === 'soaking') break;
    await first.kill();
    const again = openConsole('first');
    await unlock(again);
    expect(await ended(again, rolloutId)).toMatchObject({ phase: 'finished', term: 2, hosts: hostIds.map(() => ({ state: 'kept' })) });
    expect(policiesOf()).toEqual(Array(3).fill(policy));
  });

  it('leaves a signed intent for a host that is away, delivers it when the host returns, and drops a stale one', async () => {
    const policy = nextPolicy();
    const first = openConsole('first');
    await unlock(first);
    const away = agents[2];
    await away?.stop();
    for (let tries = 0; tries < 200; tries++) {
      const rows = await first.core.handlers['hosts.list']({}, never);
      if (rows.some(({ state }) => state === 'offline')) break;
      await systemClock().sleep(50, never);
    }
    const { planId } = await plan(first.core, policy, { offline: 'intent' });
    const { rolloutId } = await first.core.handlers['rollouts.start']({ planId }, never);
    const end = await ended(first, rolloutId);
    expect(end.hosts.map(({ state }) => state)).toEqual(['kept', 'kept', 'deferred']);
    expect(await first.core.handlers['intents.list']({}, never)).toMatchObject([{ hostName: 'edge-3', state: 'waiting' }]);
    await away?.start();
    const settled = async (): Promise<string | undefined> => {
      for (let tries = 0; tries < 300; tries++) {
        const [newest] = await first.core.handlers['intents.list']({}, never);
        if (newest?.state !== 'waiting' && newest?.state !== 'delivering') return newest?.state;
        await systemClock().sleep(50, never);
      }
      return 'none';
    };
    expect(await settled()).toBe('kept');
    expect(away?.revisions.current()).toMatchObject({ policyJson: policy, state: 'confirmed', comment: 'Rollout web' });
    // One that was made on another base is refused by the host.
    await away?.stop();
    const made = await first.core.handlers['intents.leave']({ hostIds: [hostIds[2] ?? ''], policy: nextPolicy() }, never);
    await away?.revisions.returnTo(
      {
        toRevision: (away.revisions.current().revision ?? 1) - 1,
        transactionId: 'meanwhile-1',
        confirmWithinSeconds: 3600,
        author: 'x',
        comment: '',
      },
      never,
    );
    await away?.revisions.confirm({ revision: away.revisions.current().revision, transactionId: 'meanwhile-1' });
    await away?.start();
    expect(await settled()).toBe('refused');
    const [refused] = await first.core.handlers['intents.list']({}, never);
    expect(refused).toMatchObject({ intentId: made[0]?.intentId, problem: { code: 'INTENT_STALE' } });
  });
});
