/** Reasons of the data path by number, as bpf/include/nest/reason.h defines them; a test holds the lists equal. */
import { Reason } from '../gen/nest/v1/reason.ts';

export type ReasonName = Exclude<keyof typeof Reason, 'UNRECOGNIZED'>;

const droppedReasons: ReadonlySet<ReasonName> = new Set<ReasonName>([
  'POLICY_DENY',
  'DEFAULT_DENY',
  'TRUNCATED',
  'MALFORMED',
  'TOO_MANY_TAGS',
  'TOO_MANY_HEADERS',
  'FRAGMENT_UNKNOWN',
  'DENY_LIST',
  'RATE_LIMIT',
  'NO_BACKEND',
  'NAT_EXHAUSTED',
  'NOT_TRANSLATABLE',
  'NO_ROUTE',
  'TOO_BIG',
]);

/** Index = reason number. */
export const reasonNames: readonly ReasonName[] = Object.entries(Reason)
  .filter((entry): entry is [ReasonName, (typeof Reason)[ReasonName]] => entry[0] !== 'UNRECOGNIZED')
  .sort((a, b) => a[1] - b[1])
  .map(([name]) => name);

/** Name of a reason number; UNSPECIFIED when this build does not know it. */
export const reasonName = (number: number): ReasonName => reasonNames[number] ?? 'UNSPECIFIED';

/** True when packets with this reason are dropped. */
export const isDropped = (name: ReasonName): boolean => droppedReasons.has(name);

const sentences: Readonly<Record<ReasonName, string>> = {
  UNSPECIFIED: 'Unknown reason',
  NO_POLICY: 'No policy is loaded, or it is empty: everything passes',
  FLOW: 'Belongs to an allowed flow',
  POLICY_ALLOW: 'A mapping allows it',
  DEFAULT_ALLOW: 'No mapping matches, the default action allows',
  ARP: 'Address resolution always passes',
  NEIGHBOR_DISCOVERY: 'Neighbor discovery always passes',
  NOT_IP: 'Not IP: policy does not speak of it',
  FRAGMENT: 'Later fragment of an allowed datagram',
  POLICY_DENY: 'A mapping denies it',
  DEFAULT_DENY: 'No mapping matches, the default action denies',
  TRUNCATED: 'A header reaches past the end of the packet',
  MALFORMED: 'A header contradicts itself',
  TOO_MANY_TAGS: 'More than two VLAN tags',
  TOO_MANY_HEADERS: 'More than eight IPv6 extension headers',
  FRAGMENT_UNKNOWN: 'Later fragment whose first one was not allowed or not seen',
  TABLE_MISSING: 'A policy table is missing in the kernel, the packet passes',
  FLOW_RELATED: 'An ICMP error about an allowed flow',
  DENY_LIST: 'Source or destination is on a deny list',
  RATE_LIMIT: 'Over the rate limit of its mapping',
  NO_BACKEND: 'None of the backends takes new flows',
  NAT_EXHAUSTED: 'Source NAT found no address, or no free port, to translate to',
  NOT_TRANSLATABLE: 'The protocol has no port that could be translated',
  NO_ROUTE: 'No next hop is known for the new destination',
  TOO_BIG: 'Larger than the way out takes, answered by ICMP',
};

/** One sentence for the operator. */
export const reasonSentence = (name: ReasonName): string => sentences[name];
