import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Flow } from '../../proto/gen/nest/v1/flow.ts';
import { HostStatus } from '../../proto/gen/nest/v1/host.ts';
import { NestError } from '../../proto/model/error.ts';
import type { Enrollment, HostRow, Rollout } from '../../desktop/bridge/model.ts';
import { createFakeAgent } from '../../desktop/grpc/fake-agent.ts';
import type { FakeAgent } from '../../desktop/grpc/fake-agent.ts';
import { systemClock, systemRandom } from '../../desktop/lib/api.ts';
import { createConsoleCore, createMemorySettings, createMemoryVault } from '../../desktop/core/api.ts';
import type { ConsoleCore, CredentialVault } from '../../desktop/core/api.ts';
import { openFleetCache } from '../../desktop/core/cache/sqlite-fleet-cache.ts';
import { createVerdictProgram } from '../../desktop/core/trace/verdict-program.ts';

const never = new AbortController().signal;
const policy = JSON.stringify({ apiVersion: 'nest/v1', kind: 'Policy', defaultAction: 'allow', services: [], mappings: [] });

let folder: string;
let core: ConsoleCore;
let vault: CredentialVault;
let agents: FakeAgent[];
const reports: unknown[] = [];

const openCore = (): ConsoleCore =>
  createConsoleCore({
    clock: systemClock(),
    random: systemRandom,
    cache: openFleetCache(join(folder, 'fleet.sqlite'), Date.now()).cache,
    vaults: [vault],
    settings: createMemorySettings(),
    version: '0.0.0',
    verdictProgram: createVerdictProgram(),
    report: (message, fields) => reports.push({ message, ...fields, error: String(fields['error']) }),
  });

/** First value of a stream that satisfies `isWanted`. */
const until = async <Value>(stream: (signal: AbortSignal) => AsyncIterable<Value>, isWanted: (value: Value) => boolean): Promise<Value> => {
  const stop = new AbortController();
  try {
    for await (const value of stream(AbortSignal.any([stop.signal, AbortSignal.timeout(12_000)]))) if (isWanted(value)) return value;
    throw new Error('the stream ended before the awaited value came');
  } finally {
    stop.abort();
  }
};

const enroll = async (name: string): Promise<{ readonly agent: FakeAgent; readonly hostId: string }> => {
  const agent = await createFakeAgent();
  agents.push(agent);
  const begun = await core.handlers['enrollment.begin']({ name, address: '127.0.0.1', port: agent.port, labels: ['lab'] }, never);
  agent.join(begun.token ?? '');
  const { enrollmentId } = begun;
  const met = await until<Enrollment>(
    (signal) => core.handlers['enrollment.watch']({ enrollmentId }, signal),
    ({ state }) => state === 'fingerprint',
  );
  expect(met.fingerprint).toBe(agent.fingerprint);
  const done = await core.handlers['enrollment.approve']({ enrollmentId }, never);
  expect(done).toMatchObject({ state: 'enrolled', token: null, problem: null });
  await until(
    (signal) => core.handlers['hosts.watch']({}, signal),
    ({ hosts }) => hosts.some((host) => host.name === name && host.state !== 'connecting' && host.seenAt !== null),
  );
  return { agent, hostId: done.hostId ?? '' };
};

const applyTo = async (hostIds: string[], confirmWithinSeconds = 60): Promise<Rollout> => {
  const plan = await core.handlers['policy.plan']({ policy, hostIds }, never);
  return core.handlers['policy.apply']({ planId: plan.planId, confirmWithinSeconds }, never);
};

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nest-core-'));
  vault = createMemoryVault();
  agents = [];
  reports.length = 0;
  core = openCore();
  await core.handlers['fleet.create'](
    { fleetName: 'Test', operatorName: 'Test Operator', storage: 'passphrase', passphrase: 'correct horse battery' },
    never,
  );
});

afterEach(async () => {
  await core.close();
  await Promise.all(agents.map((agent) => agent.stop()));
  await rm(folder, { recursive: true, force: true });
  expect(reports).toEqual([]);
});

describe('a fleet over real TLS', () => {
  it('enrols a host, shows its status and keeps everything for when it is gone', async () => {
    const { agent, hostId } = await enroll('edge-1');
    agent.state.flows = [
      Flow.fromPartial({
        source: '198.18.1.10',
        destination: '198.19.1.10',
        destinationPort: 443,
        protocol: 6,
        allowed: true,
        mapping: 'web',
      }),
    ];
    const live = await core.handlers['host.flows']({ hostId }, never);
    expect(live).toMatchObject({ live: true, matched: 1, flows: [{ protocol: 'tcp', mapping: 'web' }] });
    const detail = await core.handlers['host.get']({ hostId }, never);
    expect(detail).toMatchObject({
      row: { state: 'healthy', agentVersion: '1.2.3' },
      facts: { kernel: '6.1' },
      certificate: { fingerprint: agent.fingerprint },
      sample: { live: true, policy: { mode: 'enforce' } },
    });
    expect(Math.abs(detail.sample?.clockSkewMs ?? Infinity)).toBeLessThan(1_000);

    await agent.stop();
    const gone = await until(
      (signal) => core.handlers['hosts.watch']({}, signal),
      ({ hosts }) => hosts[0]?.state === 'offline',
    );
    expect(gone.hosts[0]?.stateReason).toContain('Check that the host is up');
    expect(gone.hosts[0]?.seenAt).toBeLessThanOrEqual(gone.at);
    await expect(core.handlers['host.flows']({ hostId, address: '198.18.0.0/16', verdict: 'allowed' }, never)).resolves.toMatchObject({
      live: false,
    });
    await expect(core.handlers['host.counters']({ hostId }, never)).resolves.toMatchObject({ live: false });
    await expect(core.handlers['policy.get']({ hostId }, never)).resolves.toMatchObject({ live: false, generation: 'g0' });
    await expect(core.handlers['policy.revisions']({ hostId }, never)).resolves.toMatchObject([{ live: false }]);
    await expect(core.handlers['policy.get']({ hostId, revision: 7 }, never)).rejects.toMatchObject({ code: 'HOST_UNREACHABLE' });

    await agent.start();
    await until(
      (signal) => core.handlers['hosts.watch']({}, signal),
      ({ hosts }) => hosts[0]?.state === 'healthy',
    );
  });

  it('opens with the last state after a restart, locked and without any agent', async () => {
    const { agent, hostId } = await enroll('edge-1');
    await core.close();
    await agent.stop();
    core = openCore();
    await expect(core.handlers['console.state']({}, never)).resolves.toMatchObject({ phase: 'locked', fleetName: 'Test', hostCount: 1 });
    const rows: readonly HostRow[] = await core.handlers['hosts.list']({}, never);
    expect(rows).toMatchObject([{ hostId, name: 'edge-1', state: 'offline', agentVersion: '1.2.3', revision: 0 }]);
    expect(rows[0]?.seenAt).not.toBeNull();
    await expect(core.handlers['host.counters']({ hostId }, never)).resolves.toMatchObject({ live: false });
    await expect(core.handlers['policy.plan']({ policy, hostIds: [hostId] }, never)).rejects.toMatchObject({ code: 'FLEET_LOCKED' });
    await core.handlers['fleet.unlock']({ passphrase: 'correct horse battery' }, never);
    await agent.start();
    await until(
      (signal) => core.handlers['hosts.watch']({}, signal),
      ({ hosts }) => hosts[0]?.state === 'healthy',
    );
  });

  it('derives rates from two readings and the time between them', async () => {
    const { agent, hostId } = await enroll('edge-1');
    const reading = (packets: bigint, denied: bigint): HostStatus =>
      HostStatus.fromPartial({
        ...agent.state.status,
        interfaces: [
          {
            name: 'lan0',
            xdpMode: 'native',
            reasons: { 3: { packets, bytes: packets * 100n }, 9: { packets: denied, bytes: denied * 100n } },
          },
        ],
      });
    agent.state.status = reading(1000n, 10n);
    agent.emit();
    await until(
      (signal) => core.handlers['host.watch']({ hostId }, signal),
      ({ reasons }) => reasons.length === 2,
    );
    await new Promise((resolve) => setTimeout(resolve, 300));
    agent.state.status = reading(4000n, 40n);
    agent.emit();
    const sample = await until(
      (signal) => core.handlers['host.watch']({ hostId }, signal),
      ({ allowedPerSecond }) => allowedPerSecond !== null,
    );
    expect((sample.allowedPerSecond ?? 0) / (sample.deniedPerSecond ?? 1)).toBeCloseTo(100, 6);
    expect(sample.reasons).toMatchObject([
      { reason: 'POLICY_ALLOW', dropped: false, packets: 4000 },
      { reason: 'POLICY_DENY', dropped: true, packets: 40 },
    ]);
    expect(sample.history).toHaveLength(1);
  });

  it('refuses a second host of the same name or address, and forgets a removed one', async () => {
    const { agent, hostId } = await enroll('edge-1');
    await expect(core.handlers['enrollment.begin']({ name: 'edge-1', address: '127.0.0.9' }, never)).rejects.toMatchObject({
      code: 'HOST_EXISTS',
    });
    await expect(
      core.handlers['enrollment.begin']({ name: 'edge-9', address: '127.0.0.1', port: agent.port }, never),
    ).rejects.toMatchObject({ code: 'HOST_EXISTS' });
    await expect(core.handlers['hosts.rename']({ hostId, name: 'north', labels: ['x'] }, never)).resolves.toMatchObject({
      name: 'north',
      labels: ['x'],
    });
    await core.handlers['hosts.remove']({ hostId }, never);
    await expect(core.handlers['host.get']({ hostId }, never)).rejects.toMatchObject({ code: 'HOST_UNKNOWN' });
  });
});

describe('an enrolment', () => {
  it('fails with PROOF_INVALID when who answers does not know the token', async () => {
    const agent = await createFakeAgent();
    agents.push(agent);
    agent.state.isImpostor = true;
    const { enrollmentId, token } = await core.handlers['enrollment.begin'](
      { name: 'edge-1', address: '127.0.0.1', port: agent.port },
      never,
    );
    agent.join(token ?? '');
    const end = await until<Enrollment>(
      (signal) => core.handlers['enrollment.watch']({ enrollmentId }, signal),
      ({ state }) => state !== 'waiting',
    );
    expect(end).toMatchObject({ state: 'failed', problem: { code: 'PROOF_INVALID' }, token: null, fingerprint: null });
  });

  it('keeps dialling a silent address, can be cancelled, and refuses approval before the fingerprint', async () => {
    const { enrollmentId } = await core.handlers['enrollment.begin']({ name: 'edge-1', address: '127.0.0.1', port: 1 }, never);
    const dialled = await until<Enrollment>(
      (signal) => core.handlers['enrollment.watch']({ enrollmentId }, signal),
      ({ attempts }) => attempts >= 2,
    );
    expect(dialled).toMatchObject({ state: 'waiting', problem: { code: 'HOST_UNREACHABLE' } });
    await expect(core.handlers['enrollment.approve']({ enrollmentId }, never)).rejects.toMatchObject({ code: 'ENROLLMENT_CLOSED' });
    await expect(core.handlers['enrollment.cancel']({ enrollmentId }, never)).resolves.toMatchObject({ state: 'cancelled', token: null });
    await expect(core.handlers['enrollment.list']({}, never)).resolves.toHaveLength(1);
  });
});

describe('a rollout', () => {
  it('sums plans, applies with one transaction to all hosts and keeps the change', async () => {
    const [one, two] = [await enroll('edge-1'), await enroll('edge-2')];
    const hostIds = [one.hostId, two.hostId];
    const plan = await core.handlers['policy.plan']({ policy, hostIds }, never);
    expect(plan).toMatchObject({ replayed: 20, cut: 4, hosts: [{ canApply: true, baseRevision: 0 }, { canApply: true }] });
    const pending = await core.handlers['policy.apply']({ planId: plan.planId, confirmWithinSeconds: 60, comment: 'test' }, never);
    expect(pending).toMatchObject({ state: 'pending', hosts: [{ state: 'pending', revision: 1, loadMs: 1.5 }, { state: 'pending' }] });
    expect(one.agent.state.transactions).toEqual(two.agent.state.transactions);
    await expect(core.handlers['rollout.current']({}, never)).resolves.toMatchObject({ rolloutId: pending.rolloutId });
    await expect(applyTo(hostIds)).rejects.toMatchObject({ code: 'APPLY_IN_PROGRESS' });
    const kept = await core.handlers['policy.confirm']({ rolloutId: pending.rolloutId }, never);
    expect(kept).toMatchObject({ state: 'confirmed', rollbackAt: null, hosts: [{ state: 'confirmed' }, { state: 'confirmed' }] });
    await expect(core.handlers['rollout.current']({}, never)).resolves.toBeNull();
    await expect(core.handlers['policy.confirm']({ rolloutId: pending.rolloutId }, never)).rejects.toMatchObject({
      code: 'NOTHING_TO_CONFIRM',
    });
  });

  it('takes all pending hosts back', async () => {
    const { hostId } = await enroll('edge-1');
    const { rolloutId } = await applyTo([hostId]);
    await expect(core.handlers['policy.undo']({ rolloutId }, never)).resolves.toMatchObject({
      state: 'rolled-back',
      hosts: [{ state: 'rolled-back', problem: null }],
    });
  });

  it('says for each host why when only some could apply', async () => {
    const [one, two] = [await enroll('edge-1'), await enroll('edge-2')];
    const plan = await core.handlers['policy.plan']({ policy, hostIds: [one.hostId, two.hostId] }, never);
    two.agent.state.refusal = new NestError('ENGINE_FAILED', 'No memory.', { details: { need: 7 } });
    const { rolloutId, hosts, state } = await core.handlers['policy.apply']({ planId: plan.planId, confirmWithinSeconds: 60 }, never);
    expect({ state, hosts }).toMatchObject({
      state: 'pending',
      hosts: [{ state: 'pending' }, { state: 'failed', problem: { code: 'ENGINE_FAILED', message: 'No memory.' } }],
    });
    await expect(core.handlers['policy.confirm']({ rolloutId }, never)).resolves.toMatchObject({
      state: 'mixed',
      hosts: [{ state: 'confirmed' }, { state: 'failed' }],
    });
  });

  it('sees that a host took the change back by itself, and why', async () => {
    const { agent, hostId } = await enroll('edge-1');
    const { rolloutId } = await applyTo([hostId]);
    await new Promise((resolve) => setTimeout(resolve, 1_600));
    agent.expire();
    const end = await until<Rollout>(
      (signal) => core.handlers['rollout.watch']({ rolloutId }, signal),
      ({ state }) => state !== 'pending',
    );
    expect(end).toMatchObject({ state: 'rolled-back', hosts: [{ state: 'rolled-back', problem: { message: 'Not confirmed in time.' } }] });
  });

  it('survives a restart of the console, and can be kept by another console that only sees the hosts', async () => {
    const { agent, hostId } = await enroll('edge-1');
    const { rolloutId } = await applyTo([hostId]);
    await core.close();
    core = openCore();
    await core.handlers['fleet.unlock']({ passphrase: 'correct horse battery' }, never);
    await expect(core.handlers['rollout.current']({}, never)).resolves.toMatchObject({ rolloutId, state: 'pending' });
    agent.state.status = {
      ...agent.state.status,
      policy: {
        ...agent.state.status.policy,
        pending: { ...agent.state.status.policy?.pending, transactionId: '01JZZZZZZZZZZZZZZZZZZZZZZZ' },
      },
    } as HostStatus;
    await until(
      (signal) => core.handlers['hosts.watch']({}, signal),
      ({ hosts }) => hosts[0]?.state === 'healthy',
    );
    agent.emit();
    await until(
      (signal) => core.handlers['hosts.watch']({}, signal),
      ({ hosts }) => hosts[0]?.pendingUntil !== null,
    );
    await expect(core.handlers['policy.confirm']({ rolloutId: '01JZZZZZZZZZZZZZZZZZZZZZZZ' }, never)).resolves.toMatchObject({
      state: 'confirmed',
      planId: '',
    });
  });
});
