/** Random packets from a seed: well-formed ones that meet a policy, and broken ones. */
import type { PolicyDocument } from '../../native/image/policy-schema.ts';
import { addressBytes, buildFrame, buildPacket, tcpFlags } from './packet.ts';
import type { Extension, PacketSpec, Transport } from './packet.ts';
import { interestingPorts, randomIpv4, randomIpv6 } from './random-policy.ts';
import type { Random } from './random-policy.ts';

/** A well-formed packet, mostly between addresses of the policy's services. */
const randomPacketSpec = (random: Random, policy: PolicyDocument): PacketSpec => {
  const isIpv4 = random.chance(0.6);
  const address = (): string => randomAddress(random, policy, isIpv4);
  return {
    source: address(),
    destination: address(),
    transport: randomTransport(random, isIpv4),
    payloadBytes: random.pick([0, 0, 1, 18, 64, 512]),
    vlans: random.pick([[], [], [], [42], [100, 42]]),
    hopLimit: random.pick([1, 64, 64, 255]),
    optionWords: isIpv4 ? random.pick([0, 0, 0, 1, 10]) : 0,
    extensions: isIpv4 ? [] : randomExtensions(random),
    fragment: random.chance(0.15)
      ? { identification: random.between(1, 8), offsetBytes: random.pick([0, 0, 8, 1480]), more: random.chance(0.7) }
      : undefined,
  };
};

/** Packets for differential tests that belong together: replies, further packets of a flow, later fragments. */
export class PacketStream {
  readonly #random: Random;
  readonly #policy: PolicyDocument;
  readonly #recent: PacketSpec[] = [];

  constructor(random: Random, policy: PolicyDocument) {
    this.#random = random;
    this.#policy = policy;
  }

  next(): Uint8Array {
    const random = this.#random;
    if (random.chance(0.03))
      return buildFrame(
        random.pick([0x0806, 0x88cc, 0x0100, 0x86dd, 0x0800]),
        new Uint8Array(random.between(0, 60)),
        random.pick([[], [7], [7, 8], [7, 8, 9]]),
      );
    const spec =
      this.#recent.length > 0 && random.chance(0.5)
        ? relatedSpec(random, random.pick(this.#recent))
        : randomPacketSpec(random, this.#policy);
    if (this.#recent.push(spec) > recentMax) this.#recent.shift();
    const packet = buildPacket(spec);
    return random.chance(0.2) ? mutatePacket(random, packet) : packet;
  }
}

const recentMax = 64;

/** Another packet of the same flow, in either direction, or a later fragment of the same datagram. */
const relatedSpec = (random: Random, spec: PacketSpec): PacketSpec => {
  if (spec.fragment !== undefined)
    return { ...spec, fragment: { ...spec.fragment, offsetBytes: random.pick([0, 24, 1480]), more: random.chance(0.7) } };
  const transport = spec.transport.kind === 'tcp' ? { ...spec.transport, flags: randomTcpFlags(random) } : spec.transport;
  if (random.chance(0.4)) return { ...spec, transport };
  const isPorted = transport.kind === 'tcp' || transport.kind === 'udp';
  const swapped = isPorted ? { ...transport, sourcePort: transport.destinationPort, destinationPort: transport.sourcePort } : transport;
  return { ...spec, source: spec.destination, destination: spec.source, transport: swapped };
};

/** The same packet, damaged: cut, grown, or with bytes changed, mostly in its headers. At least 14 bytes stay. */
const mutatePacket = (random: Random, packet: Uint8Array): Uint8Array => {
  const kind = random.between(0, 3);
  if (kind === 0) return packet.slice(0, random.between(14, packet.length));
  if (kind === 1) {
    const grown = new Uint8Array(packet.length + random.between(1, 40));
    grown.set(packet);
    return grown;
  }
  const changed = packet.slice();
  const reach = kind === 2 ? Math.min(changed.length, 70) : changed.length;
  for (let count = random.between(1, 3); count > 0; count--) changed[random.between(12, reach - 1)] = random.between(0, 255);
  return changed;
};

/** An address inside a random service of the policy, or now and then anywhere near. */
export const randomAddress = (random: Random, policy: PolicyDocument, isIpv4: boolean): string => {
  const prefixes = policy.services
    .flatMap(({ addresses }) => addresses)
    .filter((text) => text.includes(':') !== isIpv4 && !text.endsWith('/0'));
  if (prefixes.length === 0 || random.chance(0.2)) return isIpv4 ? randomIpv4(random) : randomIpv6(random);
  const [network = '', lengthText] = random.pick(prefixes).split('/');
  const bytes = addressBytes(network);
  const length = lengthText === undefined ? bytes.length * 8 : Number(lengthText);
  for (let bit = length; bit < bytes.length * 8; bit++)
    if (random.chance(0.5)) bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) | (0x80 >> (bit & 7));
  return isIpv4
    ? bytes.join('.')
    : Array.from({ length: 8 }, (_, group) => (((bytes[group * 2] ?? 0) << 8) | (bytes[group * 2 + 1] ?? 0)).toString(16)).join(':');
};

/** A port the policy may speak of. */
export const randomPort = (random: Random): number => (random.chance(0.8) ? random.pick(interestingPorts) : random.between(0, 65_535));

const randomTransport = (random: Random, isIpv4: boolean): Transport => {
  const ports = { sourcePort: random.between(32_768, 60_999), destinationPort: randomPort(random) };
  switch (random.between(0, 9)) {
    case 0:
    case 1:
    case 2:
    case 3:
      return { kind: 'tcp', ...ports, flags: randomTcpFlags(random) };
    case 4:
    case 5:
    case 6:
      return { kind: 'udp', ...ports };
    case 7:
    case 8:
      return {
        kind: 'icmp',
        type: random.pick(isIpv4 ? [8, 8, 0, 3, 11] : [128, 128, 129, 1, 133, 135, 136]),
        identifier: random.between(1, 5),
        sequence: 1,
      };
    default:
      return { kind: 'raw', protocol: random.pick([2, 47, 50, 89, 132]) };
  }
};

const randomTcpFlags = (random: Random): number =>
  random.pick([
    tcpFlags.syn,
    tcpFlags.syn,
    tcpFlags.ack,
    tcpFlags.ack,
    tcpFlags.syn | tcpFlags.ack,
    tcpFlags.fin | tcpFlags.ack,
    tcpFlags.reset,
  ]);

const randomExtensions = (random: Random): Extension[] => {
  if (random.chance(0.75)) return [];
  return Array.from({ length: random.pick([1, 1, 2, 3, 8, 9]) }, () =>
    random.pick<Extension>(['hop-by-hop', 'routing', 'destination', 'authentication']),
  );
};
