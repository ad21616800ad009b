/** The same policy in nftables, one rule a mapping: packets a second on a veth pair that end in a drop. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { compilePolicy } from '../../native/image/api.ts';
import { command } from '../lab/command.ts';
import { nftablesOf } from '../support/nftables.ts';
import { benchPolicy, midListPacket } from './packet-sets.ts';
import { generatePackets } from './packet-tool.ts';
import { toRow } from './report.ts';
import type { Row } from './report.ts';
import { rounds } from './section.ts';
import type { Bench, Section } from './section.ts';

const sizes = [10, 100, 1000] as const;
/** That the ratio is held to. */
const judgedSize = 1000;
const table = 'bench';
const ratioMin = 8;
const ourPackets = 3_000_000;
/** A rule costs them some ten nanoseconds: about two seconds each. */
const theirPackets: Readonly<Record<(typeof sizes)[number], number>> = { 10: 1_000_000, 100: 600_000, 1000: 150_000 };

/** Thousands of packets a second, one sample a round. */
interface Rates {
  readonly sizes: readonly { readonly mappings: number; readonly nest: readonly number[]; readonly nftables: readonly number[] }[];
  /** Of nftables, without the name of the release. */
  readonly version: string;
}

/** IPv4 packets that came as far as the hooks, in this namespace. */
const received = (): number => {
  const [names = '', values = ''] = readFileSync('/proc/self/net/snmp', 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('Ip:'));
  return Number(values.split(' ')[names.split(' ').indexOf('InReceives')]);
};

const macOf = (link: string): Buffer =>
  Buffer.from(readFileSync(`/sys/class/net/${link}/address`, 'utf8').trim().replaceAll(':', ''), 'hex');

const measure = async (bench: Bench): Promise<Rates> => {
  const { link } = bench;
  // Without a program on it the link takes what programs send only with GRO.
  await command(['ethtool', '-K', link, 'gro', 'on']);
  const [version = ''] = /v[\d.]+/.exec(await command(['nft', '--version'])) ?? [];
  const cases = sizes.map((mappings) => {
    const policy = benchPolicy(mappings);
    // Addressed to the link: the kernel shows nobody else's packets to its hooks.
    const packet = Buffer.concat([macOf(link), midListPacket(policy).subarray(6)]);
    const ruleset = nftablesOf(policy, { table, link });
    return { mappings, image: compilePolicy(policy).image, packet, ruleset, nest: [] as number[], nftables: [] as number[] };
  });
  for (let round = 0; round < rounds; round++) {
    console.error(`nftables: round ${String(round + 1)} of ${String(rounds)}`);
    for (const { mappings, image, packet, ruleset, nest, nftables } of cases) {
      bench.throwIfUnwanted();
      nest.push(await ourRate(bench, image, packet));
      nftables.push(await theirRate(bench, ruleset, { packet, count: theirPackets[mappings] }));
    }
  }
  return { sizes: cases.map(({ mappings, nest, nftables }) => ({ mappings, nest, nftables })), version };
};

/** Thousands of packets a second. */
const send = async ({ peer, signal }: Bench, packet: Uint8Array, count: number): Promise<number> => {
  const { sent, seconds } = await generatePackets({ link: peer, packet, count }, signal);
  return sent / seconds / 1e3;
};

const ourRate = async (bench: Bench, image: Uint8Array, packet: Uint8Array): Promise<number> => {
  await bench.swap(image);
  await bench.path.attach(bench.link);
  const rate = await send(bench, packet, ourPackets);
  await bench.path.detach(bench.link);
  return rate;
};

const theirRate = async (
  bench: Bench,
  ruleset: string,
  { packet, count }: { readonly packet: Uint8Array; readonly count: number },
): Promise<number> => {
  const loaded = spawnSync('nft', ['-f', '-'], { input: ruleset, encoding: 'utf8' });
  if (loaded.status !== 0) throw new Error(`nft: ${loaded.stderr.slice(0, 500)}`);
  const before = received();
  const rate = await send(bench, packet, count);
  const missing = count - (received() - before);
  if (missing > count / 100) throw new Error(`${String(missing)} packets never reached nftables: the figure would be too high.`);
  await command(['nft', 'delete', 'table', 'inet', table]);
  return rate;
};

const rows = ({ sizes: measured, version }: Rates): Row[] =>
  measured.flatMap(({ mappings, nest, nftables }) => {
    const size = mappings.toLocaleString('en-US');
    const baseline = { figure: `nftables ${version}, ${size} rules, drop in prerouting`, samples: nftables };
    return [
      toRow({ figure: baseline.figure, unit: 'kpps', samples: nftables }),
      toRow({
        figure: `${size} mappings, every packet judged and denied`,
        unit: 'kpps',
        samples: nest,
        baseline,
        ...(mappings === judgedSize ? { target: { op: '>=' as const, value: ratioMin } } : {}),
      }),
    ];
  });

export const nftablesSection: Section<Rates> = { name: 'nftables', measure, rows };
