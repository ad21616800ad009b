/** Backends that nobody has talked to yet: DSR and full NAT reach them all the same, and leave the host without the kernel. */
import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { TraceResult } from '../../agent/domains/traffic/api.ts';
import { Bench, missing } from '../../native/test/support/fastpathd.ts';
import { ethernet, ipv4, udp } from '../../native/test/support/packets.ts';
import { NamespaceAgent } from './namespace-agent.ts';

const reason = missing('af_xdp');
const virtual = '192.0.2.80';
const server = '198.18.2.2';
const port = 5300;

let bench: Bench;
let agent: NamespaceAgent | null = null;
const servers: ChildProcess[] = [];

const ip = (space: string, ...args: readonly string[]): string => execFileSync('ip', ['-n', space, ...args], { encoding: 'utf8' });
const within = (space: string, ...args: readonly string[]): string =>
  execFileSync('ip', ['netns', 'exec', space, ...args], { encoding: 'utf8' });

/** Answers each datagram to `address` with "echo <source>". */
const serve = async (address: string): Promise<void> => {
  const script = `
    const socket = require('node:dgram').createSocket('udp4');
    socket.on('message', (_, from) => socket.send('echo ' + from.address, from.port, from.address));
    socket.bind(${String(port)}, process.argv[1], () => console.log('ready'));`;
  const child = spawn('ip', ['netns', 'exec', bench.sink, process.execPath, '-e', script, address], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  servers.push(child);
  await once(child.stdout, 'data');
};

/** One datagram to the virtual address; the answer, or "nothing" after two seconds. */
const ask = (): string => {
  const script = `
    const socket = require('node:dgram').createSocket('udp4');
    socket.on('message', (text, from) => { console.log(text + ' from ' + from.address); process.exit(0); });
    socket.send('hello', ${String(port)}, '${virtual}');
    setTimeout(() => { console.log('nothing'); process.exit(0); }, 2000);`;
  return within(bench.gen, process.execPath, '-e', script).trim();
};

const policy = (nat: 'dsr' | 'full'): string =>
  JSON.stringify({
    apiVersion: 'nest/v1',
    kind: 'Policy',
    defaultAction: 'allow',
    services: [
      { name: 'clients', addresses: ['198.18.1.0/24'] },
      { name: 'names', addresses: [virtual] },
    ],
    mappings: [
      {
        name: 'names',
        sources: ['clients'],
        destinations: ['names'],
        protocols: ['udp'],
        ports: [String(port)],
        action: 'balance',
        priority: 10,
        nat,
        backends: [{ name: 'one', address: server }],
      },
    ],
  });

const neighbor = (): string => ip(bench.dut, 'neigh', 'show', server);
const known = async (): Promise<void> => {
  for (let tries = 0; tries < 100 && !neighbor().includes('lladdr'); tries++) await new Promise((resolve) => setTimeout(resolve, 20));
  expect(neighbor()).toContain('lladdr 02:00:00:00:02:02');
};

beforeEach((context) => {
  if (reason !== '') context.skip(reason);
  bench = new Bench();
  within(bench.dut, 'sysctl', '-q', '-w', 'net.ipv4.ip_forward=1', 'net.ipv4.conf.all.accept_local=0');
  // A veth takes packets that a program sends only while its peer has GRO.
  within(bench.gen, 'ethtool', '-K', 'a0', 'gro', 'on');
  within(bench.sink, 'ethtool', '-K', 'b0', 'gro', 'on');
  ip(bench.gen, 'route', 'add', 'default', 'via', '198.18.1.1');
  ip(bench.sink, 'link', 'set', 'lo', 'up');
  ip(bench.sink, 'route', 'add', 'default', 'via', '198.18.2.1');
});

afterEach(async () => {
  if (reason !== '') return;
  await agent?.end('SIGKILL');
  agent = null;
  for (const child of servers.splice(0)) child.kill('SIGKILL');
  await bench[Symbol.asyncDispose]();
});

describe('a backend that nobody has talked to', { timeout: 60_000 }, () => {
  it('gets packets by DSR, and answers under the virtual address', async () => {
    ip(bench.sink, 'address', 'add', `${virtual}/32`, 'dev', 'lo');
    await serve(virtual);
    agent = await new NamespaceAgent(bench, { interfaces: ['a1', 'b1'] }).ready();
    expect(neighbor()).toBe('');
    await agent.ask({ kind: 'activate', policy: policy('dsr') });
    await known();
    expect(ask()).toBe(`echo 198.18.1.2 from ${virtual}`);
    expect(await agent.packets()).not.toHaveProperty('NO_ROUTE');
  });

  it('gets packets by full NAT without the kernel, which would drop them', async () => {
    await serve(server);
    agent = await new NamespaceAgent(bench, { interfaces: ['a1', 'b1'] }).ready();
    expect(neighbor()).toBe('');
    await agent.ask({ kind: 'activate', policy: policy('full') });
    await known();
    expect(ask()).toBe(`echo 198.18.2.1 from ${virtual}`);
  });

  it('that is not there is told', async () => {
    ip(bench.sink, 'address', 'del', `${server}/24`, 'dev', 'b0');
    agent = await new NamespaceAgent(bench, { interfaces: ['a1', 'b1'] }).ready();
    await agent.ask({ kind: 'activate', policy: policy('dsr') });
    const packet = ethernet(0x0800, ipv4({ from: '198.18.1.2', to: virtual, protocol: 17, payload: udp({ to: port, payload: 30 }) }));
    const traced = (await agent.ask({ kind: 'trace', interface: 'a1', packet: packet.toString('hex') })) as TraceResult;
    expect(traced.reason).toBe('NO_ROUTE');
    expect(traced.steps.find(({ title }) => title === 'Balance')?.detail).toBe('a backend was chosen, but its next hop is not known');
    let message: string | undefined;
    for (let tries = 0; tries < 80 && message === undefined; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 500));
      message = (await agent.status()).warnings['NEXT_HOP_UNKNOWN'];
    }
    expect(message).toContain('names/one');
  });
});
