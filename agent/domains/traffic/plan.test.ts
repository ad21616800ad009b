import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PlanRequest } from './api.ts';
import { brief, createFakeHost, db, denyDb, empty, policy, web } from './fake-host.ts';
import type { FakeHost } from './fake-host.ts';
import { planHashOf } from './plan.ts';
import { upkeepMs } from './traffic.ts';

const signal = new AbortController().signal;
let host: FakeHost;

beforeEach(() => {
  host = createFakeHost();
});

afterEach(async () => await host.close());

const planRequest = (policyJson: string, more: Partial<PlanRequest> = {}): PlanRequest => ({
  policyJson,
  base: { revision: 0, etag: 'e', policyJson: empty },
  flowWindowMinutes: 15,
  management: null,
  ...more,
});

describe('plan', () => {
  it('warns that the kernel would drop what leaves under an address of this host, and not where it accepts that', async () => {
    let accepts = '0';
    const traffic = await host.open({ readSetting: async () => accepts });
    const translating = JSON.parse(policy([{ name: 'out', action: 'allow' }])) as { mappings: object[] };
    const candidate = JSON.stringify({
      ...translating,
      mappings: translating.mappings.map((each) => ({ ...each, sourceNat: 'masquerade' })),
    });
    const codes = async (): Promise<readonly string[]> =>
      (await traffic.plan(planRequest(candidate), signal)).problems.map(({ code, message }) => `${code} ${message.slice(-30)}`);
    expect((await codes()).join()).toMatch(/SOURCE_NAT_DROPPED_BY_KERNEL .*wan0\.accept_local=1/);
    accepts = '1';
    expect((await codes()).join()).not.toContain('SOURCE_NAT_DROPPED_BY_KERNEL');
  });

  it('counts exactly which flows would be cut and newly allowed, the heaviest first', async () => {
    const traffic = await host.open();
    await traffic.activate(policy([{ name: 'deny-mail', action: 'deny', ports: ['25'] }]), signal);
    host.kernel.send(web);
    host.kernel.send(db);
    host.kernel.send({ ...db, source: '198.18.1.99' });
    host.kernel.send({ ...db, source: '198.18.1.99' });
    for (let count = 0; count < 3; count++) host.kernel.send({ ...web, destinationPort: 25 });
    await host.advance(1_000);
    const plan = await traffic.plan(planRequest(policy([denyDb])), signal);
    expect({
      ...plan.impact,
      changes: plan.impact?.changes.map(({ flow, allowed, mapping }) => ({ ...brief(flow), allowed, by: mapping })),
    }).toEqual({
      replayed: 4,
      unchanged: 1,
      cut: 2,
      cutLive: 2,
      newlyAllowed: 1,
      windowSeconds: 1,
      changesTruncated: false,
      recordsLost: 0,
      changes: [
        {
          source: '198.18.1.99',
          destinationPort: 5432,
          state: 'live',
          mapping: '',
          reason: 'DEFAULT_ALLOW',
          allowed: false,
          by: 'deny-db',
        },
        {
          source: '198.18.1.11',
          destinationPort: 5432,
          state: 'live',
          mapping: '',
          reason: 'DEFAULT_ALLOW',
          allowed: false,
          by: 'deny-db',
        },
        { source: '198.18.1.10', destinationPort: 25, state: 'denied', mapping: 'deny-mail', reason: 'POLICY_DENY', allowed: true, by: '' },
      ],
    });
    expect(plan.diff.filter(({ kind }) => kind === 'added').length).toBeGreaterThan(0);
  });

  it('tells how many records were lost in the window', async () => {
    const traffic = await host.open();
    await traffic.activate(empty, signal);
    host.kernel.lose(7n);
    await host.advance(upkeepMs);
    expect((await traffic.plan(planRequest(empty), signal)).impact?.recordsLost).toBe(7);
  });

  it('warns when the management connection would be cut, and about replies under default deny', async () => {
    const traffic = await host.open();
    const management = { callerAddress: '::ffff:198.18.240.5', callerPort: 50_000, localAddress: '198.18.240.6', localPort: 50_051 };
    const cut = await traffic.plan(planRequest(policy([denyDb], 'deny'), { management }), signal);
    expect({ reachable: cut.managementReachable, codes: cut.problems.map(({ code }) => code) }).toMatchObject({
      reachable: false,
      codes: expect.arrayContaining(['MANAGEMENT_CUT', 'REPLIES_CUT']) as string[],
    });
    const kept = await traffic.plan(planRequest(policy([denyDb]), { management }), signal);
    expect(kept.managementReachable).toBe(true);
    const loopback = await traffic.plan(
      planRequest(policy([], 'deny'), { management: { ...management, callerAddress: '127.0.0.1', localAddress: '127.0.0.1' } }),
      signal,
    );
    expect(loopback.managementReachable).toBe(true);
  });

  it('refuses a candidate with errors, each with its place', async () => {
    const traffic = await host.open();
    const broken = policy([{ name: 'x', action: 'deny', ports: ['9-1'] }]);
    const plan = await traffic.plan(planRequest(broken), signal);
    expect(plan).toMatchObject({
      planHash: '',
      canApply: false,
      impact: null,
      problems: [{ code: 'PORT_RANGE_REVERSED', severity: 'error', path: 'mappings[0].ports[0]' }],
    });
    expect((await traffic.plan(planRequest('{'), signal)).problems).toMatchObject([{ code: 'JSON_INVALID', severity: 'error' }]);
  });

  it('can be taken by its hash for ten minutes, with the same document only', async () => {
    const traffic = await host.open();
    const candidate = policy([denyDb]);
    const plan = await traffic.plan(planRequest(candidate), signal);
    expect(plan.planHash).toBe(planHashOf('e', plan.generation));
    expect(await traffic.takePlan(plan.planHash, candidate)).toMatchObject({
      generation: plan.generation,
      mappingCount: 1,
      serviceCount: 2,
    });
    await expect(traffic.takePlan(plan.planHash, empty)).rejects.toMatchObject({ code: 'PLAN_MISMATCH' });
    await expect(traffic.takePlan('0'.repeat(64), candidate)).rejects.toMatchObject({ code: 'PLAN_EXPIRED' });
    host.clock.advance(600_000);
    await expect(traffic.takePlan(plan.planHash, candidate)).rejects.toMatchObject({ code: 'PLAN_EXPIRED' });
  });

  it('ends when its caller goes away', async () => {
    const traffic = await host.open();
    await traffic.activate(empty, signal);
    for (let port = 1; port < 10_000; port++) host.kernel.send({ ...web, sourcePort: port });
    const caller = new AbortController();
    const planning = traffic.plan(planRequest(policy([denyDb])), caller.signal);
    caller.abort();
    await expect(planning).rejects.toMatchObject({ name: 'AbortError' });
  });
});
