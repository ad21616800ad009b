/** The agent and nest-fastpathd over AF_XDP, in namespaces: who judges, what is counted, and what happens when either of them dies. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Flow, TraceResult } from '../../agent/domains/traffic/api.ts';
import { Bench, missing } from '../../native/test/support/fastpathd.ts';
import { ethernet, ipv4, udp } from '../../native/test/support/packets.ts';
import { become, kill, NamespaceAgent } from './namespace-agent.ts';

const reason = missing('af_xdp');

let bench: Bench;
const agents: NamespaceAgent[] = [];
const pids = new Set<number>();

const startAgent = async (fallback: 'xdp' | 'pass' = 'xdp'): Promise<NamespaceAgent> => {
  const agent = new NamespaceAgent(bench, { fallback, ipfixPort: null });
  agents.push(agent);
  return await agent.ready();
};

beforeEach((context) => {
  if (reason !== '') context.skip(reason);
  bench = new Bench();
});

afterEach(async () => {
  if (reason !== '') return;
  for (const agent of agents.splice(0)) await agent.end('SIGKILL');
  for (const pid of pids) kill(pid);
  pids.clear();
  await bench[Symbol.asyncDispose]();
});

const policy = JSON.stringify({
  apiVersion: 'nest/v1',
  kind: 'Policy',
  defaultAction: 'allow',
  services: [
    { name: 'clients', addresses: ['198.18.1.0/24'] },
    { name: 'servers', addresses: ['198.18.2.0/24'] },
  ],
  mappings: [
    { name: 'names', sources: ['clients'], destinations: ['servers'], protocols: ['udp'], ports: ['53'], action: 'allow', priority: 20 },
    { name: 'rest', sources: ['clients'], destinations: ['servers'], protocols: ['udp'], action: 'deny', priority: 10 },
  ],
});

const query = (port: number): Buffer =>
  ethernet(0x0800, ipv4({ from: '198.18.1.2', to: '198.18.2.2', protocol: 17, payload: udp({ to: port, payload: 30 }) }));
const send = async (port: number, count: number): Promise<void> => {
  expect(await bench.generate(query(port), count, 20_000)).toBe(count);
};

const served = async (agent: NamespaceAgent): Promise<number> => {
  await become('serving by af_xdp', async () => (await agent.engine()) === 'af_xdp');
  const pid = await agent.pid();
  pids.add(pid);
  return pid;
};

describe('an interface of nest-fastpathd', { timeout: 90_000 }, () => {
  it('is judged and counted there, by the kernel while the process is dead, and by the next one, each packet once', async () => {
    const agent = await startAgent();
    await agent.ask({ kind: 'activate', policy });
    expect(await agent.engine()).toBe('xdp-native');
    const chosen = (await agent.ask({ kind: 'engine', name: 'a1', engine: 'af_xdp' })) as {
      readonly engine: string;
      readonly reason: string;
    };
    expect(chosen.engine, JSON.stringify(await agent.status())).toBe('af_xdp');
    const first = await served(agent);

    const traced = (await agent.ask({ kind: 'trace', interface: 'a1', packet: query(54).toString('hex') })) as TraceResult;
    expect(traced).toMatchObject({ reason: 'POLICY_DENY', mapping: 'rest' });
    expect(traced.steps.find(({ title }) => title === 'Engine')?.detail).toContain('a1 is served by af_xdp');

    await send(53, 3000);
    await send(54, 2000);
    await become('counts', async () => (await agent.packets())['rest'] === 2000);
    expect(await agent.packets()).toMatchObject({ names: 3000, rest: 2000, POLICY_ALLOW: 1, FLOW: 2999, POLICY_DENY: 2000 });

    process.kill(first, 'SIGKILL');
    const noticedMs = await become('the fallback', async () => (await agent.engine()) === 'xdp-native');
    expect(noticedMs).toBeLessThan(2000);
    expect((await agent.status()).warnings['ENGINE_FALLBACK']).toContain('SIGKILL');
    await send(54, 500);
    await become('counts', async () => (await agent.packets())['rest'] === 2500);

    const second = await served(agent);
    expect(second).not.toBe(first);
    await send(54, 700);
    await become('counts', async () => (await agent.packets())['rest'] === 3200);
    expect((await agent.status()).warnings['ENGINE_FALLBACK']).toBeUndefined();

    await agent.end('SIGKILL');
    await send(54, 300);
    const next = await startAgent();
    expect(await served(next)).toBe(second);
    await next.ask({ kind: 'activate', policy });
    expect(await next.pid()).toBe(second);
    await send(54, 500);
    await become('counts', async () => (await next.packets())['rest'] === 4000);
    expect(await next.packets()).toMatchObject({ names: 3000, rest: 4000 });

    expect(await next.ask({ kind: 'engine', name: 'a1', engine: 'auto' })).toMatchObject({ engine: 'xdp-native' });
    await send(54, 1000);
    await become('counts', async () => (await next.packets())['rest'] === 5000);
  });

  it('lets packets pass while it is dead, where that is configured', async () => {
    const agent = await startAgent('pass');
    await agent.ask({ kind: 'activate', policy });
    await agent.ask({ kind: 'engine', name: 'a1', engine: 'af_xdp' });
    const first = await served(agent);
    await send(54, 100);
    await become('counts', async () => (await agent.packets())['rest'] === 100);
    process.kill(first, 'SIGKILL');
    await become('the fallback', async () => (await agent.engine()) === '');
    expect((await agent.status()).interfaces[0]?.reason).toContain('pass unjudged');
    await served(agent);
  });

  it('is judged and counted by DPDK, too, which begins anew when it dies', async (context) => {
    const lacking = missing('dpdk');
    if (lacking !== '') context.skip(lacking);
    const agent = await startAgent();
    await agent.ask({ kind: 'activate', policy });
    expect(await agent.ask({ kind: 'engine', name: 'a1', engine: 'dpdk' })).toMatchObject({ engine: 'dpdk' });
    const first = await agent.pid();
    pids.add(first);
    await send(53, 300);
    await send(54, 200);
    await become('counts', async () => (await agent.packets())['rest'] === 200);
    expect(await agent.packets()).toMatchObject({ names: 300, rest: 200 });
    process.kill(first, 'SIGKILL');
    expect(await become('the fallback', async () => (await agent.engine()) === 'xdp-native')).toBeLessThan(2000);
    await become('the next process', async () => (await agent.engine()) === 'dpdk');
    pids.add(await agent.pid());
    await send(54, 400);
    await become('counts', async () => (await agent.packets())['rest'] === 600);
    expect(await agent.ask({ kind: 'engine', name: 'a1', engine: 'auto' })).toMatchObject({ engine: 'xdp-native' });
    await send(54, 100);
    await become('counts', async () => (await agent.packets())['rest'] === 700);
  });

  it('shows its flows: denied ones from its records, live ones from its table', async (context) => {
    const agent = await startAgent();
    await agent.ask({ kind: 'activate', policy });
    await agent.ask({ kind: 'engine', name: 'a1', engine: 'af_xdp' });
    await served(agent);
    await send(53, 300);
    await send(54, 200);
    const flows = async (): Promise<readonly Flow[]> => ((await agent.ask({ kind: 'flows' })) as { readonly flows: readonly Flow[] }).flows;
    await become('the denied flow', async () => (await flows()).some(({ mapping }) => mapping === 'rest'));
    const seen = await flows();
    expect(seen.find(({ mapping }) => mapping === 'rest')).toMatchObject({ state: 'denied', interface: 'a1', destinationPort: 54 });
    const { logged } = await agent.status();
    if (logged.some((line) => line.includes('does not give flows'))) context.skip('this nest-fastpathctl prints no rows');
    expect(seen.find(({ mapping }) => mapping === 'names')).toMatchObject({ state: 'live', interface: 'a1', forward: { packets: 300 } });
  });
});
