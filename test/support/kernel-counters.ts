/** What the kernel itself counted in a namespace of the lab: the second witness beside the product's counters. */
import type { Lab } from '../lab/lab.ts';

export interface DatagramCounters {
  /** Datagrams handed to the network by sockets, both families. */
  readonly sent: number;
  /** Datagrams that reached the transport layer, whether a socket took them or not. */
  readonly arrived: number;
}

const pick = (text: string, names: readonly string[]): number => {
  const rows = text.split('\n').map((line) => line.trim().split(/\s+/));
  let sum = 0;
  for (const name of names) {
    // /proc/net/snmp6 has one name and value a line.
    const row = rows.find(([key]) => key === name);
    if (row === undefined) throw new Error(`the kernel has no counter ${name}`);
    sum += Number(row[1]);
  }
  return sum;
};

/** /proc/net/snmp as "UdpInDatagrams 5" lines. */
const flatten = (text: string): string => {
  const lines = text.trim().split('\n');
  const flat: string[] = [];
  for (let index = 0; index + 1 < lines.length; index += 2) {
    const [title = '', ...names] = (lines[index] ?? '').split(/\s+/);
    const [, ...values] = (lines[index + 1] ?? '').split(/\s+/);
    for (const [column, name] of names.entries()) flat.push(`${title.replace(':', '')}${name} ${values[column] ?? '0'}`);
  }
  return flat.join('\n');
};

/** UDP of both families in a place of the lab. */
export const datagramCounters = async (lab: Lab, place: string): Promise<DatagramCounters> => {
  const v4 = flatten((await lab.exec(place, ['cat', '/proc/net/snmp'])).stdout);
  const v6 = (await lab.exec(place, ['cat', '/proc/net/snmp6'])).stdout;
  return {
    sent: pick(v4, ['UdpOutDatagrams']) + pick(v6, ['Udp6OutDatagrams']),
    arrived: pick(v4, ['UdpInDatagrams', 'UdpInErrors', 'UdpNoPorts']) + pick(v6, ['Udp6InDatagrams', 'Udp6InErrors', 'Udp6NoPorts']),
  };
};

/** Packets that a link's queue dropped on their way out or in: loss of the generator, not of the path. */
export const queueDrops = async (lab: Lab, place: string, link: string): Promise<number> => {
  const { stdout } = await lab.exec(place, ['ip', '-s', '-json', 'link', 'show', link]);
  const [row] = JSON.parse(stdout) as { stats64: { tx: { dropped: number }; rx: { dropped: number } } }[];
  if (row === undefined) throw new Error(`${link} is missing in ${place}`);
  return row.stats64.tx.dropped + row.stats64.rx.dropped;
};
