import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Clock } from '../../lib/clock.ts';
import type { Traffic, WithheldMapping } from './api.ts';
import { createFakeHost, db, empty, web } from './fake-host.ts';
import type { FakeHost } from './fake-host.ts';

const signal = new AbortController().signal;
const hour = 3_600_000;

describe('mappings with an approval', () => {
  let host: FakeHost;
  let traffic: Traffic;
  let jumpedMs = 0;
  const ended: WithheldMapping[] = [];
  const timeIn = (ms: number): string => `${new Date(host.clock.nowMs() + ms).toISOString().slice(0, 19)}Z`;
  const request = { justification: 'a migration', requestedBy: 'operator/anna' };
  const approved = (expiresAt: string) => ({ ...request, approvedBy: 'operator/bert', expiresAt });
  const policyOf = (...approvals: (object | undefined)[]): string =>
    JSON.stringify({
      apiVersion: 'nest/v1',
      kind: 'Policy',
      defaultAction: 'deny',
      services: [],
      mappings: approvals.map((approval, index) => ({
        name: `m${String(index)}`,
        sources: ['any'],
        destinations: ['any'],
        protocols: ['tcp'],
        ports: [index === 0 ? '80' : '5432'],
        action: 'allow',
        priority: 1,
        ...(approval === undefined ? {} : { approval }),
      })),
    });
  const open = async (): Promise<Traffic> => {
    const clock: Clock = { ...host.clock, nowMs: () => host.clock.nowMs() + jumpedMs };
    return await host.open({ clock, onMappingEnded: (one) => void ended.push(one) });
  };

  /** Tables are hashed beside this thread: in its own time. */
  const become = async (reason: string): Promise<void> => {
    await expect.poll(() => host.kernel.send(db), { timeout: 5_000, interval: 10 }).toBe(reason);
  };

  beforeEach(async () => {
    [host, jumpedMs] = [createFakeHost(), 0];
    ended.length = 0;
    traffic = await open();
  });
  afterEach(() => host.close());

  it('are not in force until somebody has approved them', async () => {
    await traffic.activate(policyOf(undefined, request), signal);
    expect([host.kernel.send(web), host.kernel.send(db)]).toEqual(['POLICY_ALLOW', 'DEFAULT_DENY']);
    expect(traffic.status().withheld).toEqual([{ mapping: 'm1', why: 'waiting', expiresAtMs: null }]);
    await traffic.activate(policyOf(undefined, { ...request, approvedBy: 'operator/bert' }), signal);
    expect(host.kernel.send(db)).toBe('POLICY_ALLOW');
    expect(traffic.status().withheld).toEqual([]);
  });

  it('end in the data path at their time: flows they allowed are cut at the next packet, once and told once', async () => {
    await traffic.activate(policyOf(undefined, approved(timeIn(10_000))), signal);
    expect([host.kernel.send(web), host.kernel.send(db)]).toEqual(['POLICY_ALLOW', 'POLICY_ALLOW']);
    const { swaps } = host.kernel;
    await host.advance(9_000);
    expect([host.kernel.swaps, host.kernel.send(db)]).toEqual([swaps, 'FLOW']);
    await host.advance(2_500);
    await become('DEFAULT_DENY');
    expect(host.kernel.send(web)).toBe('FLOW');
    await host.advance(10_000);
    expect(host.kernel.swaps).toBe(swaps + 1);
    expect(ended.map(({ mapping }) => mapping)).toEqual(['m1']);
    const { withheld, generation, desiredGeneration } = traffic.status();
    expect(withheld).toMatchObject([{ mapping: 'm1', why: 'ended' }]);
    expect(generation).toBe(desiredGeneration);
  });

  it('end when the clock jumps over their time, and a clock that is set back does not bring them to life, nor a restart', async () => {
    const policy = policyOf(undefined, approved(timeIn(48 * hour)));
    await traffic.activate(policy, signal);
    jumpedMs = 50 * hour;
    await host.advance(2_000);
    await become('DEFAULT_DENY');
    jumpedMs = 0;
    await host.advance(7_000);
    expect(host.kernel.send(db)).toBe('DEFAULT_DENY');
    await traffic.close();
    traffic = await open();
    await traffic.activate(policy, signal);
    expect(host.kernel.send(db)).toBe('DEFAULT_DENY');
    expect(ended).toHaveLength(1);
    await traffic.activate(policyOf(undefined, approved(timeIn(49 * hour))), signal);
    expect(host.kernel.send(db)).toBe('POLICY_ALLOW');
  });

  it('that ended while no agent ran are out at the next start', async () => {
    const policy = policyOf(undefined, approved(timeIn(hour)));
    await traffic.activate(policy, signal);
    host.kernel.send(db);
    await traffic.close();
    jumpedMs = 2 * hour;
    traffic = await open();
    await traffic.activate(policy, signal);
    expect(host.kernel.send(db)).toBe('DEFAULT_DENY');
  });

  it('stay out when the swap fails at first', async () => {
    await traffic.activate(policyOf(undefined, approved(timeIn(5_000))), signal);
    host.kernel.failNextSwap(Object.assign(new Error('No room.'), { code: 'NATIVE_SYSTEM', step: 'wait' }));
    const isTold = (): boolean => host.warnings.has('DATA_PATH_NOT_CHANGED');
    await host.advance(6_000);
    await expect.poll(isTold, { timeout: 5_000, interval: 10 }).toBe(true);
    await host.advance(6_000);
    await become('DEFAULT_DENY');
    await expect.poll(isTold, { timeout: 5_000, interval: 10 }).toBe(false);
  });

  it('are planned as they would be now, and refused when they are written as approved', async () => {
    const plan = async (policyJson: string, author: string) =>
      await traffic.plan(
        { policyJson, base: { revision: 0, etag: '0', policyJson: empty }, flowWindowMinutes: 1, management: null, author },
        signal,
      );
    const asked = await plan(policyOf(undefined, request), 'operator/anna');
    expect(asked).toMatchObject({ canApply: true, mappingCount: 2, tables: { mappings: 1 } });
    expect(asked.problems.map(({ code }) => code)).toContain('APPROVAL_AWAITED');
    expect(await plan(policyOf(undefined, approved(timeIn(hour))), 'operator/anna')).toMatchObject({
      planHash: '',
      problems: [{ code: 'APPROVAL_NOT_GIVEN', severity: 'error' }],
    });
    expect(await plan(policyOf(undefined, request), 'operator/bert')).toMatchObject({ problems: [{ code: 'APPROVAL_REQUESTER' }] });
    const brought = { policyJson: policyOf(approved(timeIn(hour))), basePolicyJson: empty, author: 'operator/anna' };
    expect(() => traffic.checkApprovals(brought)).toThrow(expect.objectContaining({ code: 'POLICY_INVALID' }));
    expect(() =>
      traffic.checkApprovals({ ...brought, policyJson: brought.policyJson.replaceAll('"approval"', '"\\u0061pproval"') }),
    ).toThrow(expect.objectContaining({ code: 'POLICY_INVALID' }));
  });

  it('are approved by another than who asked and who brought the request first', async () => {
    const asked = policyOf(undefined, request);
    const history = [
      { policyJson: asked, author: 'operator/dora' },
      { policyJson: asked, author: 'operator/carla' },
      { policyJson: policyOf(undefined, undefined), author: 'operator/bert' },
    ];
    const approve = (approver: string): string => traffic.approve({ policyJson: asked, mapping: 'm1', approver, history });
    for (const approver of ['operator/anna', 'operator/carla'])
      expect(() => approve(approver)).toThrow(expect.objectContaining({ code: 'APPROVAL_REFUSED' }));
    for (const approver of ['operator/bert', 'operator/dora'])
      expect(JSON.parse(approve(approver))).toMatchObject({ mappings: [{}, { approval: { approvedBy: approver } }] });
  });
});

describe('drift of the data path', () => {
  let host: FakeHost;
  let traffic: Traffic;
  beforeEach(async () => {
    host = createFakeHost();
    traffic = await host.open();
    await traffic.activate(empty, signal);
  });
  afterEach(() => host.close());

  it('is found by interface, hooks and tables, and put right but for what belongs to others', async () => {
    expect(await traffic.inspect()).toEqual([]);
    host.kernel.drift.programs.set('wan0', 0).set('lan0', 4711);
    host.kernel.drift.hooks.push('nest_connect4');
    host.kernel.drift.tables.push('policy');
    const found = await traffic.inspect();
    expect(found.map(({ resource, canHeal }) => [resource, canHeal])).toEqual([
      ['interface lan0', false],
      ['interface wan0', true],
      ['hooks for local traffic', true],
      ['tables', true],
    ]);
    expect(found[0]?.message).toContain('4711');
    const { swaps } = host.kernel;
    await traffic.heal(found.filter(({ canHeal }) => canHeal).map(({ resource }) => resource));
    expect((await traffic.inspect()).map(({ resource }) => resource)).toEqual(['interface lan0']);
    expect(host.kernel.swaps).toBe(swaps + 1);
  });
});
