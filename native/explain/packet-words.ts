import { addressFromBytes, formatAddress } from '../image/api.ts';
import { traceParse } from './packet-trace.ts';
import type { PacketTrace } from './packet-trace.ts';

/** What a packet is, for people. What the data path has parsed is taken from its trace, never parsed a second time. */
export interface PacketWords {
  /** For instance ["Ethernet", "802.1Q 120", "IPv4 (no options)", "TCP SYN"]. */
  readonly layers: readonly string[];
  /** Address with port where there is one; empty when not reached. */
  readonly source: string;
  readonly destination: string;
  /** As the policy is asked; null when the packet is not IP or was not parsed that far. */
  readonly tuple: PacketTuple | null;
}

interface PacketTuple {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly protocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

const ethernetBytes = 14;
const tagBytes = 4;
const tcp = 6;
const udp = 17;
const protocolNames: Readonly<Record<number, string>> = {
  1: 'ICMP',
  2: 'IGMP',
  6: 'TCP',
  17: 'UDP',
  47: 'GRE',
  50: 'ESP',
  58: 'ICMPv6',
  132: 'SCTP',
};
const etherNames: Readonly<Record<number, string>> = { 0x0806: 'ARP', 0x88cc: 'LLDP', 0x8847: 'MPLS', 0x8809: 'slow protocols' };
const tcpFlagNames = ['FIN', 'SYN', 'RST', 'PSH', 'ACK', 'URG'];
/** IPv6 extension headers whose length is in their second byte. */
const lengthHeaders = new Set([0, 43, 60, 135, 139, 140]);
const fragmentHeader = 44;
const authenticationHeader = 51;
const extensionsMax = 8;

/** The packet in words. Never raises: what lies behind the end of the packet is left out. */
export const packetWords = (
  packet: Uint8Array,
  trace: Pick<PacketTrace, 'family' | 'vlanTags' | 'l4' | 'l4Offset' | 'parse'>,
): PacketWords => {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  const layers = ['Ethernet', ...tagWords(view, trace.vlanTags)];
  const start = ethernetBytes + trace.vlanTags * tagBytes;
  const tuple = trace.family === 0 ? null : tupleOf(packet, start, trace);
  if (trace.family === 0) {
    const type = packet.length >= start ? view.getUint16(start - 2) : 0;
    layers.push(etherNames[type] ?? `type 0x${type.toString(16).padStart(4, '0')}`);
  } else {
    const isSpecial = (trace.parse & (trace.family === 4 ? traceParse.ipv4Options : traceParse.ipv6Extensions)) !== 0;
    layers.push(
      trace.family === 4
        ? `IPv4 (${isSpecial ? 'options' : 'no options'})`
        : `IPv6 (${isSpecial ? 'extension headers' : 'no extension headers'})`,
    );
    if (tuple !== null && trace.l4Offset !== 0) layers.push(transportWords(packet, tuple.protocol, trace.l4Offset));
  }
  return { layers, source: endpointWords(tuple, 'source'), destination: endpointWords(tuple, 'destination'), tuple };
};

const tagWords = (view: DataView, tags: number): string[] =>
  Array.from({ length: tags }, (_, position) => {
    const offset = ethernetBytes + position * tagBytes;
    const name = tags > 1 && position === 0 ? '802.1ad' : '802.1Q';
    return offset + 2 <= view.byteLength ? `${name} ${String(view.getUint16(offset) & 0xfff)}` : name;
  });

const tupleOf = (
  packet: Uint8Array,
  start: number,
  trace: Pick<PacketTrace, 'family' | 'l4' | 'l4Offset' | 'parse'>,
): PacketTuple | null => {
  const size = trace.family === 4 ? 4 : 16;
  const addresses = start + (trace.family === 4 ? 12 : 8);
  if (addresses + 2 * size > packet.length) return null;
  const protocol = trace.family === 4 ? packet[start + 9] : upperProtocol(packet, start);
  if (protocol === undefined) return null;
  const hasPorts =
    (protocol === tcp || protocol === udp) &&
    trace.l4Offset !== 0 &&
    trace.l4Offset + 4 <= packet.length &&
    (trace.parse & traceParse.laterFragment) === 0;
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  return {
    source: packet.subarray(addresses, addresses + size),
    destination: packet.subarray(addresses + size, addresses + 2 * size),
    protocol,
    sourcePort: hasPorts ? view.getUint16(trace.l4Offset) : 0,
    destinationPort: hasPorts ? view.getUint16(trace.l4Offset + 2) : 0,
  };
};

const upperProtocol = (packet: Uint8Array, start: number): number | undefined => {
  let next = packet[start + 6];
  let offset = start + 40;
  for (let count = 0; count <= extensionsMax && next !== undefined; count++) {
    const length = packet[offset + 1];
    if (!lengthHeaders.has(next) && next !== fragmentHeader && next !== authenticationHeader) return next;
    if (length === undefined) return undefined;
    const bytes = next === fragmentHeader ? 8 : next === authenticationHeader ? (length + 2) * 4 : (length + 1) * 8;
    next = packet[offset];
    offset += bytes;
  }
  return next;
};

const transportWords = (packet: Uint8Array, protocol: number, offset: number): string => {
  const name = protocolNames[protocol] ?? `protocol ${String(protocol)}`;
  const flags = packet[offset + 13];
  if (protocol === tcp && flags !== undefined) {
    const set = tcpFlagNames.filter((_, bit) => (flags & (1 << bit)) !== 0);
    return set.length === 0 ? `${name} without flags` : `${name} ${set.join(' ')}`;
  }
  const type = packet[offset];
  return (protocol === 1 || protocol === 58) && type !== undefined ? `${name} type ${String(type)}` : name;
};

const endpointWords = (tuple: PacketTuple | null, side: 'source' | 'destination'): string => {
  if (tuple === null) return '';
  const address = addressFromBytes(tuple[side]);
  const text = address === undefined ? '' : formatAddress(address);
  if (tuple.protocol !== tcp && tuple.protocol !== udp) return text;
  const port = side === 'source' ? tuple.sourcePort : tuple.destinationPort;
  return text.includes(':') ? `[${text}]:${String(port)}` : `${text}:${String(port)}`;
};
