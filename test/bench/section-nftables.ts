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

const mappings = 1000;
const table = 'bench';
const ratioMin = 8;
const ourPackets = 3_000_000;
const theirPackets = 150_000;

/** Thousands of packets a second, one sample a round. */
interface Rates {
  readonly nest: readonly number[];
  readonly nftables: readonly number[];
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
  const { link, peer, path } = bench;
  const policy = benchPolicy(mappings);
  await bench.swap(compilePolicy(policy).image);
  // Addressed to the link: the kernel shows nobody else's packets to its hooks.
  const packet = Buffer.concat([macOf(link), midListPacket(policy).subarray(6)]);
  const send = async (count: number): Promise<number> => {
    const { sent, seconds } = await generatePackets({ link: peer, packet, count }, bench.signal);
    return sent / seconds / 1e3;
  };
  // Without a program on it the link takes what programs send only with GRO.
  await command(['ethtool', '-K', link, 'gro', 'on']);
  const ruleset = nftablesOf(policy, { table, link });
  const rates = { nest: [] as number[], nftables: [] as number[], version: (await command(['nft', '--version'])).trim() };
  for (let round = 0; round < rounds; round++) {
    bench.throwIfUnwanted();
    console.error(`nftables: round ${String(round + 1)} of ${String(rounds)}`);
    await path.attach(link);
    rates.nest.push(await send(ourPackets));
    await path.detach(link);
    const loaded = spawnSync('nft', ['-f', '-'], { input: ruleset, encoding: 'utf8' });
    if (loaded.status !== 0) throw new Error(`nft: ${loaded.stderr.slice(0, 500)}`);
    const before = received();
    rates.nftables.push(await send(theirPackets));
    const missing = theirPackets - (received() - before);
    if (missing > theirPackets / 100) throw new Error(`${String(missing)} packets never reached nftables: the figure would be too high.`);
    await command(['nft', 'delete', 'table', 'inet', table]);
  }
  return rates;
};

const rows = ({ nest, nftables, version }: Rates): Row[] => {
  const baseline = { figure: `${version}, 1,000 rules, drop in prerouting`, samples: nftables };
  return [
    toRow({ figure: baseline.figure, unit: 'kpps', samples: nftables }),
    toRow({
      figure: '1,000 mappings, every packet judged and denied',
      unit: 'kpps',
      samples: nest,
      baseline,
      target: { op: '>=', value: ratioMin },
    }),
  ];
};

export const nftablesSection: Section<Rates> = { name: 'nftables', measure, rows };
