/**
 * The engines outside the kernel beside DPDK's testpmd: AF_XDP on one veth pair, DPDK on net_null and on a pair of net_memif.
 * Taken in turn.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { compilePolicy } from '../../native/image/api.ts';
import { command } from '../lab/command.ts';
import { benchPolicy, establishedPacket, offsets, flowgenMapping } from './packet-sets.ts';
import { generatePackets } from './packet-tool.ts';
import { toRow } from './report.ts';
import type { Row } from './report.ts';
import { startProgram } from './running.ts';
import type { Running } from './running.ts';
import { rounds } from './section.ts';
import type { Bench, Section } from './section.ts';
import { startTestpmd } from './testpmd.ts';
import type { Testpmd } from './testpmd.ts';

const mappings = 1000;
const settleMs = 500;
const windowMs = 2000;
/** More than any window takes. */
const generatedPackets = 60_000_000;

const kinds = ['afXdp', 'null', 'memif'] as const;
type Kind = (typeof kinds)[number];

/** What a row says, and the least share of testpmd's rate. */
const figures: Readonly<Record<Kind, { readonly nest: string; readonly testpmd: string; readonly shareMin: number }>> = {
  afXdp: { nest: 'AF_XDP on veth, MAC swap with verdict', testpmd: 'testpmd macswap on the same veth', shareMin: 0.9 },
  null: { nest: 'DPDK net_null, full verdict, 4,096 flows', testpmd: 'testpmd macswap on net_null', shareMin: 0.25 },
  memif: {
    nest: 'DPDK net_memif, full verdict, 4,096 flows, MAC swap',
    testpmd: 'testpmd macswap on net_memif, same far end (flowgen)',
    shareMin: 0.6,
  },
};

/** Thousands of packets a second, one sample a round. */
type EngineRates = Readonly<Record<Kind, { readonly nest: readonly number[]; readonly testpmd: readonly number[] }>>;

const built = (path: string): string => fileURLToPath(new URL(`../../dist/${path}`, import.meta.url));
const reportSchema = z.object({ seconds: z.number(), ports: z.array(z.object({ counters: z.object({ receivedPackets: z.number() }) })) });
const words = (text: string): readonly string[] => text.split(' ');

/** Ours on processor 1, ready. */
const startNest = async (program: string, args: readonly string[], signal: AbortSignal): Promise<Running> => {
  const running = startProgram([built(`native/${program}`), ...args, '--cpu', '1', '--spin'], signal);
  await running.answer((text) => text.includes('"ports":'));
  return running;
};

/** Theirs on processor 1, forwarding. */
const startTheirs = async (vdevs: readonly string[], isLoop: boolean, signal: AbortSignal): Promise<Testpmd> => {
  const testpmd = await startTestpmd({ vdevs, name: 'nest-bench-device', processor: 1, forward: 'macswap', isLoop }, signal);
  testpmd.start();
  return testpmd;
};

const sentBy = (link: string): number => Number(readFileSync(`/sys/class/net/${link}/statistics/tx_packets`, 'utf8'));

/** Packets that the link sends back while it is flooded. */
const reflected = async (bench: Bench): Promise<number> => {
  const stop = new AbortController();
  const flood = generatePackets(
    { link: bench.peer, packet: establishedPacket(), count: generatedPackets },
    AbortSignal.any([bench.signal, stop.signal]),
  ).catch(() => undefined);
  try {
    await sleep(settleMs);
    const [before, from] = [sentBy(bench.link), performance.now()];
    await sleep(windowMs);
    const rate = (sentBy(bench.link) - before) / (performance.now() - from);
    if (rate === 0) throw new Error('Nothing was sent back.');
    return rate;
  } finally {
    stop.abort();
    await flood;
  }
};

const measureAfXdp = async (bench: Bench, image: string): Promise<readonly [number, number]> => {
  const measureWith = async (start: () => Promise<AsyncDisposable>): Promise<number> => {
    await using _device = await start();
    return await reflected(bench);
  };
  const ours = ['--interface', `${bench.link}:0`, '--pass', `${bench.link}=reflect`, '--image', image];
  const vdev = `net_af_xdp0,iface=${bench.link},force_copy=1,busy_budget=0`;
  return [
    await measureWith(async () => await startNest('nest-fastpathd', ours, bench.signal)),
    await measureWith(async () => await startTheirs([vdev], true, bench.signal)),
  ];
};

const measureNull = async (bench: Bench, image: string): Promise<readonly [number, number]> => {
  const vdevs = ['net_null0', 'net_null1'];
  const printed = await command(
    [
      built('native/nest-fastpathd-dpdk'),
      ...words(`--eal --no-huge --eal --memory=256 ${vdevs.map((vdev) => `--eal --vdev=${vdev}`).join(' ')}`),
      ...words('--pass net_null0=peer:net_null1 --pass net_null1=peer:net_null0 --cpu 1 --spin'),
      ...words(`--image ${image} --bench-template ${Buffer.from(establishedPacket()).toString('hex')}`),
      ...words(`--bench-vary ${String(offsets.sourcePort)}:4096 --seconds ${String(windowMs / 1000)}`),
    ],
    { timeoutMs: 60_000, signal: bench.signal },
  );
  const report = reportSchema.parse(JSON.parse(printed.trim().split('\n').at(-1) ?? ''));
  const nest = report.ports.reduce((sum, { counters }) => sum + counters.receivedPackets, 0) / report.seconds / 1e3;
  await using testpmd = await startTheirs(vdevs, false, bench.signal);
  await sleep(settleMs);
  return [nest, await testpmd.receivedPerMs(windowMs)];
};

/**
 * Two processes with shared memory between them, which memif makes by itself: huge pages are not needed. The far end is the same for
 * both sides, makes packets, and counts what comes back.
 */
const measureMemif = async (bench: Bench, image: string): Promise<readonly [number, number]> => {
  const socket = `${image}.memif`;
  const vdev = (role: string): string => `net_memif0,role=${role},socket=${socket},socket-abstract=no`;
  const measureWith = async (start: () => Promise<AsyncDisposable>): Promise<number> => {
    // The server before left it behind.
    rmSync(socket, { force: true });
    await using _device = await start();
    const far = { vdevs: [vdev('client')], name: 'nest-bench-far', processor: 0, forward: 'flowgen', isLoop: true } as const;
    await using peer = await startTestpmd(far, bench.signal);
    await peer.linked();
    peer.start();
    await sleep(settleMs);
    return await peer.receivedPerMs(windowMs);
  };
  const ours = [
    ...words('--eal --no-huge --eal --memory=256 --pass net_memif0=reflect --image'),
    image,
    '--eal',
    `--vdev=${vdev('server')}`,
  ];
  return [
    await measureWith(async () => await startNest('nest-fastpathd-dpdk', ours, bench.signal)),
    await measureWith(async () => await startTheirs([vdev('server')], true, bench.signal)),
  ];
};

const measurements: Readonly<Record<Kind, (bench: Bench, image: string) => Promise<readonly [number, number]>>> = {
  afXdp: measureAfXdp,
  null: measureNull,
  memif: measureMemif,
};

const measure = async (bench: Bench): Promise<EngineRates> => {
  const folder = mkdtempSync(join(tmpdir(), 'nest-bench-'));
  const image = join(folder, 'policy.img');
  const empty = (): { nest: number[]; testpmd: number[] } => ({ nest: [], testpmd: [] });
  const rates = { afXdp: empty(), null: empty(), memif: empty() };
  try {
    writeFileSync(image, compilePolicy(benchPolicy(mappings, { mappings: [flowgenMapping] })).image);
    await command(['ip', 'link', 'set', 'dev', bench.peer, 'xdpdrv', 'object', built('bpf/bench_macswap.bpf.o'), 'program', 'bench_drop']);
    for (let round = 0; round < rounds; round++) {
      console.error(`engines: round ${String(round + 1)} of ${String(rounds)}`);
      for (const kind of kinds) {
        bench.throwIfUnwanted();
        const [nest, testpmd] = await measurements[kind](bench, image);
        rates[kind].nest.push(nest);
        rates[kind].testpmd.push(testpmd);
      }
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  return rates;
};

const rows = (rates: EngineRates): Row[] =>
  kinds.flatMap((kind) => {
    const { nest, testpmd, shareMin } = figures[kind];
    const baseline = { figure: testpmd, samples: rates[kind].testpmd };
    return [
      toRow({ figure: testpmd, unit: 'kpps', samples: rates[kind].testpmd }),
      toRow({ figure: nest, unit: 'kpps', samples: rates[kind].nest, baseline, target: { op: '>=', value: shareMin } }),
    ];
  });

export const enginesSection: Section<EngineRates> = { name: 'engines', measure, rows };
