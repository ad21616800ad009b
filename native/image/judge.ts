/** The verdict on a new flow from a table image, by the same look-ups in the same order as bpf/lib. */
import { NestError } from '../../proto/model/error.ts';
import type { ReasonName } from '../../proto/model/reason.ts';
import { addressFromBytes, parseAddress } from './address.ts';
import type { Address } from './address.ts';
import { decodeImage } from './image-decoder.ts';
import type { DecodedImage } from './image-decoder.ts';
import { treatmentOf } from './judge-treatment.ts';
import type { JudgedTreatment } from './judge-treatment.ts';
import { identityAny, l4, matchNone, portMax } from './limits.ts';
import { matchIndex } from './match-word.ts';
import { pairNumber } from './pair-table.ts';

/** The first packet of a flow. */
export interface TrafficTuple {
  /** Text, or 4 or 16 bytes in network order (faster). Both of one family. */
  readonly source: string | Uint8Array;
  readonly destination: string | Uint8Array;
  /** IP protocol number, 0..255: the upper-layer one in IPv6. */
  readonly protocol: number;
  /** Decides on the backend of a balancer. */
  readonly sourcePort?: number | undefined;
  /** 0..65535; needed for TCP and UDP, ignored otherwise. */
  readonly destinationPort?: number | undefined;
}

/** A mapping that matched too, with less priority. */
export interface BeatenMapping {
  readonly mapping: string;
  readonly action: 'allow' | 'deny';
  readonly priority: number;
}

export interface Judgement {
  readonly action: 'allow' | 'deny';
  readonly reason: Extract<
    ReasonName,
    'POLICY_ALLOW' | 'POLICY_DENY' | 'DEFAULT_ALLOW' | 'DEFAULT_DENY' | 'DENY_LIST' | 'NO_BACKEND' | 'NOT_TRANSLATABLE'
  >;
  /** Match word, 0 = default action. */
  readonly match: number;
  readonly mapping: string | undefined;
  readonly priority: number | undefined;
  readonly sourceIdentity: number;
  readonly destinationIdentity: number;
  /** Services the address belongs to, of those that some mapping uses on that side. */
  readonly sourceServices: readonly string[];
  readonly destinationServices: readonly string[];
  /** Winners of the less fortunate probes, best first: at most three, and not every mapping that was beaten. */
  readonly losers: readonly BeatenMapping[];
  /** Set when a deny list dropped the packet: no mapping is asked then. */
  readonly denied: DeniedAddress | undefined;
  /** What the mapping does beyond allow; undefined = nothing. */
  readonly treatment: JudgedTreatment | undefined;
}

export interface DeniedAddress {
  /** Name of the list. */
  readonly list: string;
  readonly side: 'source' | 'destination';
}

export interface PolicyImage {
  /** Judges a flow by its first packet. Raises INPUT_INVALID for a malformed tuple. */
  judge(tuple: TrafficTuple): Judgement;
  /** Mapping names; the position is the index in matches and counters. */
  readonly mappingNames: readonly string[];
  /** Names of the deny lists; the position is their index in counters. */
  readonly denyListNames: readonly string[];
  /** Backends by index in counters and states, with the mapping that has them. */
  readonly backends: readonly NamedBackend[];
  readonly defaultAction: 'allow' | 'deny';
  /** False: the policy is empty and nothing is dropped, not even what cannot be read. */
  readonly isEnforced: boolean;
}

export interface NamedBackend {
  readonly mapping: string;
  readonly backend: string;
}

/** Opens an image for judging. Raises IMAGE_INVALID. */
export const openImage = (image: Uint8Array): PolicyImage => {
  const decoded = decodeImage(image);
  return {
    judge: (tuple) => judge(decoded, tuple),
    mappingNames: decoded.mappings.map(({ name }) => name),
    denyListNames: decoded.denyLists,
    backends: decoded.backends.map(({ name, balancer }) => ({
      mapping: decoded.mappings[decoded.balancers[balancer]?.mapping ?? -1]?.name ?? '',
      backend: name,
    })),
    defaultAction: decoded.isDefaultDeny ? 'deny' : 'allow',
    isEnforced: decoded.isEnforced,
  };
};

const judge = (image: DecodedImage, tuple: TrafficTuple): Judgement => {
  const source = toAddress(tuple.source, 'source');
  const destination = toAddress(tuple.destination, 'destination');
  if (source.family !== destination.family)
    throw new NestError('INPUT_INVALID', 'Source and destination are of different address families: give two of the same.');
  const transport = transportOf(tuple.protocol, source.family);
  const port = portOf(tuple.destinationPort, transport);
  const denied = deniedBy(image, source, destination);
  if (denied !== undefined) return deniedJudgement(denied);
  const ranges = source.family === 4 ? image.ranges4 : image.ranges6;
  const sourceIdentity = ranges.find(source.words).source;
  const destinationIdentity = ranges.find(destination.words).destination;
  const matches = image.isEnforced ? probe(image, { source: sourceIdentity, destination: destinationIdentity, transport, port }) : [];
  const [match = matchNone, ...beaten] = matches;
  const winner = match === matchNone ? undefined : image.mappings[matchIndex(match)];
  const isDeny = winner === undefined ? image.isEnforced && image.isDefaultDeny : winner.isDeny;
  const action = winner === undefined ? undefined : image.actions.get(matchIndex(match));
  const packet = { source, destination, sourcePort: tuple.sourcePort, destinationPort: port, protocol: tuple.protocol, transport };
  const treatment = action === undefined ? undefined : treatmentOf(image, action, packet);
  return {
    action: isDeny || treatment?.refusal !== undefined ? 'deny' : 'allow',
    reason: treatment?.refusal ?? reasonOf(winner !== undefined, isDeny),
    match,
    mapping: winner?.name,
    priority: winner?.priority,
    sourceIdentity,
    destinationIdentity,
    sourceServices: image.sources[sourceIdentity] ?? [],
    destinationServices: image.destinations[destinationIdentity] ?? [],
    losers: beaten.length === 0 ? noLosers : losersOf(image, beaten),
    denied: undefined,
    treatment,
  };
};

const noLosers: readonly BeatenMapping[] = [];

/** The list of the source counts before that of the destination. */
const deniedBy = (image: DecodedImage, source: Address, destination: Address): DeniedAddress | undefined => {
  const table = source.family === 4 ? image.deny4 : image.deny6;
  const bySource = table.find(source.words);
  if (bySource !== 0) return { list: image.denyLists[bySource - 1] ?? '', side: 'source' };
  const byDestination = table.find(destination.words);
  return byDestination === 0 ? undefined : { list: image.denyLists[byDestination - 1] ?? '', side: 'destination' };
};

const deniedJudgement = (denied: DeniedAddress): Judgement => ({
  action: 'deny',
  reason: 'DENY_LIST',
  match: matchNone,
  mapping: undefined,
  priority: undefined,
  sourceIdentity: identityAny,
  destinationIdentity: identityAny,
  sourceServices: [],
  destinationServices: [],
  losers: noLosers,
  denied,
  treatment: undefined,
});

const losersOf = (image: DecodedImage, words: readonly number[]): BeatenMapping[] =>
  words.flatMap((word) => {
    const mapping = image.mappings[matchIndex(word)];
    return mapping === undefined
      ? []
      : [{ mapping: mapping.name, action: mapping.isDeny ? ('deny' as const) : ('allow' as const), priority: mapping.priority }];
  });

const reasonOf = (isMatched: boolean, isDeny: boolean): Judgement['reason'] => {
  if (isMatched) return isDeny ? 'POLICY_DENY' : 'POLICY_ALLOW';
  return isDeny ? 'DEFAULT_DENY' : 'DEFAULT_ALLOW';
};

interface Probe {
  readonly source: number;
  readonly destination: number;
  readonly transport: number;
  readonly port: number;
}

/** Distinct match words of the up to four probes, the largest first. */
const probe = (image: DecodedImage, { source, destination, transport, port }: Probe): number[] => {
  const matches: number[] = [];
  const look = (s: number, d: number): void => {
    const match = matchOf(image, pairNumber(s, d, { destinationCount: image.destinations.length - 1, l4: transport }), port);
    if (match !== matchNone && !matches.includes(match)) matches.push(match);
  };
  look(source, destination);
  if (destination !== identityAny) look(source, identityAny);
  if (source !== identityAny) look(identityAny, destination);
  if (source !== identityAny && destination !== identityAny) look(identityAny, identityAny);
  return matches.length > 1 ? matches.sort((a, b) => b - a) : matches;
};

const matchOf = (image: DecodedImage, pair: number, port: number): number => {
  const position = image.pairs.get(pair) - 1;
  if (position < 0) return matchNone;
  const first = image.portSets[position * 2] ?? 0;
  const count = image.portSets[position * 2 + 1] ?? 0;
  if (count === 1) return first;
  let low = first;
  let high = first + count - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if ((image.portIntervals[middle * 2] ?? 0) <= port) low = middle;
    else high = middle - 1;
  }
  return image.portIntervals[low * 2 + 1] ?? matchNone;
};

const toAddress = (value: string | Uint8Array, side: string): Address => {
  const address = typeof value === 'string' ? parseAddress(value) : addressFromBytes(value);
  if (address === undefined)
    throw new NestError('INPUT_INVALID', `The ${side} is not an IPv4 or IPv6 address: write for instance 198.18.4.7 or 2001:db8::7.`);
  return address;
};

/** Transport class of an IP protocol number: ICMP counts in IPv4 and ICMPv6 in IPv6 only. */
const transportOf = (protocol: number, family: 4 | 6): number => {
  if (!Number.isInteger(protocol) || protocol < 0 || protocol > 255)
    throw new NestError('INPUT_INVALID', 'A protocol is an IP protocol number from 0 to 255.');
  if (protocol === 6) return l4.tcp;
  if (protocol === 17) return l4.udp;
  return protocol === (family === 4 ? 1 : 58) ? l4.icmp : l4.other;
};

const portOf = (port: number | undefined, transport: number): number => {
  if (transport !== l4.tcp && transport !== l4.udp) return 0;
  if (port === undefined || !Number.isInteger(port) || port < 0 || port > portMax) {
    throw new NestError('INPUT_INVALID', 'TCP and UDP need a destination port from 0 to 65535.');
  }
  return port;
};
