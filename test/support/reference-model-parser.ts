/**
 * Reads a packet the slow and obvious way. Every read checks that the byte is there; what is not there is TRUNCATED, what
 * contradicts itself is MALFORMED. Written from the words of the policy's meaning, not from the data path's code.
 */
import type { ReasonName } from '../../proto/model/reason.ts';

export interface ParsedPacket {
  readonly family: 4 | 6;
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  /** Upper-layer IP protocol number. */
  readonly protocol: number;
  readonly transport: 'tcp' | 'udp' | 'icmp' | 'other' | undefined;
  /** ICMP echo: the identifier, in both. */
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly tcpFlags: number;
  /** Of the transport header, from the Ethernet header on; 0 in a later fragment. */
  readonly transportOffset: number;
  /** False for ICMP other than echo: each packet is judged alone. */
  readonly hasFlow: boolean;
  readonly fragment: 'none' | 'first' | 'later';
  readonly identification: number;
  /** Protocol that the fragments of a datagram have in common. */
  readonly fragmentProtocol: number;
}

/** Thrown inside the parser: the packet is decided without policy. */
export class Decided extends Error {
  readonly reason: ReasonName;

  constructor(reason: ReasonName) {
    super(reason);
    this.reason = reason;
  }
}

const vlanTypes = [0x8100, 0x88a8];
const extensionTypes = [0, 43, 44, 51, 60];
const tcpHeaderBytes = 20;

/** Parses from the Ethernet header on. Raises {@link Decided} when the packet alone says what happens to it. */
export const parsePacket = (packet: Uint8Array): ParsedPacket => {
  let reader = new Reader(packet);
  reader.skip(12);
  let etherType = reader.number(2);
  for (let tags = 0; tags < 2 && vlanTypes.includes(etherType); tags++) {
    reader.skip(2);
    etherType = reader.number(2);
  }
  if (vlanTypes.includes(etherType)) throw new Decided('TOO_MANY_TAGS');
  if (etherType === 0x0806) throw new Decided('ARP');
  if (etherType !== 0x0800 && etherType !== 0x86dd) throw new Decided('NOT_IP');
  reader = reader.rest();
  return etherType === 0x0800 ? parseIpv4(reader) : parseIpv6(reader);
};

const parseIpv4 = (packet: Reader): ParsedPacket => {
  packet.need(20);
  const [version, headerBytes] = [packet.peek(0) >> 4, (packet.peek(0) & 15) * 4];
  if (version !== 4 || headerBytes < 20) throw new Decided('MALFORMED');
  packet.need(headerBytes);
  const totalBytes = packet.peek16(2);
  if (totalBytes < headerBytes) throw new Decided('MALFORMED');
  packet.need(totalBytes);
  const fragment = packet.peek16(6);
  const head = {
    family: 4 as const,
    source: packet.bytes(12, 4),
    destination: packet.bytes(16, 4),
    protocol: packet.peek(9),
    hopLimit: 0,
    identification: packet.peek16(4),
    fragmentProtocol: packet.peek(9),
    fragment: fragmentKind((fragment & 0x1fff) * 8, (fragment & 0x2000) !== 0, packet.peek(9)),
  };
  return parseTransport(packet.part(headerBytes, totalBytes), head);
};

const parseIpv6 = (packet: Reader): ParsedPacket => {
  packet.need(40);
  if (packet.peek(0) >> 4 !== 6) throw new Decided('MALFORMED');
  const end = 40 + packet.peek16(4);
  packet.need(end);
  let rest = packet.part(40, end);
  let head: Head = {
    family: 6,
    source: packet.bytes(8, 16),
    destination: packet.bytes(24, 16),
    protocol: packet.peek(6),
    hopLimit: packet.peek(7),
    identification: 0,
    fragmentProtocol: 0,
    fragment: 'none',
  };
  for (let count = 0; extensionTypes.includes(head.protocol); count++) {
    if (count === 8) throw new Decided('TOO_MANY_HEADERS');
    rest.need(8);
    const type = head.protocol;
    const next = rest.peek(0);
    if (type === 44) {
      const kind = fragmentKind(rest.peek16(2) & 0xfff8, (rest.peek16(2) & 1) !== 0, next);
      head = {
        ...head,
        fragment: kind === 'none' ? head.fragment : kind,
        identification: rest.peek16(4) * 65_536 + rest.peek16(6),
        fragmentProtocol: next,
      };
      if (kind === 'later') return parseTransport(rest, { ...head, protocol: next });
    }
    const bytes = type === 44 ? 8 : type === 51 ? (rest.peek(1) + 2) * 4 : (rest.peek(1) + 1) * 8;
    rest.need(bytes);
    rest = rest.part(bytes, rest.length);
    head = { ...head, protocol: next };
  }
  return parseTransport(rest, head);
};

/** A later fragment that could overwrite a TCP header is refused. */
const fragmentKind = (offsetBytes: number, hasMore: boolean, protocol: number): 'none' | 'first' | 'later' => {
  if (offsetBytes === 0) return hasMore ? 'first' : 'none';
  if (protocol === 6 && offsetBytes < tcpHeaderBytes) throw new Decided('MALFORMED');
  return 'later';
};

interface Head extends Pick<
  ParsedPacket,
  'family' | 'source' | 'destination' | 'protocol' | 'fragment' | 'identification' | 'fragmentProtocol'
> {
  readonly hopLimit: number;
}

const parseTransport = (body: Reader, { hopLimit, ...head }: Head): ParsedPacket => {
  const plain = { ...head, transportOffset: body.offset, sourcePort: 0, destinationPort: 0, tcpFlags: 0, hasFlow: true };
  if (head.fragment === 'later') return { ...plain, transportOffset: 0, transport: undefined, hasFlow: false };
  if (head.protocol === 6) {
    body.need(tcpHeaderBytes);
    const headerBytes = (body.peek(12) >> 4) * 4;
    if (headerBytes < tcpHeaderBytes) throw new Decided('MALFORMED');
    body.need(headerBytes);
    return { ...plain, transport: 'tcp', sourcePort: body.peek16(0), destinationPort: body.peek16(2), tcpFlags: body.peek(13) };
  }
  if (head.protocol === 17) {
    body.need(8);
    return { ...plain, transport: 'udp', sourcePort: body.peek16(0), destinationPort: body.peek16(2) };
  }
  if (head.protocol !== (head.family === 4 ? 1 : 58)) return { ...plain, transport: 'other' };
  body.need(4);
  const type = body.peek(0);
  const isNeighborDiscovery = head.family === 6 && type >= 133 && type <= 137 && hopLimit === 255 && head.fragment === 'none';
  if (isNeighborDiscovery) throw new Decided('NEIGHBOR_DISCOVERY');
  const isEcho = (head.family === 4 ? [0, 8] : [128, 129]).includes(type);
  if (!isEcho) return { ...plain, transport: 'icmp', hasFlow: false };
  body.need(8);
  return { ...plain, transport: 'icmp', sourcePort: body.peek16(4), destinationPort: body.peek16(4) };
};

/** Bytes with an end; reading past it decides the packet. */
class Reader {
  readonly #bytes: Uint8Array;
  readonly #frameOffset: number;
  #position = 0;

  constructor(bytes: Uint8Array, frameOffset = bytes.byteOffset) {
    this.#bytes = bytes;
    this.#frameOffset = frameOffset;
  }

  /** In the frame. */
  get offset(): number {
    return this.#bytes.byteOffset - this.#frameOffset;
  }

  get length(): number {
    return this.#bytes.length;
  }

  need(bytes: number): void {
    if (bytes > this.#bytes.length) throw new Decided('TRUNCATED');
  }

  skip(bytes: number): void {
    this.#position += bytes;
    this.need(this.#position);
  }

  number(bytes: number): number {
    const at = this.#position;
    this.skip(bytes);
    return this.#bytes.subarray(at, at + bytes).reduce((value, byte) => value * 256 + byte, 0);
  }

  peek(offset: number): number {
    this.need(offset + 1);
    return this.#bytes[offset] ?? 0;
  }

  peek16(offset: number): number {
    return this.peek(offset) * 256 + this.peek(offset + 1);
  }

  bytes(offset: number, count: number): Uint8Array {
    this.need(offset + count);
    return this.#bytes.slice(offset, offset + count);
  }

  part(from: number, to: number): Reader {
    return new Reader(this.#bytes.subarray(from, to), this.#frameOffset);
  }

  rest(): Reader {
    return this.part(this.#position, this.#bytes.length);
  }
}
