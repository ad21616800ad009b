/** The engines outside the kernel beside DPDK's testpmd: AF_XDP on one veth pair, DPDK on net_null. Taken in turn. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { compilePolicy } from '../../native/image/api.ts';
import { command } from '../lab/command.ts';
import { benchPolicy, establishedPacket, offsets } from './packet-sets.ts';
import { generatePackets } from './packet-tool.ts';
import { toRow } from './report.ts';
import type { Row } from './report.ts';
import { rounds } from './section.ts';
import type { Bench, Section } from './section.ts';

const mappings = 1000;
const startMs = 2000;
const windowMs = 2000;
/** More than any window takes. */
const generatedPackets = 60_000_000;
const shareMin = { afXdp: 0.9, null: 0.25 } as const;

/** Thousands of packets a second, one sample a round. */
interface EngineRates {
  readonly afXdp: { readonly nest: readonly number[]; readonly testpmd: readonly number[] };
  readonly null: { readonly nest: readonly number[]; readonly testpmd: readonly number[] };
}

const built = (path: string): string => fileURLToPath(new URL(`../../dist/${path}`, import.meta.url));
const reportSchema = z.object({ seconds: z.number(), ports: z.array(z.object({ counters: z.object({ receivedPackets: z.number() }) })) });

/** Runs a program while the work is done, then ends it in order. Returns what it printed. */
const during = async (argv: readonly string[], work: () => Promise<void>): Promise<string> => {
  const [program = '', ...args] = argv;
  const child: ChildProcess = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => (output += chunk.toString('utf8')));
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  child.once('close', () => resolve());
  child.once('error', (error) => {
    output += error.message;
    resolve();
  });
  try {
    await work();
  } finally {
    // testpmd ends when its input does, everything else at the signal.
    child.stdin?.end();
    child.kill('SIGINT');
    const patience = setTimeout(() => child.kill('SIGKILL'), 10_000);
    await ended;
    clearTimeout(patience);
  }
  return output;
};

const sentBy = (link: string): number => Number(readFileSync(`/sys/class/net/${link}/statistics/tx_packets`, 'utf8'));

/** Packets that the link sends back while another process floods it. */
const reflected = async (bench: Bench, argv: readonly string[]): Promise<number> => {
  let rate = 0;
  const output = await during(argv, async () => {
    await sleep(startMs);
    const stop = new AbortController();
    const flood = generatePackets(
      { link: bench.peer, packet: establishedPacket(), count: generatedPackets },
      AbortSignal.any([bench.signal, stop.signal]),
    ).catch(() => undefined);
    await sleep(startMs / 4);
    const [before, from] = [sentBy(bench.link), performance.now()];
    await sleep(windowMs);
    rate = (sentBy(bench.link) - before) / (performance.now() - from);
    stop.abort();
    await flood;
  });
  if (rate === 0) throw new Error(`${argv[0] ?? ''} sent nothing back: ${output.slice(-500)}`);
  return rate;
};

const words = (text: string): readonly string[] => text.split(' ');

const testpmd = (vdevs: readonly string[], more: readonly string[]): readonly string[] => [
  'dpdk-testpmd',
  ...words('-l 0,1 --main-lcore 0 --no-pci --no-huge -m 512 --no-telemetry'),
  ...vdevs.map((vdev) => `--vdev=${vdev}`),
  ...words('-- --nb-cores=1 --total-num-mbufs=16384 --forward-mode=macswap'),
  ...more,
];

const measureNull = async (image: string): Promise<{ readonly nest: number; readonly testpmd: number }> => {
  const seconds = windowMs / 1000;
  const vdevs = ['net_null0', 'net_null1'];
  const printed = await command(
    [
      built('native/nest-fastpathd-dpdk'),
      ...words(`--eal --no-huge --eal --memory=256 ${vdevs.map((vdev) => `--eal --vdev=${vdev}`).join(' ')}`),
      ...words('--pass net_null0=peer:net_null1 --pass net_null1=peer:net_null0 --cpu 1 --spin'),
      ...words(`--image ${image} --bench-template ${Buffer.from(establishedPacket()).toString('hex')}`),
      ...words(`--bench-vary ${String(offsets.sourcePort)}:4096 --seconds ${String(seconds)}`),
    ],
    { timeoutMs: 60_000 },
  );
  const report = reportSchema.parse(JSON.parse(printed.trim().split('\n').at(-1) ?? ''));
  const nest = report.ports.reduce((sum, { counters }) => sum + counters.receivedPackets, 0) / report.seconds / 1e3;
  let elapsedMs = 0;
  const output = await during(testpmd(vdevs, []), async () => {
    await sleep(startMs);
    const from = performance.now();
    await sleep(windowMs);
    elapsedMs = performance.now() - from;
  });
  // What was forwarded while it came up is in the sum: the same time is added.
  const sums = [...output.matchAll(/RX-packets:\s*(\d+)/g)].map((match) => Number(match[1]));
  const total = sums.at(-1) ?? 0;
  if (total === 0) throw new Error(`testpmd forwarded nothing: ${output.slice(-500)}`);
  return { nest, testpmd: total / (elapsedMs + startMs) };
};

const measure = async (bench: Bench): Promise<EngineRates> => {
  const folder = mkdtempSync(join(tmpdir(), 'nest-bench-'));
  const image = join(folder, 'policy.img');
  const rates = { afXdp: { nest: [] as number[], testpmd: [] as number[] }, null: { nest: [] as number[], testpmd: [] as number[] } };
  try {
    writeFileSync(image, compilePolicy(benchPolicy(mappings)).image);
    await command(['ip', 'link', 'set', 'dev', bench.peer, 'xdpdrv', 'object', built('bpf/bench_macswap.bpf.o'), 'program', 'bench_drop']);
    for (let round = 0; round < rounds; round++) {
      bench.throwIfUnwanted();
      console.error(`engines: round ${String(round + 1)} of ${String(rounds)}`);
      const ours = ['--interface', `${bench.link}:0`, '--pass', `${bench.link}=reflect`, '--cpu', '1', '--spin', '--image', image];
      rates.afXdp.nest.push(await reflected(bench, [built('native/nest-fastpathd'), ...ours]));
      const vdev = `net_af_xdp0,iface=${bench.link},force_copy=1,busy_budget=0`;
      rates.afXdp.testpmd.push(await reflected(bench, testpmd([vdev], ['--port-topology=loop'])));
      const { nest, testpmd: theirs } = await measureNull(image);
      rates.null.nest.push(nest);
      rates.null.testpmd.push(theirs);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  return rates;
};

const rows = (rates: EngineRates): Row[] =>
  (
    [
      ['afXdp', 'AF_XDP on veth, MAC swap with verdict', 'testpmd macswap on the same veth'],
      ['null', 'DPDK net_null, full verdict, 4,096 flows', 'testpmd macswap on net_null'],
    ] as const
  ).flatMap(([kind, figure, peer]) => {
    const baseline = { figure: peer, samples: rates[kind].testpmd };
    return [
      toRow({ figure: peer, unit: 'kpps', samples: rates[kind].testpmd }),
      toRow({ figure, unit: 'kpps', samples: rates[kind].nest, baseline, target: { op: '>=', value: shareMin[kind] } }),
    ];
  });

export const enginesSection: Section<EngineRates> = { name: 'engines', measure, rows };
