/**
 * What a policy does beyond allow and deny, as plainly as it can be said: deny lists, rate limits, and how the flow that a
 * packet begins is rewritten. Bytes are changed the slow way, with every checksum computed from nothing.
 */
import { changed } from '../../bpf/test/support/checksums.ts';
import { hashWord, positionOf, ringOf } from '../../bpf/test/support/maglev.ts';
import { backendSeed } from '../../native/image/flow-hash.ts';
import { formatAddress, parseAddress } from '../../native/image/address.ts';
import type { PolicyMapping } from '../../native/image/policy-schema.ts';
import type { PolicyRateLimit } from '../../native/image/action-schema.ts';
import type { VerdictInterface, VerdictRoute } from '../../native/wasm/index.ts';
import type { ReasonName } from '../../proto/model/reason.ts';
import { addressBytes } from './packet.ts';
import type { ParsedPacket } from './reference-model-parser.ts';

/** Where the host stands: `lanes` share the ports of source NAT, we are the first. */
export interface ReferenceSurroundings {
  readonly interfaceIndex: number;
  readonly interfaces: readonly VerdictInterface[];
  readonly routes: readonly VerdictRoute[];
  readonly lanes: number;
}

export interface ReferenceEnds {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

/** The ends a packet leaves with, and how. */
export interface ReferenceRewrite extends ReferenceEnds {
  readonly hidesSource: boolean;
  readonly isTranslated: boolean;
  /** Goes to a backend that answers by itself: only the MAC address changes. */
  readonly isDirect: boolean;
  readonly dscp: number | undefined;
}

const dscpValues = { P0: 46, P1: 34, P2: 18, P3: 0 } as const;
const billion = 1_000_000_000n;
const natPorts = { first: 32_768, count: 28_232 };
const hashSeed = 0x4e45_5354;
/** Ports that are tried for a flow. */
export const natTriesMax = 8;

/** The rewrite of the flow that the packet begins, its source port still open; undefined = none, or why there is no flow. */
export const rewriteFor = (
  mapping: PolicyMapping | undefined,
  packet: ParsedPacket,
  around: ReferenceSurroundings,
): ReferenceRewrite | ReasonName | undefined => {
  const { source, destination, sourcePort, destinationPort } = packet;
  const hasPorts = packet.transport === 'tcp' || packet.transport === 'udp';
  const dscp = mapping?.dscp === undefined ? undefined : dscpValues[mapping.dscp];
  let rewrite: ReferenceRewrite = {
    source,
    destination,
    sourcePort,
    destinationPort,
    hidesSource: false,
    isTranslated: false,
    isDirect: false,
    dscp,
  };
  if (mapping === undefined) return undefined;
  if (mapping.action === 'balance') {
    if (!hasPorts) return 'NOT_TRANSLATABLE';
    const backend = chooseBackend(mapping, packet);
    if (backend === undefined) return 'NO_BACKEND';
    const isDirect = mapping.nat === 'dsr';
    rewrite = { ...rewrite, ...backend, isDirect, isTranslated: !isDirect };
  }
  const hidesSource = doesHideSource(mapping, packet.family);
  if (mapping.action !== 'balance' && !hidesSource) return dscp === undefined ? undefined : rewrite;
  if (!hasPorts && !(packet.transport === 'icmp' && packet.hasFlow)) return 'NOT_TRANSLATABLE';
  const route = routeTo(rewrite.destination, around);
  if (rewrite.isDirect && route === undefined) return 'NO_ROUTE';
  if (!hidesSource) return rewrite;
  const own = ownAddress(mapping, packet.family, { route, around });
  return own === undefined ? 'NAT_EXHAUSTED' : { ...rewrite, source: own, hidesSource, isTranslated: true };
};

const chooseBackend = (
  mapping: PolicyMapping,
  packet: ParsedPacket,
): Pick<ReferenceRewrite, 'destination' | 'destinationPort'> | undefined => {
  const backends = (mapping.backends ?? []).map(({ name, address, port, weight, state }, index) => ({
    destination: addressBytes(address),
    port,
    index,
    weight: weight ?? 1,
    isUp: (state ?? 'up') === 'up',
    seed: backendSeed(name, canonical(address), port ?? 0),
  }));
  const eligible = backends.filter(({ destination, weight, isUp }) => destination.length === packet.source.length && weight > 0 && isUp);
  if (eligible.length === 0) return undefined;
  const position = positionOf(
    { ...packet, source: [...packet.source], destination: [...packet.destination] },
    mapping.affinity === 'source',
  );
  const chosen = backends[cachedRing(mapping, packet.family, eligible)[position] ?? 0];
  return chosen === undefined ? undefined : { destination: chosen.destination, destinationPort: chosen.port ?? packet.destinationPort };
};

const canonical = (text: string): string => {
  const address = parseAddress(text);
  if (address === undefined) throw new RangeError(`${text} is no address`);
  return formatAddress(address);
};

const rings = new WeakMap<PolicyMapping, Map<number, Uint16Array>>();

const cachedRing = (mapping: PolicyMapping, family: number, eligible: Parameters<typeof ringOf>[0]): Uint16Array => {
  const ofMapping = rings.get(mapping) ?? new Map<number, Uint16Array>();
  const ring = ofMapping.get(family) ?? ringOf(eligible);
  rings.set(mapping, ofMapping.set(family, ring));
  return ring;
};

const doesHideSource = ({ action, nat, sourceNat }: PolicyMapping, family: 4 | 6): boolean => {
  if (action === 'balance' && (nat === 'full' || nat === 'dsr')) return nat === 'full';
  return sourceNat !== undefined && (sourceNat === 'masquerade' || sourceNat.includes(':') === (family === 6));
};

const ownAddress = (
  { sourceNat }: PolicyMapping,
  family: 4 | 6,
  { route, around }: { readonly route: VerdictRoute | undefined; readonly around: ReferenceSurroundings },
): Uint8Array | undefined => {
  if (sourceNat !== undefined && sourceNat !== 'masquerade')
    return sourceNat.includes(':') === (family === 6) ? addressBytes(sourceNat) : undefined;
  const by = (wanted: number | undefined) => around.interfaces.find(({ index }) => index === wanted);
  const own = by(route?.egress) ?? by(around.interfaceIndex);
  const address = family === 4 ? own?.address4 : own?.address6;
  return address?.some((byte) => byte !== 0) === true ? address : undefined;
};

/** The longest prefix wins. */
const routeTo = (destination: Uint8Array, { routes }: ReferenceSurroundings): VerdictRoute | undefined =>
  routes
    .filter(({ prefix, length }) => prefix.length === destination.length && hasPrefix(destination, prefix, length))
    .sort((a, b) => b.length - a.length)[0];

const hasPrefix = (address: Uint8Array, prefix: Uint8Array, length: number): boolean => {
  for (let bit = 0; bit < length; bit++)
    if ((((address[bit >> 3] ?? 0) ^ (prefix[bit >> 3] ?? 0)) & (0x80 >> (bit & 7))) !== 0) return false;
  return true;
};

/** The port, or ICMP identifier, of a try: a function of the flow. */
export const natPort = (packet: ParsedPacket, attempt: number, { lanes }: ReferenceSurroundings): number => {
  const { source, destination, sourcePort, destinationPort } = packet;
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(sourcePort, 0);
  ports.writeUInt16BE(destinationPort, 2);
  const words = [attempt, ...littleWords(destination), ...littleWords(ports), ...littleWords(source)];
  return natPorts.first + (words.reduce(hashWord, hashSeed) % Math.floor(natPorts.count / lanes));
};

const littleWords = (bytes: Uint8Array): readonly number[] => {
  const view = Buffer.from(bytes);
  return Array.from({ length: bytes.length / 4 }, (_, index) => view.readUInt32LE(index * 4));
};

export interface ReferenceSent {
  readonly verdict: 'pass' | 'drop' | 'transmit' | 'redirect';
  readonly output: Uint8Array;
}

/** In the first byte of flags and offset of IPv4. */
const dontFragment = 0x40;

/** The packet after its rewrite, and its way. Raises RangeError for one that is longer than its way out takes and may not be fragmented: not modelled. */
export const send = (
  frame: Uint8Array,
  { packet, rewrite }: { readonly packet: ParsedPacket; readonly rewrite: ReferenceRewrite },
  around: ReferenceSurroundings,
): ReferenceSent => {
  const input = Buffer.from(frame);
  const l3 = l3Offset(input);
  const route = rewrite.isTranslated || rewrite.isDirect ? routeTo(rewrite.destination, around) : undefined;
  const isTagged = l3 > 14;
  const isOver = (input[l3 + (packet.family === 4 ? 8 : 7)] ?? 0) <= 1 && !rewrite.isDirect;
  const isLong = route !== undefined && frame.length - l3 > route.mtu;
  const mayBeFragmented = packet.family === 4 && ((input[l3 + 6] ?? 0) & dontFragment) === 0 && !rewrite.isDirect;
  if (isLong && !mayBeFragmented) throw new RangeError('longer than the way out takes');
  const leaves = route !== undefined && !isLong && !isOver && !(isTagged && route.egress !== around.interfaceIndex);
  if (rewrite.isDirect && !leaves) return { verdict: 'drop', output: frame };
  const { source, destination, sourcePort, destinationPort } = rewrite;
  const isPorted = packet.transport === 'tcp' || packet.transport === 'udp';
  const ends = rewrite.isTranslated ? { from: [...source], to: [...destination] } : {};
  const ports = isPorted
    ? { fromPort: sourcePort, toPort: destinationPort }
    : packet.transport === 'icmp'
      ? { identifier: sourcePort }
      : {};
  const output = changed(input, {
    ...ends,
    ...(rewrite.isTranslated ? ports : {}),
    ...(rewrite.dscp === undefined ? {} : { dscp: rewrite.dscp }),
    ...(leaves ? { macs: { to: [...route.destinationMac], from: [...route.sourceMac] }, keepsHops: rewrite.isDirect } : {}),
    plainUdp: isPlainUdp(input, packet),
  });
  if (!leaves) return { verdict: 'pass', output };
  return { verdict: route.egress === around.interfaceIndex ? 'transmit' : 'redirect', output };
};

const l3Offset = (frame: Buffer): number => {
  let offset = 12;
  while ([0x8100, 0x88a8].includes(frame.readUInt16BE(offset))) offset += 4;
  return offset + 2;
};

const isPlainUdp = (frame: Buffer, packet: ParsedPacket): boolean =>
  packet.transport === 'udp' && frame.readUInt16BE(packet.transportOffset + 6) === 0;

interface Level {
  readonly used: bigint;
  readonly atNs: bigint;
}

/** Buckets of one policy; all begin full. */
export class ReferenceLimits {
  readonly #levels = new Map<string, Level>();

  /** Takes a packet of that length, at that time, from the mapping's limit. False: it is over. */
  take(mapping: PolicyMapping, packet: ParsedPacket, { bytes, ns: nowNs }: { readonly bytes: number; readonly ns: bigint }): boolean {
    const limit = mapping.rateLimit;
    if (limit === undefined) return true;
    const source = packet.source.slice(0, 8).join('.');
    const owner = `${mapping.name} ${limit.per === 'source' ? `${String(packet.family)} ${source}` : ''}`;
    const costs = [
      { key: `packets ${owner}`, rate: limit.packetsPerSecond ?? 0, depth: burstPackets(limit), cost: 1 },
      { key: `bytes ${owner}`, rate: limit.bytesPerSecond ?? 0, depth: burstBytes(limit), cost: bytes },
    ].filter(({ rate }) => rate > 0);
    const next = costs.map(({ key, rate, depth, cost }) => {
      const { used, atNs } = this.#levels.get(key) ?? { used: 0n, atNs: nowNs };
      const time = nowNs > atNs ? nowNs : atNs;
      const left = used - BigInt(rate) * (time - atNs);
      const after = (left > 0n ? left : 0n) + BigInt(cost) * billion;
      return { key, isWithin: after <= BigInt(depth) * billion, level: { used: after, atNs: time } };
    });
    if (!next.every(({ isWithin }) => isWithin)) return false;
    for (const { key, level } of next) this.#levels.set(key, level);
    return true;
  }
}

const burstPackets = ({ packetsPerSecond = 0, burst }: PolicyRateLimit): number => burst ?? Math.max(1, Math.ceil(packetsPerSecond / 10));

/** As long as the bucket of packets where there is one. */
const burstBytes = (limit: PolicyRateLimit): number => {
  const { packetsPerSecond, bytesPerSecond = 0, burst } = limit;
  if (packetsPerSecond !== undefined) return Math.max(65_536, Math.ceil((bytesPerSecond * burstPackets(limit)) / packetsPerSecond));
  return burst ?? Math.max(65_536, Math.ceil(bytesPerSecond / 10));
};
