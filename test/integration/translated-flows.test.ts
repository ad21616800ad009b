/**
 * What an agent tells of flows that it translates, of real packets by the kernel's program and by nest-fastpathd: in its flows,
 * in the live flows of backends, and to nfdump's collector.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Balancer, EngineName, Flow } from '../../agent/domains/traffic/api.ts';
import { Bench, missing } from '../../native/test/support/fastpathd.ts';
import { ethernet, ipv4, udp } from '../../native/test/support/packets.ts';
import { become, kill, NamespaceAgent } from './namespace-agent.ts';

const reason =
  missing('af_xdp') || (spawnSync('nfdump', ['-V']).error === undefined ? '' : 'nfdump is not installed: apt-get install nfdump');
const ipfixPort = 4739;
const client = '198.18.1.2';
const virtual = '198.18.2.100';
const elsewhere = '198.18.2.2';
const hidden = '198.18.2.77';
const backends = { one: '198.18.2.21', two: '198.18.2.22', three: '198.18.2.23' } as const;
const balancedFlows = 12;

const policy = JSON.stringify({
  apiVersion: 'nest/v1',
  kind: 'Policy',
  defaultAction: 'allow',
  services: [
    { name: 'clients', addresses: ['198.18.1.0/24'] },
    { name: 'shop', addresses: [virtual] },
    { name: 'outside', addresses: [elsewhere] },
  ],
  mappings: [
    {
      name: 'shop',
      sources: ['clients'],
      destinations: ['shop'],
      protocols: ['udp'],
      ports: ['53'],
      action: 'balance',
      priority: 20,
      backends: Object.entries(backends).map(([name, address]) => ({ name, address, port: 8053 })),
    },
    {
      name: 'out',
      sources: ['clients'],
      destinations: ['outside'],
      protocols: ['udp'],
      ports: ['53'],
      action: 'allow',
      sourceNat: hidden,
      priority: 10,
    },
  ],
});

let bench: Bench;
let agent: NamespaceAgent;
let collector: ChildProcess | null = null;
let pid = 0;

/** UDP sockets of the collector's namespace: it has no others than the collector's. */
const sockets = (): string => execFileSync('ip', ['netns', 'exec', bench.dut, 'ss', '-Hlun'], { encoding: 'utf8' });

beforeEach(async (context) => {
  if (reason !== '') context.skip(reason);
  bench = new Bench();
  execFileSync('ip', ['-n', bench.dut, 'link', 'set', 'lo', 'up']);
  mkdirSync(bench.path('nfcapd'));
  const words = ['-b', '127.0.0.1', '-p', String(ipfixPort), '-w', bench.path('nfcapd'), '-t', '3600'];
  collector = spawn('nsenter', [`--net=/run/netns/${bench.dut}`, 'nfcapd', ...words], { stdio: 'ignore' });
  await become('the collector', async () => sockets().includes(`:${String(ipfixPort)} `));
  agent = await new NamespaceAgent(bench, { fallback: 'xdp', ipfixPort }).ready();
});

afterEach(async () => {
  if (reason !== '') return;
  await agent.end('SIGKILL');
  collector?.kill('SIGKILL');
  collector = null;
  if (pid !== 0) kill(pid);
  pid = 0;
  await bench[Symbol.asyncDispose]();
});

const send = async (to: string, from: number): Promise<void> => {
  const packet = ethernet(0x0800, ipv4({ from: client, to, protocol: 17, payload: udp({ from, to: 53, payload: 30 }) }));
  expect(await bench.generate(packet, 3, 20_000)).toBe(3);
};

const flowsTo = async (destination: string): Promise<readonly Flow[]> => {
  const { flows } = (await agent.ask({ kind: 'flows' })) as { readonly flows: readonly Flow[] };
  return flows.filter((flow) => flow.destination === destination);
};

interface Exported {
  readonly src_port: number;
  readonly dst4_addr: string;
  readonly src4_xlt_ip?: string;
  readonly dst4_xlt_ip?: string;
  readonly src_xlt_port?: string;
  readonly dst_xlt_port?: string;
}

/** Ends agent and collector, so that nothing is on its way any more. */
const collected = async (): Promise<readonly Exported[]> => {
  if (collector === null) throw new Error('there is no collector');
  await agent.ask({ kind: 'close' });
  await become('the collector to read everything', async () => /^UNCONN\s+0\s/m.test(sockets()));
  const ended = once(collector, 'close');
  collector.kill('SIGTERM');
  await ended;
  const files = readdirSync(bench.path('nfcapd')).filter((name) => /^nfcapd\.\d+$/.test(name));
  return files.flatMap((file) => {
    const text = execFileSync('nfdump', ['-q', '-r', join(bench.path('nfcapd'), file), '-o', 'json'], { encoding: 'utf8' }).trim();
    return JSON.parse(text.startsWith('[') ? text : `[${text}]`) as readonly Exported[];
  });
};

const endsOf = ({ sourcePort, translation }: Flow): readonly unknown[] => [
  sourcePort,
  translation?.source,
  translation?.sourcePort,
  translation?.destination,
  translation?.destinationPort,
];

describe.each(['xdp', 'af_xdp'] satisfies EngineName[])('a translated flow, judged by %s', { timeout: 90_000 }, (engine) => {
  it('is told with where it goes and as whose, by the agent and by nfdump, and counted live on its backend', async () => {
    await agent.ask({ kind: 'activate', policy });
    await agent.ask({ kind: 'engine', name: 'a1', engine });
    if (engine === 'af_xdp') {
      await become('serving by af_xdp', async () => (await agent.engine()) === 'af_xdp');
      pid = await agent.pid();
    }
    const ports = Array.from({ length: balancedFlows }, (_, index) => 4000 + index);
    for (const port of ports) await send(virtual, port);
    await send(elsewhere, 5000);

    await become('the flows', async () => (await flowsTo(virtual)).length === balancedFlows && (await flowsTo(elsewhere)).length === 1);
    const balanced = (await flowsTo(virtual)).toSorted((a, b) => a.sourcePort - b.sourcePort);
    expect(balanced.map(({ sourcePort }) => sourcePort)).toEqual(ports);
    for (const { state, mapping, sourcePort, translation, forward } of balanced) {
      const name = translation?.backend ?? '';
      expect({ state, mapping, name, packets: forward.packets }).toEqual({
        state: 'live',
        mapping: 'shop',
        name: expect.stringMatching(/^(one|two|three)$/),
        packets: 3,
      });
      const destination = backends[name as keyof typeof backends];
      expect(translation).toEqual({ source: client, sourcePort, destination, destinationPort: 8053, backend: name });
    }
    const [out] = await flowsTo(elsewhere);
    expect(out?.translation).toMatchObject({ source: hidden, destination: elsewhere, destinationPort: 53, backend: '' });
    expect(out?.translation?.sourcePort).toBeGreaterThanOrEqual(32_768);

    const names = balanced.map(({ translation }) => translation?.backend ?? '');
    const expected = Object.keys(backends)
      .toSorted()
      .map((name) => [name, names.filter((each) => each === name).length]);
    const live = async (): Promise<readonly unknown[]> =>
      ((await agent.ask({ kind: 'balancers' })) as readonly Balancer[]).flatMap(({ backends: rows }) =>
        rows.map(({ name, liveFlows }) => [name, liveFlows]),
      );
    await become('the sweep', async () => JSON.stringify(await live()) === JSON.stringify(expected));

    const shown = (await collected()).map((flow) => [
      flow.src_port,
      flow.src4_xlt_ip,
      Number(flow.src_xlt_port),
      flow.dst4_xlt_ip,
      Number(flow.dst_xlt_port),
    ]);
    for (const flow of [...balanced, out as Flow]) expect(shown).toContainEqual(endsOf(flow));
  });
});
