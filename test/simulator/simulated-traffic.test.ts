/** A simulated host judges policies by the rules of a real one: the agent's own traffic domain over a kernel in memory is the referee. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Plan, PlanRequest, Traffic, WithheldMapping } from '../../agent/domains/traffic/api.ts';
import { createFakeHost } from '../../agent/domains/traffic/fake-host.ts';
import { createManualClock } from '../../agent/lib/manual-clock.ts';
import type { ManualClock } from '../../agent/lib/manual-clock.ts';
import { createSimulatedTraffic } from './simulated-traffic.ts';

const signal = new AbortController().signal;
const request = { justification: 'a migration', requestedBy: 'operator/anna' };
const mapping = (name: string, more: object = {}) => ({
  name,
  sources: ['any'],
  destinations: ['web'],
  protocols: ['tcp'],
  ports: ['443'],
  action: 'allow',
  priority: 100,
  ...more,
});
const policy = (...mappings: object[]): string =>
  JSON.stringify({
    apiVersion: 'nest/v1',
    kind: 'Policy',
    defaultAction: 'allow',
    services: [{ name: 'web', addresses: ['198.18.1.0/24'] }],
    mappings,
  });
const planRequest = (policyJson: string, more: Partial<PlanRequest> = {}): PlanRequest => ({
  policyJson,
  base: { revision: 0, etag: '0', policyJson: policy() },
  flowWindowMinutes: 1,
  management: { callerAddress: '127.0.0.1', callerPort: 40_000, localAddress: '127.5.0.1', localPort: 7443 },
  author: 'operator/anna',
  ...more,
});
const codes = ({ problems }: Plan): readonly string[] => problems.map(({ code }) => code);

describe('the traffic of a simulated host', () => {
  const folders: string[] = [];
  const opened: Traffic[] = [];
  const ended: WithheldMapping[] = [];
  let clock: ManualClock;
  let traffic: Traffic;

  const newFolder = (): string => {
    const folder = mkdtempSync(join(tmpdir(), 'nest-simulated-'));
    folders.push(folder);
    return folder;
  };
  const open = (stateDir: string, jumpedMs = 0): Traffic => {
    const simulated = createSimulatedTraffic({
      clock: { ...clock, nowMs: () => clock.nowMs() + jumpedMs },
      index: 1,
      flows: { perSecond: 1 },
      stateDir,
      raise: (code) => expect.unreachable(code),
      onMappingEnded: (one) => void ended.push(one),
    });
    opened.push(simulated);
    return simulated;
  };
  const timeIn = (ms: number): string => `${new Date(clock.nowMs() + ms).toISOString().slice(0, 19)}Z`;

  beforeEach(() => {
    clock = createManualClock();
    ended.length = 0;
    traffic = open(newFolder());
  });
  afterEach(async () => {
    for (const each of opened.splice(0)) await each.close();
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
  });

  it('plans as a real host does: difference, warnings and tables of the compiler, and nothing of flows', async () => {
    const asked = planRequest(policy(mapping('shop'), mapping('shadowed', { priority: 200 })));
    const host = createFakeHost();
    const real = await (await host.open()).plan(asked, signal);
    await host.close();
    const { impact, tables, expiresAtMs: _at, problems, ...plan } = await traffic.plan(asked, signal);
    const { impact: _impact, tables: realTables, expiresAtMs: _realAt, problems: realProblems, ...rest } = real;
    expect(plan).toEqual(rest);
    expect(plan.diff).toContainEqual({ kind: 'added', text: expect.stringContaining('shop') });
    expect([...problems].map(({ code }) => code)).toEqual(realProblems.map(({ code }) => code));
    expect([impact, { ...tables, compileMs: 0 }]).toEqual([null, { ...realTables, compileMs: 0 }]);
  });

  it('refuses what a real host refuses: documents with errors, requests in the name of others, approvals that are written', async () => {
    const plan = async (policyJson: string, author = 'operator/anna') => await traffic.plan(planRequest(policyJson, { author }), signal);
    expect(await plan('{"mappings":')).toMatchObject({ planHash: '', canApply: false, problems: [{ code: 'JSON_INVALID' }] });
    expect(codes(await plan(policy(mapping('shop', { destinations: ['nowhere'] }))))).toContain('SERVICE_UNKNOWN');
    const asked = policy(mapping('shop', { approval: request }));
    expect(codes(await plan(asked))).toContain('APPROVAL_AWAITED');
    expect(await plan(asked, 'operator/bert')).toMatchObject({ planHash: '', problems: [{ code: 'APPROVAL_REQUESTER' }] });
    const written = policy(mapping('shop', { approval: { ...request, approvedBy: 'operator/bert' } }));
    expect(await plan(written)).toMatchObject({ planHash: '', problems: [{ code: 'APPROVAL_NOT_GIVEN' }] });
    const brought = { policyJson: asked, basePolicyJson: policy(), author: 'operator/bert' };
    expect(() => traffic.checkApprovals(brought)).toThrow(expect.objectContaining({ code: 'POLICY_INVALID' }));
  });

  it('holds a mapping back until another approves it, and ends it at its time, for good', async () => {
    const asked = policy(mapping('shop'), mapping('temp', { approval: { ...request, expiresAt: timeIn(60_000) } }));
    await traffic.activate(asked, signal);
    expect(traffic.status().withheld).toMatchObject([{ mapping: 'temp', why: 'waiting' }]);
    const approve = (approver: string): string =>
      traffic.approve({ policyJson: asked, mapping: 'temp', approver, history: [{ policyJson: asked, author: 'operator/anna' }] });
    expect(() => approve('operator/anna')).toThrow(expect.objectContaining({ code: 'APPROVAL_REFUSED' }));
    const approved = approve('operator/bert');
    const { generation } = await traffic.activate(approved, signal);
    expect(traffic.status()).toMatchObject({ withheld: [], generation });
    clock.advance(59_000);
    expect(traffic.status().withheld).toEqual([]);
    clock.advance(2_000);
    await expect.poll(() => traffic.status().withheld, { timeout: 5_000, interval: 5 }).toMatchObject([{ mapping: 'temp', why: 'ended' }]);
    expect(traffic.status().generation).not.toBe(generation);
    clock.advance(10_000);
    expect(ended).toMatchObject([{ mapping: 'temp', why: 'ended' }]);
  });

  it('does not bring an ended mapping to life when the clock is set back or the agent starts again', async () => {
    const stateDir = newFolder();
    const first = open(stateDir);
    const approval = { ...request, approvedBy: 'operator/bert', expiresAt: timeIn(1_000) };
    const document = policy(mapping('temp', { approval }));
    await first.activate(document, signal);
    clock.advance(3_000);
    await expect.poll(() => first.status().withheld.length, { timeout: 5_000, interval: 5 }).toBe(1);
    await first.close();
    const again = open(stateDir, -3_600_000);
    await again.activate(document, signal);
    expect(again.status().withheld).toMatchObject([{ mapping: 'temp', why: 'ended' }]);
    expect(ended).toHaveLength(1);
  });

  it('shares what is compiled with its neighbours, and no plan', async () => {
    const neighbour = open(newFolder());
    const document = policy(mapping('shop'));
    const base = { revision: 7, etag: 'seven', policyJson: policy() };
    const [mine, theirs] = await Promise.all([
      traffic.plan(planRequest(document), signal),
      neighbour.plan(planRequest(document, { base }), signal),
    ]);
    expect(theirs).toMatchObject({ generation: mine.generation, diff: mine.diff, baseRevision: 7, baseEtag: 'seven' });
    expect(theirs.planHash).not.toBe(mine.planHash);
    expect(await neighbour.takePlan(theirs.planHash, document)).toEqual(theirs);
    await expect(neighbour.takePlan(mine.planHash, document)).rejects.toMatchObject({ code: 'PLAN_EXPIRED' });
    await expect(traffic.takePlan(mine.planHash, policy())).rejects.toMatchObject({ code: 'PLAN_MISMATCH' });
  });
});
