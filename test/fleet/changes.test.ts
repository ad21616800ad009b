/** Two operators and one host: who is second merges, who asks does not approve, and who edits is seen. Real TLS, a kernel in memory. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openTestConsole } from '../../desktop/cli/test-console.ts';
import type { TestConsole as CommandLine } from '../../desktop/cli/test-console.ts';
import type { HostEditors, Rollout } from '../../desktop/bridge/model.ts';
import { createChangeAgent } from '../support/change-agent.ts';
import type { ChangeAgent } from '../support/change-agent.ts';
import { openTestFleet } from '../support/identity-fleet.ts';
import type { TestConsole, TestFleet } from '../support/identity-fleet.ts';

const never = new AbortController().signal;
const passphrase = 'a second set of words';
const packet = (destinationPort: number) => ({ source: '198.18.1.10', destination: '198.19.1.10', sourcePort: 40_000, destinationPort });
const mapping = (name: string, fields: object = {}) => ({
  name,
  sources: ['any'],
  destinations: ['any'],
  protocols: ['tcp'],
  ports: ['443'],
  action: 'allow',
  priority: 100,
  ...fields,
});
const policy = (...mappings: object[]): string =>
  JSON.stringify({ apiVersion: 'nest/v1', kind: 'Policy', defaultAction: 'deny', services: [], mappings });

describe('two operators and one host', { timeout: 60_000 }, () => {
  let folder: string;
  let fleet: TestFleet;
  let grace: TestConsole;
  let agent: ChangeAgent;
  let hostId: string;

  const live = async ({ core }: TestConsole): Promise<void> => {
    for await (const sample of core.handlers['host.watch']({ hostId }, AbortSignal.timeout(15_000))) if (sample.live) return;
  };
  /** A console that has seen the other's change wait asks the host what became of it. */
  const settled = async ({ core }: TestConsole): Promise<void> => {
    await expect.poll(() => core.handlers['rollout.current']({}, never), { timeout: 10_000 }).toBe(null);
  };
  /** Plans, applies and keeps. */
  const apply = async ({ core, vault }: TestConsole, text: string, bases: Record<string, number> = {}): Promise<Rollout> => {
    const plan = await core.handlers['policy.plan']({ policy: text, hostIds: [hostId], bases }, never);
    expect(plan.hosts[0]?.problem ?? plan.hosts[0]?.problems.filter(({ severity }) => severity === 'error')).toEqual([]);
    await settled({ core, vault });
    const { rolloutId } = await core.handlers['policy.apply']({ planId: plan.planId, confirmWithinSeconds: 30 }, never);
    return core.handlers['policy.confirm']({ rolloutId }, never);
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'nest-changes-'));
    fleet = await openTestFleet(folder);
    agent = await createChangeAgent();
    const begun = await fleet.core.handlers['enrollment.begin']({ name: 'edge-1', address: '127.0.0.1', port: agent.port }, never);
    await agent.join(begun.token ?? '');
    const { enrollmentId } = begun;
    for await (const { state } of fleet.core.handlers['enrollment.watch']({ enrollmentId }, AbortSignal.timeout(15_000)))
      if (state === 'fingerprint') break;
    hostId = (await fleet.core.handlers['enrollment.approve']({ enrollmentId }, never)).hostId ?? '';
    grace = fleet.openConsole('second');
    const asked = await grace.core.handlers['device.request']({ operatorName: 'grace', passphrase }, never);
    const grant = await fleet.core.handlers['device.admit']({ file: asked.file, fingerprint: asked.fingerprint, share: 'none' }, never);
    const rootFingerprint = (await fleet.core.handlers['certificate.list']({}, never)).root.fingerprint;
    await grace.core.handlers['device.join']({ file: grant.file, rootFingerprint, storage: 'passphrase', passphrase }, never);
    await Promise.all([live(fleet), live(grace)]);
  }, 60_000);
  afterAll(async () => {
    await fleet.close();
    await agent.close();
    await rm(folder, { recursive: true, force: true });
  });

  it('tells the second who was first, merges field by field, and applies the merge on top', async () => {
    const base = policy(mapping('web'));
    await apply(fleet, base);
    const first = agent.revisions.current().revision;
    await apply(grace, policy(mapping('web', { priority: 200 }), mapping('hers', { ports: ['8443'] })));
    const ours = policy(mapping('web', { priority: 300, ports: ['443', '80'] }));
    const plan = await fleet.core.handlers['policy.plan']({ policy: ours, hostIds: [hostId], bases: { [hostId]: first } }, never);
    expect(plan.hosts[0]).toMatchObject({
      canApply: false,
      planHash: null,
      problem: { code: 'REVISION_CONFLICT' },
      conflict: { baseRevision: first, revision: first + 1, author: 'grace' },
    });
    const request = { hostId, baseRevision: first, policy: ours };
    const open = await fleet.core.handlers['policy.merge'](request, never);
    expect(open).toMatchObject({
      unresolved: 1,
      conflicts: [{ key: 'mappings/web/priority', base: '100', ours: '300', theirs: '200' }],
      taken: [{ list: 'mappings', name: 'hers', change: 'added' }],
    });
    const merged = await fleet.core.handlers['policy.merge']({ ...request, choices: { 'mappings/web/priority': 'theirs' } }, never);
    expect(merged.unresolved).toBe(0);
    const rollout = await apply(fleet, merged.policy, { [hostId]: merged.theirs.revision });
    expect(rollout.hosts[0]).toMatchObject({ state: 'confirmed', revision: first + 2 });
    expect(JSON.parse(agent.revisions.current().policyJson)).toMatchObject({
      mappings: [{ name: 'web', priority: 200, ports: ['443', '80'] }, { name: 'hers' }],
    });
  });

  it('takes a change back that lost the race between plan and apply, and says to whom', async () => {
    const planBy = async ({ core }: TestConsole, text: string) => core.handlers['policy.plan']({ policy: text, hostIds: [hostId] }, never);
    const [mine, hers] = await Promise.all([planBy(fleet, policy(mapping('a'))), planBy(grace, policy(mapping('b')))]);
    await settled(grace);
    const won = await grace.core.handlers['policy.apply']({ planId: hers.planId, confirmWithinSeconds: 30 }, never);
    await grace.core.handlers['policy.confirm']({ rolloutId: won.rolloutId }, never);
    await settled(fleet);
    const lost = await fleet.core.handlers['policy.apply']({ planId: mine.planId, confirmWithinSeconds: 30 }, never);
    expect(lost.hosts[0]).toMatchObject({ state: 'failed', problem: { code: 'REVISION_CONFLICT' } });
    expect(lost.hosts[0]?.problem?.message).toContain('by grace');
  });

  it('puts a mapping in force when another operator approves it, until its time is over, all of it in the audit log', async () => {
    // The fake kernel judges at once; the agent ends mappings second by second.
    const expiresAt = `${new Date(Date.now() + 6_000).toISOString().slice(0, 19)}Z`;
    const asked = mapping('temp', { ports: ['5432'], approval: { justification: 'migration', requestedBy: 'operator/ada', expiresAt } });
    const forged = await grace.core.handlers['policy.plan']({ policy: policy(asked), hostIds: [hostId] }, never);
    expect(forged.hosts[0]?.problems).toMatchObject([{ code: 'APPROVAL_REQUESTER' }]);
    await apply(fleet, policy(asked));
    const { revision } = agent.revisions.current();
    expect(agent.kernel.send(packet(5432))).toBe('DEFAULT_DENY');
    // A console knows by the next status of the host that there is something new to read.
    const list = async () => {
      const { self, rows } = await grace.core.handlers['approval.list']({ hostIds: [hostId] }, never);
      return [self, rows[0]?.mapping, rows[0]?.state, rows[0]?.requestedBy];
    };
    await expect.poll(list, { timeout: 5_000 }).toEqual(['operator/grace', 'temp', 'waiting', 'operator/ada']);
    const request = { hostId, mapping: 'temp', revision };
    await expect(fleet.core.handlers['approval.approve'](request, never)).rejects.toMatchObject({ code: 'APPROVAL_REFUSED' });
    await expect(grace.core.handlers['approval.approve']({ ...request, revision: revision - 1 }, never)).rejects.toMatchObject({
      code: 'REVISION_CONFLICT',
    });
    const approved = await grace.core.handlers['approval.approve'](request, never);
    expect(approved).toMatchObject({ revision: revision + 1, state: 'confirmed', author: 'grace', comment: 'Approved temp' });
    expect(agent.kernel.send(packet(5432))).toBe('POLICY_ALLOW');
    await expect.poll(() => agent.kernel.send(packet(5432)), { timeout: 12_000, interval: 200 }).toBe('DEFAULT_DENY');
    const state = async () => (await fleet.core.handlers['approval.list']({ hostIds: [hostId] }, never)).rows[0]?.state;
    await expect.poll(state, { timeout: 5_000 }).toBe('ended');
    const told = agent.audit.facts.filter(({ action }) => action.endsWith('ApproveMapping') || action === 'mapping.ended');
    expect(told.map(({ actor, target, result }) => [actor.replace(/^.*\//, ''), target.split(' ')[0], result])).toEqual([
      ['ada', `baseRevision=${String(revision)}`, 'started'],
      ['ada', `baseRevision=${String(revision)}`, 'APPROVAL_REFUSED'],
      ['grace', `baseRevision=${String(revision - 1)}`, 'started'],
      ['grace', `baseRevision=${String(revision - 1)}`, 'REVISION_CONFLICT'],
      ['grace', `baseRevision=${String(revision)}`, 'started'],
      ['grace', `baseRevision=${String(revision)}`, 'OK'],
      ['agent', 'mapping=temp', 'OK'],
    ]);
  });

  it('shows each operator who else edits, and forgets who has left', async () => {
    const stop = new AbortController();
    const seen: (readonly HostEditors[])[] = [];
    const watching = (async () => {
      for await (const hosts of grace.core.handlers['lease.hold']({ hostIds: [hostId] }, stop.signal)) seen.push(hosts);
    })();
    await expect.poll(() => seen.length, { timeout: 5_000 }).toBe(1);
    expect(seen[0]).toEqual([]);
    const mine = new AbortController();
    for await (const hosts of fleet.core.handlers['lease.hold']({ hostIds: [hostId] }, mine.signal)) {
      expect(hosts).toMatchObject([{ hostId, hostName: 'edge-1', editors: [{ operator: 'grace' }] }]);
      break;
    }
    stop.abort();
    await watching;
    const editors = async () => fleet.core.handlers['lease.list']({}, never);
    await expect.poll(editors, { timeout: 5_000 }).toEqual([]);
  });
});

describe('nest on the command line', { timeout: 60_000 }, () => {
  let opened: CommandLine;
  let agent: ChangeAgent;
  let file: string;
  const nest: CommandLine['nest'] = (args) => opened.nest(args);
  const keep = ['--host', 'edge-2', '--yes', '--confirm'];

  beforeAll(async () => {
    opened = await openTestConsole('');
    agent = await createChangeAgent();
    file = join(opened.folder, 'policy.json');
    await nest(['fleet', 'init', 'Test', '--operator', 'ada']);
    await opened.nest(['hosts', 'add', 'edge-2', '127.0.0.1', '--port', String(agent.port), '--yes'], (line) => {
      const token = /nest1\.[\w-]+/.exec(line)?.[0];
      if (token !== undefined) void agent.join(token);
    });
  }, 30_000);
  afterAll(async () => {
    await agent.close();
    await opened.close();
  });

  it('refuses a file that was made from an older revision, merges it, and asks to choose', async () => {
    await writeFile(file, policy(mapping('web')));
    expect((await nest(['policy', 'apply', file, ...keep, '--base', '0'])).code).toBe(0);
    const { revision } = agent.revisions.current();
    await writeFile(file, policy(mapping('web', { priority: 1 }), mapping('dns', { ports: ['53'] })));
    expect((await nest(['policy', 'apply', file, ...keep])).code).toBe(0);
    await writeFile(file, policy(mapping('web', { priority: 2 }), mapping('ntp', { ports: ['123'] })));
    const base = ['--base', String(revision)];
    const stale = await nest(['policy', 'apply', file, ...keep, ...base]);
    expect([stale.code, stale.notes]).toEqual([1, expect.stringContaining('REVISION_CONFLICT')]);
    const both = await nest(['policy', 'apply', file, ...keep, ...base, '--merge']);
    expect(both.notes).toContain('mappings web priority: was 100, ours 2, theirs 1');
    expect([both.code, agent.revisions.current().revision]).toEqual([1, revision + 1]);
    const shown = await nest(['policy', 'merge', file, '--host', 'edge-2', ...base, '--prefer', 'theirs']);
    expect(JSON.parse(shown.out)).toMatchObject({ mappings: [{ name: 'web', priority: 1 }, { name: 'dns' }, { name: 'ntp' }] });
    expect((await nest(['policy', 'apply', file, ...keep, ...base, '--merge', '--prefer', 'ours'])).code).toBe(0);
    expect(JSON.parse(agent.revisions.current().policyJson)).toMatchObject({
      mappings: [{ name: 'web', priority: 2 }, { name: 'dns' }, { name: 'ntp' }],
    });
    expect((await nest(['policy', 'apply', file, ...keep, '--merge'])).code).toBe(2);
  });

  it('lists approvals and does not let the one who asks approve', async () => {
    await writeFile(
      file,
      policy(mapping('temp', { approval: { justification: 'migration', ticket: 'NET-1', requestedBy: 'operator/ada' } })),
    );
    expect((await nest(['policy', 'apply', file, ...keep])).code).toBe(0);
    expect((await nest(['approvals', 'ls', '--waiting'])).out).toMatch(/temp +edge-2 +waiting +- +operator\/ada +- +NET-1 +migration/);
    const refused = await nest(['approvals', 'approve', 'temp', '--host', 'edge-2', '--yes']);
    expect([refused.code, refused.out]).toEqual([1, expect.stringContaining('APPROVAL_REFUSED')]);
    expect((await nest(['approvals', 'approve', 'other', '--all', '--yes'])).notes).toContain('does not wait');
  });

  it('finds drift, and has the host heal it', async () => {
    expect((await nest(['drift', 'check', 'edge-2'])).code).toBe(0);
    agent.kernel.drift.programs.set('lan0', 0);
    const found = await nest(['drift', 'check', 'edge-2']);
    expect([found.code, found.out]).toEqual([1, expect.stringContaining('interface lan0: The packet program was taken off it')]);
    const healed = await nest(['drift', 'mode', 'edge-2', 'heal']);
    expect([healed.code, healed.out]).toEqual([0, expect.stringContaining('Mode heal; put right since the agent started: 1.')]);
    expect((await nest(['drift', 'ls'])).out).toMatch(/edge-2 +heal .* +1 +none/);
    expect((await nest(['policy', 'editors'])).out).toBe('Nobody edits a policy now.');
  });
});
