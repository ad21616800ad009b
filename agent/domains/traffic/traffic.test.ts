import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createEngine } from '../../engine/engine.ts';
import { createFakeKernel } from '../../engine/fake-data-path.ts';
import type { FakeKernel, FakePacket } from '../../engine/fake-data-path.ts';
import { silentLogger } from '../../lib/log.ts';
import { createManualClock } from '../../lib/manual-clock.ts';
import type { ManualClock } from '../../lib/manual-clock.ts';
import type { Flow, PlanRequest, Traffic } from './api.ts';
import { planHashOf } from './plan.ts';
import { createTraffic, upkeepMs } from './traffic.ts';
import type { TrafficOptions } from './traffic.ts';

interface MappingText {
  readonly name: string;
  readonly action: 'allow' | 'deny';
  readonly ports?: readonly string[];
  readonly priority?: number;
}

const policy = (mappings: readonly MappingText[], defaultAction: 'allow' | 'deny' = 'allow'): string =>
  JSON.stringify({
    apiVersion: 'nest/v1',
    kind: 'Policy',
    defaultAction,
    services: [
      { name: 'clients', addresses: ['198.18.1.0/24'] },
      { name: 'servers', addresses: ['198.19.1.0/24'] },
    ],
    mappings: mappings.map((mapping) => ({
      sources: ['clients'],
      destinations: ['servers'],
      protocols: ['tcp'],
      priority: 100,
      ...mapping,
    })),
  });

const empty = JSON.stringify({ apiVersion: 'nest/v1', kind: 'Policy', defaultAction: 'allow', services: [], mappings: [] });
const denyDb: MappingText = { name: 'deny-db', action: 'deny', ports: ['5432'] };
const web: FakePacket = { source: '198.18.1.10', destination: '198.19.1.10', sourcePort: 40_000, destinationPort: 80 };
const db: FakePacket = { source: '198.18.1.11', destination: '198.19.1.10', sourcePort: 40_001, destinationPort: 5432, bytes: 1500 };

const signal = new AbortController().signal;
let directory = '';
let kernel: FakeKernel;
let clock: ManualClock;
let warnings: Map<string, string>;
const opened: Traffic[] = [];

const open = async (more: Partial<TrafficOptions> & { readonly platform?: NodeJS.Platform } = {}): Promise<Traffic> => {
  const mode = more.mode ?? 'auto';
  const traffic = createTraffic({
    mode,
    interfaces: ['lan0', 'wan0'],
    stateDir: directory,
    engine: createEngine({
      mode,
      objectPath: 'x',
      pinPath: 'x',
      loadAddon: () => kernel.addon,
      platform: more.platform ?? 'linux',
      bootId: async () => 'boot',
    }),
    clock,
    log: silentLogger,
    raise: (code, warning) => void (warning === null ? warnings.delete(code) : warnings.set(code, warning.message)),
    listInterfaces: async () =>
      [...kernel.interfaces].map(([name, index]) => ({ name, index, isUp: true, isLoopback: name === 'lo', isVlan: name.includes('.') })),
    ...more,
  });
  opened.push(traffic);
  await traffic.start(signal);
  return traffic;
};

const advance = async (milliseconds: number): Promise<void> => {
  for (let passed = 0; passed < milliseconds; passed += 100) {
    kernel.advance(100);
    clock.advance(100);
    for (let turn = 0; turn < 6; turn++) await setImmediate();
  }
};

const planRequest = (policyJson: string, more: Partial<PlanRequest> = {}): PlanRequest => ({
  policyJson,
  base: { revision: 0, etag: 'e', policyJson: empty },
  flowWindowMinutes: 15,
  management: null,
  ...more,
});

const mappingCounts = (traffic: Traffic): unknown =>
  Object.fromEntries(traffic.counters().mappings.map(({ mapping, count }) => [mapping, Number(count.packets)]));

const brief = ({ source, destinationPort, state, mapping, reason }: Flow): unknown => ({ source, destinationPort, state, mapping, reason });

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'nest-traffic-'));
  kernel = createFakeKernel();
  clock = createManualClock(Date.UTC(2026, 0, 1) + 1_000);
  warnings = new Map();
});

afterEach(async () => {
  for (const traffic of opened.splice(0)) await traffic.close();
  rmSync(directory, { recursive: true, force: true });
});

describe('activation', () => {
  it('makes a policy current and says which', async () => {
    const traffic = await open();
    const { generation, loadMs } = await traffic.activate(policy([denyDb]), signal);
    expect({ loadMs, web: kernel.send(web), db: kernel.send(db) }).toEqual({ loadMs: 3, web: 'DEFAULT_ALLOW', db: 'POLICY_DENY' });
    expect(traffic.status()).toMatchObject({
      mode: 'enforce',
      generation,
      desiredGeneration: generation,
      adopted: false,
      observeReason: '',
    });
  });

  it('does not load again what the kernel already runs, also after a restart', async () => {
    const traffic = await open();
    await traffic.activate(policy([denyDb]), signal);
    await traffic.activate(policy([denyDb]), signal);
    await traffic.close();
    const again = await open();
    const { loadMs } = await again.activate(policy([denyDb]), signal);
    expect({ loadMs, swaps: kernel.swaps, adopted: again.status().adopted, sequence: kernel.sequence }).toEqual({
      loadMs: 0,
      swaps: 1,
      adopted: true,
      sequence: 1,
    });
  });

  it('loads again when the counters that name the tables were damaged', async () => {
    const traffic = await open();
    await traffic.activate(policy([denyDb]), signal);
    await traffic.close();
    rmSync(join(directory, 'traffic.sqlite-wal'), { force: true });
    writeFileSync(join(directory, 'traffic.sqlite'), 'x'.repeat(5000));
    const again = await open();
    expect({ generation: again.status().generation, warned: warnings.has('COUNTERS_LOST') }).toEqual({ generation: '', warned: true });
    await again.activate(policy([denyDb]), signal);
    expect({ swaps: kernel.swaps, sequence: kernel.sequence }).toEqual({ swaps: 2, sequence: 2 });
  });

  it('keeps the previous policy when the swap fails, and takes another one after it', async () => {
    const traffic = await open();
    const first = await traffic.activate(policy([denyDb]), signal);
    kernel.failNextSwap(Object.assign(new Error('out of memory'), { code: 'NATIVE_SYSTEM', step: 'free memory' }));
    await expect(traffic.activate(empty, signal)).rejects.toMatchObject({ code: 'ENGINE_FAILED', message: 'Out of memory: free memory.' });
    expect({ generation: traffic.status().generation, db: kernel.send(db) }).toEqual({ generation: first.generation, db: 'POLICY_DENY' });
    await traffic.activate(empty, signal);
    expect(kernel.send(db)).toBe('DEFAULT_ALLOW');
  });

  it('refuses what is not a policy and touches nothing', async () => {
    const traffic = await open();
    await expect(traffic.activate('{', signal)).rejects.toMatchObject({ code: 'POLICY_INVALID' });
    await expect(traffic.activate('{"apiVersion":"nest/v1"}', signal)).rejects.toMatchObject({ code: 'POLICY_INVALID' });
    await expect(traffic.activate(' '.repeat(4 << 20), signal)).rejects.toMatchObject({ code: 'POLICY_TOO_LARGE' });
    expect(kernel.swaps).toBe(0);
  });
});

describe('observing', () => {
  it('says why and what to do, and refuses to activate and to trace', async () => {
    const traffic = await open({ platform: 'darwin' });
    expect(traffic.status()).toMatchObject({ mode: 'observe', flows: null, observeReason: expect.stringContaining('Linux') as string });
    await expect(traffic.activate(empty, signal)).rejects.toMatchObject({ code: 'OBSERVE_ONLY' });
    await expect(traffic.trace({ interface: 'lan0', packet: new Uint8Array(60) }, signal)).rejects.toMatchObject({ code: 'OBSERVE_ONLY' });
    const plan = await traffic.plan(planRequest(policy([denyDb])), signal);
    expect({ canApply: plan.canApply, impact: plan.impact, hash: plan.planHash.length }).toEqual({
      canApply: false,
      impact: null,
      hash: 64,
    });
    expect(warnings.get('OBSERVE_ONLY')).toContain('Linux');
  });

  it('ends the start when the configuration demands to enforce', async () => {
    await expect(open({ platform: 'darwin', mode: 'enforce' })).rejects.toMatchObject({ code: 'ENGINE_UNAVAILABLE' });
  });
});

describe('interfaces', () => {
  it('are attached when they appear, and a foreign program is left alone', async () => {
    kernel.interfaces.delete('wan0');
    kernel.foreign.add('lan0');
    const traffic = await open();
    expect(traffic.status().interfaces).toEqual([
      { name: 'lan0', mode: null, problem: 'lan0 already runs a program of someone else.' },
      { name: 'wan0', mode: null, problem: 'There is no interface wan0. It is attached when it appears.' },
    ]);
    kernel.interfaces.set('wan0', 9);
    await advance(upkeepMs);
    expect(traffic.status().interfaces[1]).toEqual({ name: 'wan0', mode: 'native', problem: '' });
    expect(warnings.get('INTERFACE_NOT_ATTACHED')).toContain('lan0');
    kernel.foreign.clear();
    await advance(upkeepMs);
    expect(warnings.has('INTERFACE_NOT_ATTACHED')).toBe(false);
  });

  it('chosen by "auto" are those that are up, but loopback and VLANs', async () => {
    kernel.interfaces.set('lo', 1).set('lan0.120', 8);
    const traffic = await open({ interfaces: 'auto' });
    expect(traffic.status().interfaces.map(({ name }) => name)).toEqual(['lan0', 'wan0']);
  });
});

describe('counters', () => {
  it('are exact by mapping name over swaps and restarts', async () => {
    let traffic = await open();
    await traffic.activate(policy([denyDb]), signal);
    for (let count = 0; count < 5; count++) kernel.send(db);
    for (let count = 0; count < 3; count++) kernel.send(web);
    expect(mappingCounts(traffic)).toEqual({ 'deny-db': 5, '': 3 });
    await traffic.activate(policy([{ name: 'allow-web', action: 'allow', ports: ['80'] }, denyDb], 'deny'), signal);
    kernel.send(db);
    kernel.send(web);
    await traffic.close();
    traffic = await open();
    await traffic.activate(empty, signal);
    expect(mappingCounts(traffic)).toEqual({ 'deny-db': 6, 'allow-web': 1, '': 3 });
    expect(traffic.counters().reasons.find(({ reason }) => reason === 'POLICY_DENY')).toMatchObject({
      dropped: true,
      count: { packets: 6n, bytes: 9000n },
    });
  });
});

describe('flows', () => {
  it('show live, ended, denied and cut ones with names, the last seen first', async () => {
    const traffic = await open();
    await traffic.activate(empty, signal);
    traffic.setRevision(3);
    kernel.send(db);
    await advance(1_000);
    await traffic.activate(policy([denyDb]), signal);
    traffic.setRevision(4);
    kernel.send(db);
    kernel.send(db);
    kernel.send({ ...web, sourcePort: 1 });
    await advance(1_000);
    kernel.end({ ...web, sourcePort: 1 });
    kernel.send(web);
    await advance(200);
    const { flows, matched, truncated } = await traffic.flows({ filter: {}, limit: 10, windowSeconds: 0 }, signal);
    expect(flows.map(brief)).toEqual(
      expect.arrayContaining([
        { source: '198.18.1.10', destinationPort: 80, state: 'live', mapping: '', reason: 'DEFAULT_ALLOW' },
        { source: '198.18.1.10', destinationPort: 80, state: 'ended', mapping: '', reason: 'DEFAULT_ALLOW' },
        { source: '198.18.1.11', destinationPort: 5432, state: 'cut', mapping: 'deny-db', reason: 'POLICY_DENY' },
        { source: '198.18.1.11', destinationPort: 5432, state: 'denied', mapping: 'deny-db', reason: 'POLICY_DENY' },
      ]),
    );
    expect({
      matched,
      truncated,
      order: flows.every((flow, at) => at === 0 || flow.lastSeenMs <= (flows[at - 1]?.lastSeenMs ?? 0)),
    }).toEqual({ matched: 4, truncated: false, order: true });
    expect(flows[0]).toMatchObject({
      state: 'live',
      sourceServices: ['clients'],
      destinationServices: ['servers'],
      interface: 'lan0',
      revision: 4,
      forward: { packets: 1n, bytes: 100n },
    });
  });

  it('are filtered by address, port, mapping, verdict and time', async () => {
    const traffic = await open();
    await traffic.activate(policy([denyDb]), signal);
    kernel.send(db);
    await advance(10_000);
    kernel.send(web);
    await advance(200);
    const count = async (filter: Parameters<Traffic['flows']>[0]['filter'], windowSeconds = 0): Promise<number> =>
      (await traffic.flows({ filter, limit: 10, windowSeconds }, signal)).matched;
    expect(await count({ address: '198.18.1.11' })).toBe(1);
    expect(await count({ address: '198.19.0.0/16' })).toBe(2);
    expect(await count({ port: 80 })).toBe(1);
    expect(await count({ mapping: 'deny-db' })).toBe(1);
    expect(await count({ verdict: 'allowed' })).toBe(1);
    expect(await count({}, 5)).toBe(1);
    await expect(count({ address: '198.18' })).rejects.toMatchObject({ code: 'INPUT_INVALID' });
  });

  it('count a denied client that tries again as one flow', async () => {
    const traffic = await open();
    await traffic.activate(policy([denyDb]), signal);
    for (let count = 0; count < 4; count++) {
      kernel.send(db);
      await advance(1_000);
    }
    const { flows } = await traffic.flows({ filter: {}, limit: 10, windowSeconds: 0 }, signal);
    expect(flows).toHaveLength(1);
    expect(flows[0]).toMatchObject({ state: 'denied', forward: { packets: 4n, bytes: 6000n } });
    expect((flows[0]?.lastSeenMs ?? 0) - (flows[0]?.firstSeenMs ?? 0)).toBe(3_000);
  });

  it('end when they idle out, and the live ones are counted', async () => {
    const traffic = await open();
    await traffic.activate(empty, signal);
    kernel.send(web);
    await advance(upkeepMs);
    expect(traffic.status().flows).toBe(1);
    await advance(66_000);
    const { flows } = await traffic.flows({ filter: {}, limit: 10, windowSeconds: 0 }, signal);
    expect({ states: flows.map(({ state }) => state), live: traffic.status().flows }).toEqual({ states: ['ended'], live: 0 });
  });

  it('are watched in batches, filtered, with what was lost', async () => {
    const traffic = await open();
    await traffic.activate(policy([denyDb]), signal);
    const stop = new AbortController();
    const seen: { count: number; lost: number }[] = [];
    const reading = (async () => {
      for await (const { flows, lost } of traffic.watchFlows({ verdict: 'denied' }, stop.signal)) seen.push({ count: flows.length, lost });
    })();
    await setImmediate();
    for (let port = 1; port <= 3_000; port++) kernel.send({ ...db, sourcePort: port });
    await advance(100);
    kernel.send(web);
    kernel.send(db);
    await advance(100);
    stop.abort();
    await reading;
    expect(seen).toEqual([
      { count: 500, lost: 0 },
      { count: 500, lost: 0 },
      { count: 500, lost: 0 },
      { count: 500, lost: 0 },
      { count: 1, lost: 1_000 },
    ]);
  });
});

describe('plan', () => {
  it('counts exactly which flows would be cut and newly allowed, the heaviest first', async () => {
    const traffic = await open();
    await traffic.activate(policy([{ name: 'deny-mail', action: 'deny', ports: ['25'] }]), signal);
    kernel.send(web);
    kernel.send(db);
    kernel.send({ ...db, source: '198.18.1.99' });
    kernel.send({ ...db, source: '198.18.1.99' });
    for (let count = 0; count < 3; count++) kernel.send({ ...web, destinationPort: 25 });
    await advance(1_000);
    const plan = await traffic.plan(planRequest(policy([denyDb])), signal);
    expect({
      ...plan.impact,
      changes: plan.impact?.changes.map(({ flow, allowed, mapping }) => ({ ...(brief(flow) as object), allowed, by: mapping })),
    }).toEqual({
      replayed: 4,
      unchanged: 1,
      cut: 2,
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
    const traffic = await open();
    await traffic.activate(empty, signal);
    kernel.lose(7n);
    await advance(upkeepMs);
    expect((await traffic.plan(planRequest(empty), signal)).impact?.recordsLost).toBe(7);
  });

  it('warns when the management connection would be cut, and about replies under default deny', async () => {
    const traffic = await open();
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
    const traffic = await open();
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
    const traffic = await open();
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
    clock.advance(600_000);
    await expect(traffic.takePlan(plan.planHash, candidate)).rejects.toMatchObject({ code: 'PLAN_EXPIRED' });
  });

  it('ends when its caller goes away', async () => {
    const traffic = await open();
    await traffic.activate(empty, signal);
    for (let port = 1; port < 10_000; port++) kernel.send({ ...web, sourcePort: port });
    const caller = new AbortController();
    const planning = traffic.plan(planRequest(policy([denyDb])), caller.signal);
    caller.abort();
    await expect(planning).rejects.toMatchObject({ name: 'AbortError' });
  });
});

describe('trace', () => {
  const frame = (destinationPort: number): Uint8Array => {
    const packet = Buffer.alloc(66);
    packet.writeUInt16BE(0x0800, 12);
    packet.writeUInt8(0x45, 14);
    packet.writeUInt8(6, 23);
    packet.set([198, 18, 1, 10], 26);
    packet.set([198, 19, 1, 10], 30);
    packet.writeUInt16BE(41_812, 34);
    packet.writeUInt16BE(destinationPort, 36);
    packet.writeUInt8(2, 47);
    return packet;
  };

  it('explains the way of a packet in words', async () => {
    const traffic = await open();
    await traffic.activate(
      policy(
        [
          { ...denyDb, priority: 200 },
          { name: 'allow-all', action: 'allow', priority: 10 },
        ],
        'deny',
      ),
      signal,
    );
    const result = await traffic.trace({ interface: 'lan0', packet: frame(5432) }, signal);
    expect(result).toMatchObject({
      reason: 'POLICY_DENY',
      mapping: 'deny-db',
      priority: 200,
      durationNs: 42,
      generation: traffic.status().generation,
      sourceServices: ['clients'],
    });
    expect(result.steps).toEqual([
      { stage: 'parse', title: 'Parse', detail: 'Ethernet, IPv4 (no options), TCP SYN · 66 bytes', subject: '' },
      { stage: 'flow', title: 'Flow table', detail: 'miss: no entry for this flow, policy decides', subject: '' },
      {
        stage: 'identity',
        title: 'Identity',
        detail: 'source clients (198.18.1.10:41812) · destination servers (198.19.1.10:5432)',
        subject: 'clients',
      },
      { stage: 'policy', title: 'Policy', detail: 'mapping deny-db, priority 200, deny · beat default deny', subject: 'deny-db' },
      { stage: 'verdict', title: 'Verdict', detail: 'drop: a mapping denies it', subject: 'deny-db' },
    ]);
  });

  it('refuses a packet of another size and an interface without program', async () => {
    const traffic = await open();
    await expect(traffic.trace({ interface: 'lan0', packet: new Uint8Array(13) }, signal)).rejects.toMatchObject({
      code: 'PACKET_INVALID',
    });
    await expect(traffic.trace({ interface: 'lan0', packet: new Uint8Array(1515) }, signal)).rejects.toMatchObject({
      code: 'PACKET_INVALID',
    });
    await expect(traffic.trace({ interface: 'eth9', packet: new Uint8Array(60) }, signal)).rejects.toMatchObject({
      code: 'INTERFACE_UNKNOWN',
    });
  });
});
