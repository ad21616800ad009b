/** nest-fastpathd-dpdk on virtual devices, without huge pages: ports, bursts, two processes, and what it refuses. */
import { execFileSync } from 'node:child_process';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Answer, Report } from './support/fastpathd.ts';
import { Bench, eventually, missing } from './support/fastpathd.ts';
import { ethernet, ipv4, udp } from './support/packets.ts';

const reason = missing('dpdk');
let bench: Bench;

beforeEach((context) => {
  if (reason !== '') context.skip(reason);
  bench = new Bench();
});

afterEach(async () => {
  if (reason === '') await bench[Symbol.asyncDispose]();
});

const eal = (...words: readonly string[]): readonly string[] => words.flatMap((word) => ['--eal', word]);
const small = ['--eal', '--no-huge', '--eal', '--memory=128', '--frames', '8192', '--cpu', '1'];
const packet = ethernet(0x0800, ipv4({ from: '198.18.1.2', to: '198.18.2.2', protocol: 17, payload: udp({ to: 53, payload: 18 }) }));

const portOf = (answer: Answer | Report, name: string): NonNullable<Answer['ports']>[number] => {
  const port = answer.ports?.find((each) => each.name === name);
  if (port === undefined) throw new Error(`there is no port ${name}`);
  return port;
};

describe('forwarding', () => {
  it('runs packets from one port to the other, and ends when told', async () => {
    const report = bench.run(
      [
        ...small,
        ...eal('--vdev=net_null0', '--vdev=net_null1'),
        '--pass',
        'net_null0=peer:net_null1',
        '--pass',
        'net_null1=peer:net_null0',
        '--bench-template',
        packet.toString('hex'),
        '--bench-vary',
        '34:64',
        '--seconds',
        '1',
      ],
      'dpdk',
    ) as Report;
    const [first, second] = [portOf(report, 'net_null0').counters, portOf(report, 'net_null1').counters];
    expect(first.receivedPackets).toBeGreaterThan(100_000);
    // All that came in at one was on its way out of the other, but for the burst under way.
    expect(Math.abs(first.receivedPackets - second.sentPackets)).toBeLessThanOrEqual(64);
    expect([first.passed, first.denied, first.sendFull, first.unreachable]).toEqual([first.receivedPackets, 0, 0, 0]);
  });

  it('hands packets from process to process over shared memory', async () => {
    const socket = bench.path('memif');
    const server = await bench.start(
      [...small, ...eal(`--vdev=net_memif0,role=server,socket=${socket},socket-abstract=no`), '--pass', 'net_memif0=reflect'],
      { engine: 'dpdk' },
    );
    // The client makes packets from what net_null gives it, and gets them back from the server.
    const client = await bench.start(
      [
        ...small,
        ...eal(`--vdev=net_memif0,role=client,socket=${socket},socket-abstract=no`, '--vdev=net_null0'),
        '--pass',
        'net_null0=peer:net_memif0',
        '--pass',
        'net_memif0=peer:net_null0',
        '--bench-template',
        packet.toString('hex'),
      ],
      { engine: 'dpdk' },
    );
    const returned = (): number => portOf(client.control('stats'), 'net_memif0').counters.receivedPackets;
    expect(await eventually(() => returned() > 10_000)).toBe(true);
    const reflected = portOf(server.control('stats'), 'net_memif0').counters;
    expect(reflected.sentPackets).toBeGreaterThan(10_000);
    await client.end();
    expect(server.control('hello')).toMatchObject({ status: 'OK', process: server.report.process });
    await server.end();
    expect([client.child.exitCode, server.child.exitCode]).toEqual([0, 0]);
  });

  it('joins the host by a tap of its own, in both directions', async () => {
    const daemon = await bench.start([...small, ...eal('--vdev=net_tap0,iface=dtap0')], { engine: 'dpdk' });
    expect(portOf(daemon.report, 'net_tap0')).toMatchObject({ mode: 'dpdk', driver: 'net_tap' });
    // nestd0 is the host's end of the port; dtap0, in another namespace, stands for the wire.
    execFileSync('ip', ['-n', bench.dut, 'link', 'set', 'dtap0', 'netns', bench.sink]);
    bench.in(bench.sink, 'ip', 'address', 'add', '198.18.3.2/24', 'dev', 'dtap0');
    bench.in(bench.sink, 'ip', 'link', 'set', 'dtap0', 'up');
    bench.in(bench.dut, 'ip', 'address', 'add', '198.18.3.1/24', 'dev', 'nestd0');
    expect(bench.in(bench.sink, 'ping', '-c', '3', '-i', '0.2', '-W', '2', '198.18.3.1')).toContain('3 received');
    expect(portOf(daemon.control('stats'), 'net_tap0').counters.sentPackets).toBeGreaterThanOrEqual(3);
  });

  it('takes the packets of an interface through AF_XDP', async () => {
    const daemon = await bench.start(
      [...small, ...eal('--vdev=net_af_xdp0,iface=a1,force_copy=1,busy_budget=0'), '--pass', 'net_af_xdp0=reflect'],
      { engine: 'dpdk' },
    );
    const before = bench.received(bench.gen, 'a0');
    expect(await bench.generate(packet, 5000, 10_000)).toBe(5000);
    await eventually(() => bench.received(bench.gen, 'a0') - before >= 5000);
    const port = portOf(daemon.control('stats'), 'net_af_xdp0');
    expect({ ...port.counters, returned: bench.received(bench.gen, 'a0') - before, receiveLost: port.receiveLost }).toMatchObject({
      receivedPackets: 5000,
      sentPackets: 5000,
      sendFull: 0,
      returned: 5000,
      receiveLost: 0,
    });
  });

  it('leaves the flags of an interface as they were, also when it is killed', async () => {
    const link = (): { readonly flags: readonly string[]; readonly promiscuity: number } => {
      const [found] = JSON.parse(bench.in(bench.dut, 'ip', '-details', '-json', 'link', 'show', 'a1')) as readonly {
        readonly flags: readonly string[];
        readonly promiscuity: number;
      }[];
      if (found === undefined) throw new Error('a1 is gone');
      return found;
    };
    const start = async () =>
      await bench.start([...small, ...eal('--vdev=net_af_xdp0,iface=a1,force_copy=1,busy_budget=0')], { engine: 'dpdk' });
    const before = link();
    expect(before).toMatchObject({ promiscuity: 0 });
    const daemon = await start();
    expect(link()).toMatchObject({ promiscuity: 1 });
    await daemon.end();
    expect(link()).toMatchObject({ flags: before.flags, promiscuity: 0 });
    const killed = await start();
    killed.child.kill('SIGKILL');
    await eventually(() => link().promiscuity === 0);
    expect(link()).toMatchObject({ flags: before.flags, promiscuity: 0 });
  });
});

describe('refusing', () => {
  it('says which device DPDK left out without a word, and when there is none', () => {
    const missingDevice = bench.refusal([...small, ...eal('--vdev=net_null0', '--vdev=net_af_xdp0,iface=nothing0')], 'dpdk');
    expect(missingDevice).toMatchObject({ code: 1, status: 'NO_PORTS', message: expect.stringContaining('net_af_xdp0') });
    expect(bench.refusal([...small], 'dpdk')).toMatchObject({ code: 1, status: 'NO_PORTS' });
  });

  it('lets no EAL argument through that is not on the list', () => {
    for (const word of ['--vdev=crypto_null', '-d=/tmp/x.so', '--huge-dir=/tmp', '--vdev=net_pcap0,iface=a1', '--lcores=0', '--syslog=x'])
      expect(bench.refusal([...small, '--eal', word], 'dpdk')).toMatchObject({
        code: 2,
        status: 'USAGE',
        message: expect.stringContaining(word),
      });
  });

  it('says when a port has fewer queues than there are workers, or no such port is there', () => {
    const two = ['--eal', '--no-huge', '--eal', '--memory=128', '--frames', '8192', '--cpu', '0,1'];
    expect(bench.refusal([...two, ...eal('--vdev=net_af_xdp0,iface=a1')], 'dpdk')).toMatchObject({ code: 1, status: 'UNSUPPORTED' });
    expect(bench.refusal([...small, ...eal('--vdev=net_null0'), '--pass', 'net_null7=reflect'], 'dpdk')).toMatchObject({
      status: 'USAGE',
      message: expect.stringContaining('net_null7'),
    });
    expect(bench.refusal([...small, ...eal('--vdev=net_null0'), '--frames', '200000'], 'dpdk')).toMatchObject({ status: 'ENGINE' });
  });
});
