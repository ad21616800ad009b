/** Builds the first packet of a connection as it would be on the wire, checksums right. */
import { addressToBytes, parseAddress } from '../../../native/image/api.ts';
import { NestError } from '../../../proto/model/error.ts';

export interface PacketForm {
  readonly protocol: 'tcp' | 'udp' | 'icmp';
  readonly source: string;
  readonly destination: string;
  readonly sourcePort?: number | undefined;
  readonly destinationPort?: number | undefined;
  readonly tcpFlags?: 'syn' | 'syn-ack' | 'ack' | 'fin' | 'rst' | undefined;
  readonly vlan?: number | undefined;
}

/** First port of the dynamic range: what a client would use. */
const sourcePortDefault = 49_152;
const hopLimit = 64;
const flagBits = { syn: 0x02, 'syn-ack': 0x12, ack: 0x10, fin: 0x11, rst: 0x14 } as const;
/** Locally administered; the data path does not look at them. */
const destinationMac = [0x02, 0, 0, 0, 0, 0x01];
const sourceMac = [0x02, 0, 0, 0, 0, 0x02];

/** The frame from the Ethernet header on. Raises PACKET_INVALID when addresses or ports do not fit together. */
export const buildPacket = (form: PacketForm): Uint8Array => {
  const source = addressBytes(form.source, 'source');
  const destination = addressBytes(form.destination, 'destination');
  if (source.length !== destination.length)
    throw invalid('Source and destination are of different families. Enter two IPv4 or two IPv6 addresses.');
  const isIpv6 = source.length === 16;
  const protocol = { tcp: 6, udp: 17, icmp: isIpv6 ? 58 : 1 }[form.protocol];
  const segment = segmentOf(form, isIpv6);
  const checksumAt = { tcp: 16, udp: 6, icmp: 2 }[form.protocol];
  const pseudo = form.protocol === 'icmp' && !isIpv6 ? [] : pseudoHeader({ source, destination, protocol, length: segment.length });
  // In UDP a sum of zero is written as all ones: zero means that there is none.
  const sum = checksum([...pseudo, ...segment]);
  segment.set(bytesOf16(form.protocol === 'udp' && sum === 0 ? 0xffff : sum), checksumAt);
  const header = isIpv6
    ? ipv6Header({ source, destination, protocol, length: segment.length })
    : ipv4Header({ source, destination, protocol, length: segment.length });
  const tag = form.vlan === undefined ? [] : [0x81, 0x00, ...bytesOf16(form.vlan)];
  return Uint8Array.from([...destinationMac, ...sourceMac, ...tag, ...(isIpv6 ? [0x86, 0xdd] : [0x08, 0x00]), ...header, ...segment]);
};

const addressBytes = (text: string, side: string): Uint8Array => {
  const address = parseAddress(text);
  if (address === undefined) throw invalid(`The ${side} is not an IP address. Write for instance 198.18.4.7 or 2001:db8:4::7.`);
  return addressToBytes(address);
};

const segmentOf = (form: PacketForm, isIpv6: boolean): Uint8Array => {
  if (form.protocol === 'icmp') {
    if (form.destinationPort !== undefined || form.sourcePort !== undefined) throw invalid('ICMP has no ports. Leave them empty.');
    return Uint8Array.from([isIpv6 ? 128 : 8, 0, 0, 0, 0, 1, 0, 1]);
  }
  if (form.destinationPort === undefined) throw invalid(`Which port? A ${form.protocol.toUpperCase()} packet needs a destination port.`);
  const ports = [...bytesOf16(form.sourcePort ?? sourcePortDefault), ...bytesOf16(form.destinationPort)];
  if (form.protocol === 'udp') return Uint8Array.from([...ports, 0, 8, 0, 0]);
  const flags = flagBits[form.tcpFlags ?? 'syn'];
  return Uint8Array.from([...ports, 0, 0, 0, 1, 0, 0, 0, (flags & 0x10) === 0 ? 0 : 1, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
};

interface Carried {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly protocol: number;
  readonly length: number;
}

const ipv4Header = ({ source, destination, protocol, length }: Carried): Uint8Array => {
  const header = Uint8Array.from([0x45, 0, ...bytesOf16(20 + length), 0, 1, 0x40, 0, hopLimit, protocol, 0, 0, ...source, ...destination]);
  header.set(bytesOf16(checksum(header)), 10);
  return header;
};

const ipv6Header = ({ source, destination, protocol, length }: Carried): Uint8Array =>
  Uint8Array.from([0x60, 0, 0, 0, ...bytesOf16(length), protocol, hopLimit, ...source, ...destination]);

const pseudoHeader = ({ source, destination, protocol, length }: Carried): readonly number[] =>
  source.length === 16
    ? [...source, ...destination, 0, 0, ...bytesOf16(length), 0, 0, 0, protocol]
    : [...source, ...destination, 0, protocol, ...bytesOf16(length)];

const bytesOf16 = (value: number): [number, number] => [(value >>> 8) & 0xff, value & 0xff];

/** The Internet checksum: ones' complement of the ones' complement sum of 16-bit words. */
export const checksum = (bytes: ArrayLike<number>): number => {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
};

const invalid = (message: string): NestError => new NestError('PACKET_INVALID', message);

/** Bytes of hex text; blanks and colons between bytes are fine. Raises PACKET_INVALID. */
export const parseHex = (text: string): Uint8Array => {
  const digits = text.replaceAll(/[\s:]/g, '');
  if (digits.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(digits))
    throw invalid('The packet is not written in hex. Use two digits 0 to f for each byte.');
  const bytes = new Uint8Array(Buffer.from(digits, 'hex'));
  if (bytes.length < 14 || bytes.length > 1514) throw invalid('A packet has 14 to 1514 bytes, from the Ethernet header on.');
  return bytes;
};
