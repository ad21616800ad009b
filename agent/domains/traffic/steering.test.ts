import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { FakePacket } from '../../engine/fake-data-path.ts';
import { createFakeHost, web } from './fake-host.ts';
import type { FakeHost } from './fake-host.ts';
import { floodOffPerSecond, floodOnPerSecond } from './flood-switch.ts';
import type { ProbeTarget } from './health/probe.ts';
import type { Flow, Traffic } from './api.ts';
import { upkeepMs } from './traffic.ts';

/** How long a file that changed may take to be read, on a busy machine too. */
const soon = { timeout: 10_000 };
const signal = new AbortController().signal;
const up = 0;
const drain = 1;
const down = 2;

const document = (parts: Record<string, unknown> = {}): string =>
  JSON.stringify({
    apiVersion: 'nest/v1',
    kind: 'Policy',
    defaultAction: 'allow',
    services: [
      { name: 'clients', addresses: ['198.18.1.0/24'] },
      { name: 'shop', addresses: ['198.19.1.100'] },
    ],
    mappings: [],
    ...parts,
  });

const backend = (number: number, state = 'up'): Record<string, unknown> => ({
  name: `web-${number}`,
  address: `198.19.1.2${number}`,
  port: 8000,
  state,
});

const balancing = (states: readonly string[]): string =>
  document({
    mappings: [
      {
        name: 'shop',
        sources: ['clients'],
        destinations: ['shop'],
        protocols: ['tcp'],
        ports: ['80'],
        action: 'balance',
        priority: 100,
        backends: states.map((state, index) => backend(index + 1, state)),
        healthCheck: { kind: 'tcp', intervalMs: 1000, timeoutMs: 500, rise: 1, fall: 2 },
      },
    ],
  });

const translated = (sourcePort: number, name: string, destination: string): Flow['translation'] => ({
  source: '198.18.1.10',
  sourcePort,
  destination,
  destinationPort: 8000,
  backend: name,
});

let host: FakeHost;
let traffic: Traffic;
const ill = new Set<string>();

beforeEach(async () => {
  ill.clear();
  host = createFakeHost();
  traffic = await host.open({
    probe: async ({ address }: ProbeTarget) =>
      ill.has(address) ? { isHealthy: false, detail: 'refused' } : { isHealthy: true, detail: 'accepted' },
  });
});
afterEach(async () => await host.close());

describe('backends', () => {
  it('go into the data path as the policy wants them, and down while their check fails', async () => {
    await traffic.activate(balancing(['up', 'drain', 'down']), signal);
    expect(host.kernel.backendStates).toEqual(Uint8Array.of(up, drain, down));
    await host.advance(1100);
    expect(traffic.balancers()).toMatchObject([
      {
        mapping: 'shop',
        destinations: ['198.19.1.100'],
        nat: 'dnat',
        affinity: 'none',
        healthCheck: { kind: 'tcp', intervalMs: 1000, timeoutMs: 500, rise: 1, fall: 2 },
        backends: [
          { name: 'web-1', wanted: 'up', effective: 'up', health: 'up', healthDetail: 'accepted' },
          { name: 'web-2', wanted: 'drain', effective: 'drain', health: 'up' },
          { name: 'web-3', wanted: 'down', effective: 'down', health: 'unknown', healthDetail: '' },
        ],
      },
    ]);
    ill.add('198.19.1.21');
    await host.advance(2100);
    expect(host.kernel.backendStates).toEqual(Uint8Array.of(down, drain, down));
    expect(traffic.balancers()[0]?.backends[0]).toMatchObject({ wanted: 'up', effective: 'down', health: 'down', healthDetail: 'refused' });
    ill.clear();
    await host.advance(1100);
    expect(host.kernel.backendStates).toEqual(Uint8Array.of(up, drain, down));
  });

  it('that are known to be down do not come back with a new policy', async () => {
    await traffic.activate(balancing(['up', 'up']), signal);
    ill.add('198.19.1.22');
    await host.advance(3100);
    expect(host.kernel.backendStates).toEqual(Uint8Array.of(up, down));
    await traffic.activate(balancing(['up', 'up', 'up']), signal);
    expect(host.kernel.backendStates).toEqual(Uint8Array.of(up, down, up));
  });

  it('have the flows of the table that go to them, by name, also those of the policy before', async () => {
    await traffic.activate(balancing(['up', 'up']), signal);
    expect(traffic.balancers()[0]?.backends.map(({ liveFlows }) => liveFlows)).toEqual([null, null]);
    const sent = (port: number, backend: number): FakePacket => ({
      ...web,
      destination: '198.19.1.100',
      sourcePort: port,
      sentTo: { backend, address: `198.19.1.2${backend + 1}`, port: 8000 },
    });
    for (const port of [1, 2, 3]) host.kernel.send(sent(port, 1));
    host.kernel.send(sent(4, 0));
    host.kernel.send(web);
    await host.advance(5100);
    expect(traffic.balancers()[0]?.backends.map(({ liveFlows }) => liveFlows)).toEqual([1, 3]);
    const { flows } = await traffic.flows({ filter: {}, limit: 10, windowSeconds: 0 }, signal);
    expect(new Map(flows.map(({ sourcePort, translation }) => [sourcePort, translation]))).toEqual(
      new Map([
        [web.sourcePort, null],
        ...[1, 2, 3].map((port) => [port, translated(port, 'web-2', '198.19.1.22')] as const),
        [4, translated(4, 'web-1', '198.19.1.21')],
      ]),
    );
    // Another one before them moves the indexes; flows keep theirs until their next packet.
    await traffic.activate(balancing(['up', 'up', 'up']).replaceAll('web-1', 'web-9'), signal);
    host.kernel.send(sent(5, 0));
    await host.advance(5100);
    expect(traffic.balancers()[0]?.backends.map(({ name, liveFlows }) => [name, liveFlows])).toEqual([
      ['web-2', 3],
      ['web-3', 0],
      ['web-9', 2],
    ]);
  });

  it('are not asked any more once no policy names them', async () => {
    await traffic.activate(balancing(['up']), signal);
    await traffic.activate(document(), signal);
    expect(traffic.balancers()).toEqual([]);
  });
});

describe('deny lists', () => {
  it('of the host take effect at once, beside those of the policy', async () => {
    await traffic.activate(document({ denyLists: [{ name: 'scanners', prefixes: ['198.18.9.0/24'] }] }), signal);
    const { generation } = traffic.status();
    const swaps = host.kernel.swaps;
    expect(await traffic.updateDenyList({ name: 'abuse', add: ['198.18.1.10'], remove: [], expiresAtMs: null, delete: false })).toEqual({
      added: 1,
      removed: 0,
      prefixes: 1,
    });
    expect(host.kernel.swaps).toBe(swaps + 1);
    expect(traffic.status().generation).toBe(generation);
    expect(traffic.denyLists(10)).toMatchObject([
      { name: 'scanners', origin: 'policy', prefixes: 1, firstPrefixes: ['198.18.9.0/24'], isExpired: false },
      { name: 'abuse', origin: 'host', prefixes: 1, firstPrefixes: ['198.18.1.10'] },
    ]);
    expect(host.kernel.send(web)).toBe('DENY_LIST');
  });

  it('let a prefix go when its time is over', async () => {
    await traffic.activate(document(), signal);
    const expiresAtMs = host.clock.nowMs() + 7_000;
    await traffic.updateDenyList({ name: 'abuse', add: ['198.18.1.10'], remove: [], expiresAtMs, delete: false });
    expect(host.kernel.send(web)).toBe('DENY_LIST');
    await host.advance(2 * upkeepMs);
    expect(host.kernel.send(web)).not.toBe('DENY_LIST');
    expect(traffic.denyLists(10)).toEqual([]);
  });

  it('follow their file, and say when it is gone', async () => {
    await traffic.activate(document({ denyLists: [{ name: 'feed', file: 'feed.txt' }] }), signal);
    expect(traffic.denyLists(0)).toMatchObject([
      { name: 'feed', file: 'feed.txt', prefixes: 0, problem: expect.stringContaining('feed.txt') as string },
    ]);
    mkdirSync(join(host.directory, 'deny-lists'));
    writeFileSync(join(host.directory, 'deny-lists/feed.txt'), '# a feed\n198.18.1.10\n198.18.7.0/24\n');
    await host.advance(upkeepMs);
    // The disk takes its own time.
    await vi.waitFor(() => expect(traffic.denyLists(0)).toMatchObject([{ name: 'feed', prefixes: 2, problem: '' }]), soon);
    expect(host.kernel.send(web)).toBe('DENY_LIST');
  });

  it('stay in force when their file goes, also across a restart of the agent, and say so', async () => {
    const feed = document({ denyLists: [{ name: 'feed', file: 'feed.txt' }] });
    const file = join(host.directory, 'deny-lists/feed.txt');
    mkdirSync(join(host.directory, 'deny-lists'));
    writeFileSync(file, '198.18.1.10\n198.18.7.0/24\n');
    await traffic.activate(feed, signal);
    await host.advance(2 * upkeepMs);
    expect(host.warnings.get('DENY_LIST_NOT_READ')).toBeUndefined();
    rmSync(file);
    await host.advance(upkeepMs);
    await vi.waitFor(
      () =>
        expect(traffic.denyLists(0)).toMatchObject([{ prefixes: 2, problem: expect.stringMatching(/feed\.txt.*1[05] seconds/) as string }]),
      soon,
    );
    expect(host.kernel.send(web)).toBe('DENY_LIST');
    expect(host.warnings.get('DENY_LIST_NOT_READ')).toMatch(/^feed: There is no file feed\.txt in .*copy it to this host.* stays in force/);
    await traffic.close();
    const again = await host.open();
    await again.activate(feed, signal);
    expect(again.denyLists(0)).toMatchObject([{ name: 'feed', prefixes: 2, problem: expect.stringContaining('feed.txt') as string }]);
    expect(host.kernel.send(web)).toBe('DENY_LIST');
    writeFileSync(file, '198.18.7.0/24\n');
    await host.advance(upkeepMs);
    await vi.waitFor(() => expect(again.denyLists(0)).toMatchObject([{ prefixes: 1, problem: '' }]), soon);
    expect(host.warnings.get('DENY_LIST_NOT_READ')).toBeUndefined();
    expect(host.kernel.send(web)).not.toBe('DENY_LIST');
  });

  it('stay as they are while their file is malformed, and warn of the last reading alone', async () => {
    const file = join(host.directory, 'deny-lists/feed.txt');
    mkdirSync(join(host.directory, 'deny-lists'));
    writeFileSync(file, '198.18.1.10\n');
    await traffic.activate(document({ denyLists: [{ name: 'feed', file: 'feed.txt' }] }), signal);
    writeFileSync(file, '198.18.1.10\nnonsense\n');
    await host.advance(upkeepMs);
    await vi.waitFor(() => expect(traffic.denyLists(0)[0]?.problem).toContain('Line 2 of feed.txt'), soon);
    expect(traffic.denyLists(0)).toMatchObject([{ prefixes: 1 }]);
    expect(host.warnings.get('DENY_LIST_NOT_READ')).toContain('Line 2 of feed.txt');
    writeFileSync(file, '198.18.1.10\n198.18.1.11\n');
    await host.advance(upkeepMs);
    await vi.waitFor(() => expect(traffic.denyLists(0)).toMatchObject([{ prefixes: 2, problem: '' }]), soon);
    expect([...host.warnings.keys()]).not.toContain('DENY_LIST_NOT_READ');
    expect([...host.warnings.keys()]).not.toContain('DATA_PATH_NOT_CHANGED');
  });

  it('from a file that is missing or malformed refuse the plan, by line', async () => {
    const policyJson = document({ denyLists: [{ name: 'feed', file: 'feed.txt' }] });
    const request = { policyJson, base: { revision: 0, etag: '', policyJson: document() }, flowWindowMinutes: 15, management: null };
    expect((await traffic.plan(request, signal)).problems).toMatchObject([
      { code: 'DENY_FILE_MISSING', severity: 'error', path: 'denyLists[0].file' },
    ]);
    mkdirSync(join(host.directory, 'deny-lists'));
    writeFileSync(join(host.directory, 'deny-lists/feed.txt'), '198.18.7.0/24\nnonsense\n');
    const { problems, planHash } = await traffic.plan(request, signal);
    expect(planHash).toBe('');
    expect(problems[0]?.message).toContain('nonsense');
    writeFileSync(join(host.directory, 'deny-lists/feed.txt'), '198.18.7.0/24\n');
    expect(await traffic.plan(request, signal)).toMatchObject({ canApply: true });
  });

  it('of the policy are changed by the policy alone', async () => {
    await traffic.activate(document({ denyLists: [{ name: 'scanners', prefixes: ['198.18.9.0/24'] }] }), signal);
    const update = { name: 'scanners', add: ['198.18.1.10'], remove: [], expiresAtMs: null, delete: false };
    await expect(traffic.updateDenyList(update)).rejects.toMatchObject({ code: 'INPUT_INVALID' });
  });

  it('come back with the host after a restart of the agent', async () => {
    await traffic.activate(document(), signal);
    await traffic.updateDenyList({ name: 'abuse', add: ['198.18.1.10'], remove: [], expiresAtMs: null, delete: false });
    await traffic.close();
    const again = await host.open();
    await again.activate(document(), signal);
    expect(again.denyLists(1)).toMatchObject([{ name: 'abuse', prefixes: 1 }]);
    expect(host.kernel.send(web)).toBe('DENY_LIST');
  });
});

describe('flood mode', () => {
  const second = async (misses: number): Promise<void> => {
    host.kernel.judged += BigInt(misses);
    await host.advance(1000);
  };

  it('goes on under a high miss rate, and off when it has been low for a while', async () => {
    await traffic.activate(document({ denyLists: [{ name: 'scanners', prefixes: ['198.18.9.0/24'] }] }), signal);
    await second(0);
    await second(floodOnPerSecond + 1000);
    expect(host.kernel.isFlood).toBe(false);
    await second(floodOnPerSecond + 1000);
    expect(host.kernel.isFlood).toBe(true);
    expect(traffic.counters().path).toMatchObject({ isFlood: true, floodSinceMs: host.clock.nowMs() });
    for (let count = 0; count < 10; count++) await second(floodOffPerSecond - 1000);
    expect(host.kernel.isFlood).toBe(false);
    expect(traffic.counters().path).toMatchObject({ isFlood: false, floodSinceMs: null });
  });

  it('stays off without deny lists', async () => {
    await traffic.activate(document(), signal);
    for (let count = 0; count < 5; count++) await second(floodOnPerSecond * 2);
    expect(host.kernel.isFlood).toBe(false);
  });
});
