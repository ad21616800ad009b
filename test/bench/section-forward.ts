/** Forwarding on a veth pair with verdict and NAT, beside a program that only exchanges MAC addresses. One flow. */
import { fileURLToPath } from 'node:url';
import { compilePolicy } from '../../native/image/api.ts';
import { command } from '../lab/command.ts';
import { balancedPacket, balancedPolicy, forwardNetwork } from './packet-sets.ts';
import { generatePackets } from './packet-tool.ts';
import { toRow } from './report.ts';
import type { Row } from './report.ts';
import { rounds } from './section.ts';
import type { Bench, Section } from './section.ts';

const packetsPerRound = 8_000_000;
const warmUpPackets = 100_000;
const shareMin = 0.7;
const statForwarded = 3;

/** Millions of packets a second, one sample a round; `lost`: packets that were sent and not forwarded, of all rounds. */
interface Forwarding {
  readonly nest: readonly number[];
  readonly macswap: readonly number[];
  readonly lost: number;
}

const macswap = fileURLToPath(new URL('../../dist/bpf/bench_macswap.bpf.o', import.meta.url));
const xdp = async (link: string, words: readonly string[]): Promise<void> =>
  void (await command(['ip', 'link', 'set', 'dev', link, 'xdpdrv', ...words]));

const macOf = async (link: string): Promise<string> => {
  const [row] = JSON.parse(await command(['ip', '-json', 'link', 'show', link])) as { readonly address: string }[];
  if (row === undefined) throw new Error(`There is no link ${link}.`);
  return row.address;
};

const measure = async (bench: Bench): Promise<Forwarding> => {
  const { link, peer, path } = bench;
  const { index } = await path.attach(link);
  await path.detach(link);
  // The backend is a neighbour on the link the packets come by: they leave by XDP_TX.
  await command(['sysctl', '-q', '-w', 'net.ipv4.ip_forward=1', `net.ipv4.conf.${link}.forwarding=1`]);
  await command(['ip', 'address', 'add', `${forwardNetwork.host}/24`, 'dev', link]);
  await command(['ip', 'neigh', 'replace', forwardNetwork.backend, 'lladdr', await macOf(peer), 'dev', link, 'nud', 'permanent']);
  // What comes back must be taken, or the sender's ring fills.
  await xdp(peer, ['object', macswap, 'program', 'bench_drop']);
  await path.setTxPorts(Uint32Array.of(index));
  await bench.swap(compilePolicy(balancedPolicy()).image);
  const send = async (count: number): Promise<{ readonly sent: number; readonly seconds: number }> =>
    await generatePackets({ link: peer, packet: balancedPacket(), count }, bench.signal);
  const samples = { nest: [] as number[], macswap: [] as number[], lost: 0 };
  for (let round = 0; round < rounds; round++) {
    bench.throwIfUnwanted();
    console.error(`forward: round ${String(round + 1)} of ${String(rounds)}`);
    await path.attach(link);
    await send(warmUpPackets);
    const before = path.counters().stats[statForwarded] ?? 0n;
    const ours = await send(packetsPerRound);
    samples.lost += ours.sent - Number((path.counters().stats[statForwarded] ?? 0n) - before);
    samples.nest.push(ours.sent / ours.seconds / 1e6);
    await path.detach(link);
    await xdp(link, ['object', macswap, 'program', 'bench_macswap']);
    await send(warmUpPackets);
    const theirs = await send(packetsPerRound);
    samples.macswap.push(theirs.sent / theirs.seconds / 1e6);
    await xdp(link, ['off']);
  }
  await xdp(peer, ['off']);
  return samples;
};

const rows = ({ nest, macswap: bare, lost }: Forwarding): Row[] => {
  const baseline = { figure: 'bare MAC swap, XDP_TX on veth', samples: bare };
  return [
    toRow({ figure: baseline.figure, unit: 'Mpps', samples: bare }),
    toRow({
      figure: 'verdict and NAT, XDP_TX on veth, 1 flow',
      unit: 'Mpps',
      samples: nest,
      baseline,
      target: { op: '>=', value: shareMin },
    }),
    toRow({ figure: 'packets not forwarded in all rounds', unit: 'packets', samples: [lost], target: { op: '<=', value: 0 } }),
  ];
};

export const forwardSection: Section<Forwarding> = { name: 'forward', measure, rows };
