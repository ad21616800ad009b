/** What an image does to a packet that a mapping allows: limit, balancer, source NAT, DSCP, as far as an image alone can tell. */
import { formatAddress } from './address.ts';
import type { Address } from './address.ts';
import { ringPosition } from './flow-hash.ts';
import type { ImageAction, ImageBackend, ImageBalancer } from './image-content.ts';
import type { DecodedImage } from './image-decoder.ts';
import { actionLimitPerSource, actionMasquerade, actionSourceNat, backendState, dscpKeep, l4, natKind } from './limits.ts';

export interface JudgedLimit {
  /** 0 = no limit on packets. */
  readonly packetsPerSecond: number;
  /** 0 = no limit on bytes. */
  readonly bytesPerSecond: number;
  readonly burstPackets: number;
  readonly burstBytes: number;
  readonly per: 'mapping' | 'source';
}

export interface JudgedBackend {
  readonly name: string;
  readonly address: string;
  /** 0 = as in the packet. */
  readonly port: number;
  readonly weight: number;
  /** As the policy has it; the host's health checks may know better. */
  readonly state: 'up' | 'drain' | 'down';
}

export interface JudgedBalancer {
  readonly nat: 'dnat' | 'full' | 'dsr';
  readonly affinity: 'none' | 'source';
  /** Where the flow asks the ring; undefined when the tuple lacks the source port that decides. */
  readonly ringPosition: number | undefined;
  /** Those of the packet's family. */
  readonly backends: readonly JudgedBackend[];
}

export interface JudgedTreatment {
  readonly rateLimit: JudgedLimit | undefined;
  readonly balancer: JudgedBalancer | undefined;
  /** "masquerade" or an address; undefined = the source stays. */
  readonly sourceNat: string | undefined;
  /** 0..63; undefined = stays. */
  readonly dscp: number | undefined;
  /** Why it is dropped after all. */
  readonly refusal: 'NO_BACKEND' | 'NOT_TRANSLATABLE' | undefined;
}

export interface TreatedPacket {
  readonly source: Address;
  readonly destination: Address;
  readonly sourcePort: number | undefined;
  readonly destinationPort: number;
  readonly protocol: number;
  /** A value of `l4`. */
  readonly transport: number;
}

/** What becomes of a packet whose mapping has this action. */
export const treatmentOf = (image: DecodedImage, action: ImageAction, packet: TreatedPacket): JudgedTreatment => {
  const entry = image.balancers[action.balancer - 1];
  const backends = entry === undefined ? [] : backendsOf(image, entry, packet.source.family);
  const sourceNat = sourceNatOf(action, packet.source.family);
  return {
    rateLimit: limitOf(action),
    balancer: entry === undefined ? undefined : balancerOf(entry, packet, backends),
    sourceNat,
    dscp: action.dscp === dscpKeep ? undefined : action.dscp,
    refusal: refusalOf({ isBalanced: entry !== undefined, isSourceNat: sourceNat !== undefined, backends, transport: packet.transport }),
  };
};

const refusalOf = (of: {
  readonly isBalanced: boolean;
  readonly isSourceNat: boolean;
  readonly backends: readonly ImageBackend[];
  readonly transport: number;
}): JudgedTreatment['refusal'] => {
  const hasPorts = of.transport === l4.tcp || of.transport === l4.udp;
  if (of.isBalanced && !hasPorts) return 'NOT_TRANSLATABLE';
  if (of.isSourceNat && of.transport === l4.other) return 'NOT_TRANSLATABLE';
  const isServed = of.backends.some(({ weight, state }) => weight > 0 && state === backendState.up);
  return of.isBalanced && !isServed ? 'NO_BACKEND' : undefined;
};

const backendsOf = (image: DecodedImage, { firstBackend, backendCount }: ImageBalancer, family: 4 | 6): readonly ImageBackend[] =>
  image.backends.slice(firstBackend, firstBackend + backendCount).filter(({ address }) => address.family === family);

const limitOf = (action: ImageAction): JudgedLimit | undefined => {
  const { packetsPerSecond, bytesPerSecond, burstPackets, burstBytes, flags } = action;
  if (packetsPerSecond === 0 && bytesPerSecond === 0) return undefined;
  const per = (flags & actionLimitPerSource) === 0 ? 'mapping' : 'source';
  return { packetsPerSecond, bytesPerSecond, burstPackets, burstBytes, per };
};

const sourceNatOf = ({ flags, source4, source6 }: ImageAction, family: 4 | 6): string | undefined => {
  if ((flags & actionMasquerade) !== 0) return 'masquerade';
  if ((flags & actionSourceNat) === 0) return undefined;
  const address: Address = family === 4 ? { family, words: [source4, 0, 0, 0] } : { family, words: source6 };
  return address.words.some((word) => word !== 0) ? formatAddress(address) : undefined;
};

const balancerOf = (entry: ImageBalancer, packet: TreatedPacket, backends: readonly ImageBackend[]): JudgedBalancer => {
  const { sourcePort } = packet;
  const isKnown = entry.isBySource || sourcePort !== undefined;
  return {
    nat: entry.nat === natKind.dsr ? 'dsr' : entry.nat === natKind.full ? 'full' : 'dnat',
    affinity: entry.isBySource ? 'source' : 'none',
    ringPosition: isKnown ? ringPosition({ ...packet, sourcePort: sourcePort ?? 0 }, entry.isBySource) : undefined,
    backends: backends.map(({ name, address, port, weight, state }) => ({
      name,
      address: formatAddress(address),
      port,
      weight,
      state: stateNames[state] ?? 'down',
    })),
  };
};

const stateNames = ['up', 'drain', 'down'] as const;
