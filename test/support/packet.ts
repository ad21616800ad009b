/**
 * Builds packets for tests, from the Ethernet header on, with right lengths and checksums: Ethernet, 802.1Q and QinQ, IPv4 with
 * options, IPv6 with extension headers, TCP, UDP, ICMP, ICMPv6 and fragments. Knows nothing of the product's own parsers.
 */

export type Transport =
  | { readonly kind: 'tcp'; readonly sourcePort: number; readonly destinationPort: number; readonly flags?: number | undefined }
  | { readonly kind: 'udp'; readonly sourcePort: number; readonly destinationPort: number }
  /** ICMP in IPv4, ICMPv6 in IPv6. */
  | {
      readonly kind: 'icmp';
      readonly type: number;
      readonly code?: number | undefined;
      readonly identifier?: number | undefined;
      readonly sequence?: number | undefined;
    }
  | { readonly kind: 'raw'; readonly protocol: number };

export type Extension = 'hop-by-hop' | 'routing' | 'destination' | 'authentication';

export interface PacketSpec {
  readonly source: string;
  readonly destination: string;
  readonly transport: Transport;
  /** Bytes behind the transport header; default 0. */
  readonly payloadBytes?: number | undefined;
  /** VLAN identifiers, outer first; the first of several is 802.1ad. */
  readonly vlans?: readonly number[] | undefined;
  /** Time to live or hop limit; default 64. */
  readonly hopLimit?: number | undefined;
  /** Four-byte words of IPv4 options, 0..10; default 0. */
  readonly optionWords?: number | undefined;
  /** IPv6 extension headers, in order; a fragment header comes behind them. */
  readonly extensions?: readonly Extension[] | undefined;
  /** Makes it a fragment: the transport header is there only when the offset is 0. */
  readonly fragment?: { readonly identification: number; readonly offsetBytes: number; readonly more: boolean } | undefined;
}

export const tcpFlags = { fin: 1, syn: 2, reset: 4, push: 8, ack: 16 } as const;

/** The packet. */
export const buildPacket = (spec: PacketSpec): Uint8Array => {
  const source = addressBytes(spec.source);
  const destination = addressBytes(spec.destination);
  if (source.length !== destination.length) throw new RangeError('Source and destination are of different families.');
  const isIpv4 = source.length === 4;
  const protocol = protocolNumber(spec.transport, isIpv4);
  const isLater = spec.fragment !== undefined && spec.fragment.offsetBytes > 0;
  const payload = Uint8Array.from({ length: spec.payloadBytes ?? 0 }, (_, position) => position & 0xff);
  const body = isLater ? payload : transportBytes(spec.transport, payload, { source, destination, protocol });
  const ip = isIpv4 ? ipv4Bytes(spec, body, { source, destination, protocol }) : ipv6Bytes(spec, body, { source, destination, protocol });
  return concat([ethernetBytes(spec.vlans ?? [], isIpv4 ? 0x0800 : 0x86dd), ip]);
};

/** A frame of another protocol, for instance 0x0806 (ARP). */
export const buildFrame = (etherType: number, body: Uint8Array, vlans: readonly number[] = []): Uint8Array =>
  concat([ethernetBytes(vlans, etherType), body]);

/** Network-order bytes of an address in text: 4 or 16. */
export const addressBytes = (text: string): Uint8Array => {
  if (!text.includes(':')) return Uint8Array.from(text.split('.'), Number);
  const [head = '', tail] = text.split('::');
  const groups = (part: string): number[] => (part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16)));
  const before = groups(head);
  const after = tail === undefined ? [] : groups(tail);
  const all = [...before, ...Array.from({ length: 8 - before.length - after.length }, () => 0), ...after];
  return Uint8Array.from(all.flatMap((group) => [group >> 8, group & 0xff]));
};

interface Addresses {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly protocol: number;
}

const protocolNumber = (transport: Transport, isIpv4: boolean): number => {
  switch (transport.kind) {
    case 'tcp':
      return 6;
    case 'udp':
      return 17;
    case 'icmp':
      return isIpv4 ? 1 : 58;
    default:
      return transport.protocol;
  }
};

const ethernetBytes = (vlans: readonly number[], etherType: number): Uint8Array => {
  const tags = vlans.map((id, position) => Uint8Array.of(...word16(position === 0 && vlans.length > 1 ? 0x88a8 : 0x8100), ...word16(id)));
  return concat([Uint8Array.of(2, 0, 0, 0, 0, 2), Uint8Array.of(2, 0, 0, 0, 0, 1), ...tags, Uint8Array.of(...word16(etherType))]);
};

const ipv4Bytes = (spec: PacketSpec, body: Uint8Array, addresses: Addresses): Uint8Array => {
  const words = spec.optionWords ?? 0;
  const header = new Uint8Array(20 + words * 4);
  const view = new DataView(header.buffer);
  header[0] = 0x40 | (5 + words);
  view.setUint16(2, header.length + body.length);
  view.setUint16(4, spec.fragment?.identification ?? 0);
  view.setUint16(6, spec.fragment === undefined ? 0x4000 : (spec.fragment.more ? 0x2000 : 0) | (spec.fragment.offsetBytes >> 3));
  header[8] = spec.hopLimit ?? 64;
  header[9] = addresses.protocol;
  header.set(addresses.source, 12);
  header.set(addresses.destination, 16);
  header.fill(1, 20);
  view.setUint16(10, checksum([header]));
  return concat([header, body]);
};

const extensionNumbers: Readonly<Record<Extension, number>> = { 'hop-by-hop': 0, routing: 43, destination: 60, authentication: 51 };

const ipv6Bytes = (spec: PacketSpec, body: Uint8Array, addresses: Addresses): Uint8Array => {
  const chain: { number: number; bytes: Uint8Array }[] = (spec.extensions ?? []).map((name) => ({
    number: extensionNumbers[name],
    bytes: extensionBytes(name),
  }));
  if (spec.fragment !== undefined) chain.push({ number: 44, bytes: fragmentHeader(spec.fragment) });
  for (const [position, extension] of chain.entries()) extension.bytes[0] = chain[position + 1]?.number ?? addresses.protocol;
  const extensions = concat(chain.map(({ bytes }) => bytes));
  const header = new Uint8Array(40);
  header[0] = 0x60;
  new DataView(header.buffer).setUint16(4, extensions.length + body.length);
  header[6] = chain[0]?.number ?? addresses.protocol;
  header[7] = spec.hopLimit ?? 64;
  header.set(addresses.source, 8);
  header.set(addresses.destination, 24);
  return concat([header, extensions, body]);
};

/** Eight bytes of padding options, or an authentication header of 24; its next header is filled in by the caller. */
const extensionBytes = (name: Extension): Uint8Array => {
  if (name === 'authentication') {
    const header = new Uint8Array(24);
    header[1] = 4;
    return header;
  }
  return name === 'routing' ? new Uint8Array(8) : Uint8Array.of(0, 0, 1, 4, 0, 0, 0, 0);
};

const fragmentHeader = (fragment: {
  readonly identification: number;
  readonly offsetBytes: number;
  readonly more: boolean;
}): Uint8Array => {
  const header = new Uint8Array(8);
  const view = new DataView(header.buffer);
  view.setUint16(2, (fragment.offsetBytes & 0xfff8) | (fragment.more ? 1 : 0));
  view.setUint32(4, fragment.identification);
  return header;
};

const transportBytes = (transport: Transport, payload: Uint8Array, addresses: Addresses): Uint8Array => {
  switch (transport.kind) {
    case 'tcp': {
      const header = new Uint8Array(20);
      header.set([...word16(transport.sourcePort), ...word16(transport.destinationPort)]);
      header[12] = 0x50;
      header[13] = transport.flags ?? tcpFlags.ack;
      header.set([0xff, 0xff], 14);
      return withChecksum(concat([header, payload]), 16, addresses);
    }
    case 'udp': {
      const header = Uint8Array.of(
        ...word16(transport.sourcePort),
        ...word16(transport.destinationPort),
        ...word16(8 + payload.length),
        0,
        0,
      );
      return withChecksum(concat([header, payload]), 6, addresses);
    }
    case 'icmp': {
      const header = Uint8Array.of(
        transport.type,
        transport.code ?? 0,
        0,
        0,
        ...word16(transport.identifier ?? 0),
        ...word16(transport.sequence ?? 0),
      );
      return withChecksum(concat([header, payload]), 2, addresses);
    }
    default:
      return payload;
  }
};

/** Fills in the checksum, over a pseudo-header except for ICMP in IPv4. */
const withChecksum = (bytes: Uint8Array, offset: number, { source, destination, protocol }: Addresses): Uint8Array => {
  const pseudo = concat([source, destination, Uint8Array.of(0, 0, ...word16(bytes.length), 0, 0, 0, protocol)]);
  const sum = checksum(protocol === 1 ? [bytes] : [pseudo, bytes]);
  bytes.set(word16(protocol === 17 && sum === 0 ? 0xffff : sum), offset);
  return bytes;
};

/** Internet checksum (RFC 1071) over the parts in order; all but the last have even lengths. */
export const checksum = (parts: readonly Uint8Array[]): number => {
  let sum = 0;
  for (const part of parts) for (const [position, byte] of part.entries()) sum += position % 2 === 0 ? byte << 8 : byte;
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 65_536);
  return ~sum & 0xffff;
};

const word16 = (value: number): [number, number] => [(value >> 8) & 0xff, value & 0xff];

const concat = (parts: readonly Uint8Array[]): Uint8Array => {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    all.set(part, offset);
    offset += part.length;
  }
  return all;
};
