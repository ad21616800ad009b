/** Random packets that are each the first of a flow: whoever judges them, with or without a memory, judges the packet alone. */
import type { PolicyDocument } from '../../../native/image/policy-schema.ts';
import { buildPacket, tcpFlags } from '../../../test/support/packet.ts';
import type { Extension, PacketSpec, Transport } from '../../../test/support/packet.ts';
import { randomAddress, randomPort } from '../../../test/support/packet-random.ts';
import type { Random } from '../../../test/support/random-policy.ts';

export interface FirstPacket {
  readonly spec: PacketSpec;
  readonly bytes: Buffer;
}

/** More draws than this for one packet: the policy has too few addresses for so many flows. */
const drawsMax = 1000;
const sourceMacOffset = 6;

/**
 * So many packets between the policy's addresses. The number of each is in its source address of Ethernet, which no judge
 * of IP looks at: see {@link macOf}.
 *
 * @throws RangeError when there are not so many flows.
 */
export const firstPackets = (random: Random, policy: PolicyDocument, count: number): readonly FirstPacket[] => {
  // Addresses of deny lists are asked for like those of services.
  const listed = (policy.denyLists ?? []).map(({ name, prefixes = [] }) => ({ name, addresses: prefixes }));
  const known = { ...policy, services: [...policy.services, ...listed] };
  const seen = new Set<string>();
  return Array.from({ length: count }, (_, number) => {
    for (let draw = 0; draw < drawsMax; draw += 1) {
      const spec = randomSpec(random, known);
      const flow = flowOf(spec);
      if (seen.has(flow)) continue;
      seen.add(flow);
      const bytes = Buffer.from(buildPacket(spec));
      bytes.set(Buffer.from(macOf(number).replaceAll(':', ''), 'hex'), sourceMacOffset);
      return { spec, bytes };
    }
    throw new RangeError(`no packet of a new flow in ${String(drawsMax)} draws`);
  });
};

/** The Ethernet address that packet `number`, 0 to 16,777,215, comes from: locally administered, as the kernel writes it. */
export const macOf = (number: number): string =>
  `02:4e:53:${[16, 8, 0].map((shift) => ((number >> shift) & 255).toString(16).padStart(2, '0')).join(':')}`;

/** The same for both directions of a flow. */
const flowOf = ({ source, destination, transport }: PacketSpec): string => {
  const { kind } = transport;
  const [from, to] =
    kind === 'tcp' || kind === 'udp'
      ? [transport.sourcePort, transport.destinationPort]
      : [kind === 'icmp' ? (transport.identifier ?? 0) : transport.protocol, 0];
  const ends = kind === 'tcp' || kind === 'udp' ? [`${source}#${String(from)}`, `${destination}#${String(to)}`] : [source, destination];
  return `${kind} ${kind === 'icmp' || kind === 'raw' ? String(from) : ''} ${ends.sort().join(' ')}`;
};

const randomSpec = (random: Random, policy: PolicyDocument): PacketSpec => {
  const isIpv4 = random.chance(0.55);
  return {
    source: randomAddress(random, policy, isIpv4),
    destination: randomAddress(random, policy, isIpv4),
    transport: randomTransport(random, isIpv4),
    payloadBytes: random.pick([0, 0, 1, 18, 64]),
    hopLimit: random.pick([1, 64, 255, 255]),
    optionWords: isIpv4 ? random.pick([0, 0, 0, 1, 10]) : 0,
    extensions: isIpv4 || random.chance(0.75) ? [] : randomExtensions(random),
  };
};

const randomTransport = (random: Random, isIpv4: boolean): Transport => {
  const ports = { sourcePort: random.between(0, 65_535), destinationPort: randomPort(random) };
  const choice = random.next();
  if (choice < 0.4) return { kind: 'tcp', ...ports, flags: random.pick([tcpFlags.syn, tcpFlags.syn, tcpFlags.ack, tcpFlags.reset]) };
  if (choice < 0.7) return { kind: 'udp', ...ports };
  // The other family's ICMP, in a packet of this one, is a protocol like any other.
  if (choice < 0.8) return { kind: 'raw', protocol: random.pick([2, 47, 50, 89, 132, isIpv4 ? 58 : 1]) };
  const types = isIpv4 ? [0, 3, 8, 8, 11, 13] : [1, 128, 128, 129, 132, 133, 134, 135, 136, 137, 138];
  return { kind: 'icmp', type: random.pick(types), identifier: random.between(1, 65_535), sequence: 1 };
};

/**
 * Hop-by-hop options only in front, as the kernel's own parser wants them. No authentication header: nftables takes it for the
 * upper-layer protocol and never sees the ports behind it, which the data path judges.
 */
const randomExtensions = (random: Random): Extension[] => [
  ...(random.chance(0.3) ? (['hop-by-hop'] as const) : []),
  ...Array.from({ length: random.between(1, 4) }, () => random.pick<Extension>(['routing', 'destination'])),
];
