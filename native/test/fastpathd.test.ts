/** nest-fastpathd with AF_XDP sockets between real interfaces: forwarding, passing, falling back, reloading. */
import { execFileSync } from 'node:child_process';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { compilePolicy, parsePolicy } from '../image/api.ts';
import type { Answer } from './support/fastpathd.ts';
import { Bench, eventually, missing, passingProgram } from './support/fastpathd.ts';
import { ethernet, ipv4, udp } from './support/packets.ts';

const reason = missing('af_xdp');
let bench: Bench;

beforeEach((context) => {
  if (reason !== '') context.skip(reason);
  bench = new Bench();
});

afterEach(async () => {
  if (reason === '') await bench[Symbol.asyncDispose]();
});

/** Clients may ask for names; everything else over UDP is denied, pings are not. */
const policy = (name: string): Uint8Array =>
  compilePolicy(
    parsePolicy({
      apiVersion: 'nest/v1',
      kind: 'Policy',
      defaultAction: 'allow',
      services: [
        { name: 'clients', addresses: ['198.18.1.0/24'] },
        { name: 'servers', addresses: ['198.18.2.0/24'] },
      ],
      mappings: [
        { name, sources: ['clients'], destinations: ['servers'], protocols: ['udp'], ports: ['53'], action: 'allow', priority: 20 },
        { name: 'rest', sources: ['clients'], destinations: ['servers'], protocols: ['udp'], action: 'deny', priority: 10 },
      ],
    }),
  ).image;

const query = (port: number): Buffer =>
  ethernet(0x0800, ipv4({ from: '198.18.1.2', to: '198.18.2.2', protocol: 17, payload: udp({ to: port, payload: 30 }) }));

const wire = ['--interface', 'a1:0', '--interface', 'b1:0', '--pass', 'a1=peer:b1', '--pass', 'b1=peer:a1', '--cpu', '1'];

const countersOf = (ports: readonly { readonly name: string; readonly counters: unknown }[] | undefined, name: string): unknown =>
  ports?.find((port) => port.name === name)?.counters;

describe('forwarding', () => {
  it('forwards every packet between two ports, and says how the ports work and where their memory is', async () => {
    const daemon = await bench.start(wire);
    expect(daemon.report.ports).toMatchObject([
      { name: 'a1', mode: 'copy', driver: 'veth', numaDevice: -1, numaMemory: -1 },
      { name: 'b1', mode: 'copy' },
    ]);
    const before = bench.received(bench.sink, 'b0');
    expect(await bench.generate(query(53), 20_000, 20_000)).toBe(20_000);
    expect(await eventually(() => bench.received(bench.sink, 'b0') - before >= 20_000)).toBe(true);
    const { ports } = daemon.control('stats');
    expect(countersOf(ports, 'a1')).toMatchObject({ receivedPackets: 20_000, passed: 20_000, sendFull: 0, unreachable: 0 });
    expect(countersOf(ports, 'b1')).toMatchObject({ sentPackets: 20_000 });
  });

  it('forwards what the policy allows and drops the rest', async () => {
    const daemon = await bench.start([...wire, '--image', bench.image('policy', policy('names'))]);
    await bench.generate(query(53), 1000, 10_000);
    await bench.generate(query(54), 1000, 10_000);
    expect(await eventually(() => bench.received(bench.sink, 'b0') >= 1000)).toBe(true);
    const { ports } = daemon.control('stats');
    expect(countersOf(ports, 'a1')).toMatchObject({ receivedPackets: 2000, passed: 1000, denied: 1000 });
    expect(countersOf(ports, 'b1')).toMatchObject({ sentPackets: 1000 });
    const flows = daemon.control('flows');
    expect(flows).toMatchObject({ status: 'OK', count: 1, cursor: 0 });
    expect(flows.first?.slice(120, 128)).toBe('c6120102');
  });

  it('loses nothing while the policy is replaced again and again', async () => {
    const daemon = await bench.start([...wire, '--image', bench.image('first', policy('names'))]);
    const other = bench.image('other', policy('other-names'));
    const sequences = Array.from({ length: 200 }, (_, index) => index + 2);
    const traffic = bench.generate(query(53), 60_000, 10_000);
    const loads = sequences.flatMap((sequence) => [sequence % 2 === 0 ? other : bench.path('first'), String(sequence)]);
    // Meanwhile, in a process of its own.
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(daemon.control('load', ...loads)).toMatchObject({ status: 'OK' });
    const whenLoaded = (countersOf(daemon.control('stats').ports, 'a1') as { readonly receivedPackets: number }).receivedPackets;
    const sent = await traffic;
    expect(sent).toBe(60_000);
    expect(whenLoaded).toBeLessThan(sent);
    const stats = (): Answer => daemon.control('stats');
    await eventually(() => (countersOf(stats().ports, 'a1') as { readonly receivedPackets: number }).receivedPackets >= sent);
    expect(stats()).toMatchObject({
      sequence: 201,
      ports: [
        { name: 'a1', receiveLost: 0, counters: { receivedPackets: sent, passed: sent, denied: 0, unreachable: 0 } },
        { name: 'b1', counters: { sentPackets: sent, sendFull: 0 } },
      ],
    });
  });

  it('reflects with exchanged Ethernet addresses', async () => {
    const daemon = await bench.start(['--interface', 'a1:0', '--pass', 'a1=reflect', '--cpu', '1']);
    const before = bench.received(bench.gen, 'a0');
    await bench.generate(query(53), 5000, 10_000);
    expect(await eventually(() => bench.received(bench.gen, 'a0') - before >= 5000)).toBe(true);
    expect(countersOf(daemon.control('stats').ports, 'a1')).toMatchObject({ sentPackets: 5000 });
  });

  it('takes and gives back ports while it runs', async () => {
    const daemon = await bench.start(['--interface', 'a1:0', '--pass', 'a1=peer:b1', '--cpu', '1']);
    await bench.generate(query(53), 100, 10_000);
    expect(countersOf(daemon.control('stats').ports, 'a1')).toMatchObject({ unreachable: 100 });
    const port = ['--interface', 'b1:0', '--pass', 'b1=peer:a1'];
    // More often than the packet memory would last if a port kept its frames.
    for (let turn = 0; turn < 6; turn += 1) {
      expect(daemon.control('add-port', ...port)).toMatchObject({ status: 'OK' });
      expect(daemon.control('add-port', ...port)).toMatchObject({ status: 'PORT' });
      const before = bench.received(bench.sink, 'b0');
      await bench.generate(query(53), 5000, 10_000);
      expect(await eventually(() => bench.received(bench.sink, 'b0') - before >= 5000)).toBe(true);
      expect(daemon.control('remove-port', 'b1')).toMatchObject({ status: 'OK' });
      expect(bench.hasProgram('b1')).toBe(false);
    }
    expect(daemon.control('remove-port', 'b1')).toMatchObject({ status: 'PORT' });
  });
});

describe('passing to the host', () => {
  it('lets the stack see passed packets as if they came in at the interface', async () => {
    const daemon = await bench.start(['--interface', 'a1:0', '--cpu', '1']);
    expect(bench.canPing()).toBe(true);
    const counters = countersOf(daemon.control('stats').ports, 'a1') as { readonly passed: number };
    expect(counters.passed).toBeGreaterThanOrEqual(1);
    // The answer knows the interface: the neighbour was learnt there and not at the tap.
    expect(bench.in(bench.dut, 'ip', 'neighbour', 'show', 'dev', 'a1')).toContain('198.18.1.2');
  });
});

describe('when it dies', () => {
  it('falls back to pass: the interface has no program any more', async () => {
    const daemon = await bench.start(['--interface', 'a1:0', '--pass', 'a1=reflect', '--cpu', '1']);
    expect([bench.canPing(), bench.hasProgram()]).toEqual([false, true]);
    await daemon.end('SIGKILL');
    expect(await eventually(() => !bench.hasProgram())).toBe(true);
    expect(bench.canPing()).toBe(true);
  });

  it('falls back to drop, and the next one takes the interface over', async () => {
    const args = ['--interface', 'a1:0', '--fallback', 'a1=drop', '--pin-path', `${bench.bpffs}/fast`, '--cpu', '1'];
    const first = await bench.start(args);
    expect(bench.canPing()).toBe(true);
    await first.end('SIGKILL');
    expect([bench.canPing(), bench.hasProgram()]).toEqual([false, true]);
    const second = await bench.start(args);
    expect(bench.canPing()).toBe(true);
    // An orderly end keeps the fallback as well; only being asked to detach removes it.
    await second.end('SIGTERM');
    expect([bench.canPing(), bench.hasProgram()]).toEqual([false, true]);
    const third = await bench.start(args);
    expect(third.control('stop', 'detach')).toMatchObject({ status: 'OK' });
    expect(await eventually(() => !bench.hasProgram())).toBe(true);
    expect(bench.canPing()).toBe(true);
  });

  it('falls back to the program of the kernel', async () => {
    const pin = `${bench.bpffs}/kernel`;
    execFileSync('bpftool', ['prog', 'load', passingProgram, pin]);
    const fast = `${bench.bpffs}/fast`;
    const daemon = await bench.start([
      '--interface',
      'a1:0',
      '--pass',
      'a1=reflect',
      '--cpu',
      '1',
      '--fallback',
      `a1=xdp:${pin}`,
      '--pin-path',
      fast,
    ]);
    expect(bench.canPing()).toBe(false);
    await daemon.end('SIGKILL');
    expect([bench.canPing(), bench.hasProgram()]).toEqual([true, true]);
    const missed = JSON.parse(
      execFileSync('bpftool', ['-j', 'map', 'dump', 'pinned', `${fast}/a1/nest_xsk_missed`], { encoding: 'utf8' }),
    ) as readonly { readonly formatted: { readonly values: readonly { readonly value: number }[] } }[];
    const sum = missed[0]?.formatted.values.reduce((total, { value }) => total + value, 0) ?? 0;
    expect(sum).toBeGreaterThan(0);
  });
});

describe('refusing', () => {
  it('never takes an interface with a foreign program', () => {
    execFileSync('ip', ['-n', bench.dut, 'link', 'set', 'dev', 'a1', 'xdpdrv', 'obj', passingProgram, 'sec', 'xdp']);
    const before = bench.in(bench.dut, 'ip', 'link', 'show', 'a1');
    const refusal = bench.refusal(['--interface', 'a1:0']);
    expect(refusal).toMatchObject({ code: 1, status: 'FOREIGN_PROGRAM', step: expect.stringContaining('a1') });
    expect(bench.in(bench.dut, 'ip', 'link', 'show', 'a1')).toBe(before);
  });

  it('says what is wrong with interfaces, queues, modes and options', () => {
    const of = (...args: readonly string[]): string => bench.refusal(args).status;
    expect([
      of('--interface', 'nothing0'),
      of('--interface', 'a1:7'),
      of('--interface', 'a1:0', '--copy-mode', 'zero-copy'),
      of('--interface', 'a1:0', '--fallback', 'a1=drop'),
      of('--interface', 'a1:0', '--cpu', '900'),
      of('--interface', 'a1:0,1'),
      of('--engine', 'dpdk'),
      of('--interfaces', 'a1'),
      of(),
    ]).toEqual(['INTERFACE', 'INTERFACE', 'UNSUPPORTED', 'USAGE', 'USAGE', 'USAGE', 'ENGINE', 'USAGE', 'USAGE']);
    expect(bench.hasProgram()).toBe(false);
  });
});
