/**
 * The same policy for nftables: one rule a mapping and family, the first that matches decides. Written from docs/POLICY.md
 * and nft(8), it shares nothing with the policy compiler, so that the kernel can be asked whether both mean the same.
 */
import { formatPrefix, isWithin, parsePorts, parsePrefix } from '../../native/image/api.ts';
import type { CheckedMapping, Policy, Prefix } from '../../native/image/api.ts';

export interface NftablesOptions {
  /** Name of the table, of family inet. */
  readonly table: string;
  /** The interface whose packets are judged; those of others pass. */
  readonly link: string;
}

interface Family {
  readonly version: 4 | 6;
  readonly chain: string;
  /** Keyword of a match on its header. */
  readonly header: string;
  readonly addressType: string;
  readonly icmp: string;
  readonly denySet: string;
}

const ipv4: Family = { version: 4, chain: 'ipv4', header: 'ip', addressType: 'ipv4_addr', icmp: 'icmp', denySet: 'deny4' };
const ipv6: Family = { version: 6, chain: 'ipv6', header: 'ip6', addressType: 'ipv6_addr', icmp: 'ipv6-icmp', denySet: 'deny6' };

/**
 * Text for `nft -f`: a table that judges every packet alone, in the prerouting hook before connection tracking. It knows no
 * flows, so it answers as the data path does to the first packet of a flow. Marks are left out: they decide nothing.
 *
 * @throws RangeError for what hangs on more than the packet: balancing, rate limits, source NAT, deny lists from files or that expire.
 */
export const nftablesOf = (policy: Policy, { table, link }: NftablesOptions): string => {
  refuseUnsayable(policy);
  const chains = [ipv4, ipv6].map(
    (family) => `  chain ${family.chain} {
${rulesOf(policy, family)
  .map((rule) => `    ${rule}`)
  .join('\n')}
  }`,
  );
  return `table inet ${table} {
${[ipv4, ipv6].map((family) => denySetOf(policy, family)).join('\n')}
${chains.join('\n')}
  chain in {
    type filter hook prerouting priority raw; policy accept;
    iifname != "${link}" accept
    meta nfproto vmap { ipv4 : goto ipv4, ipv6 : goto ipv6 }
  }
}
`;
};

const refuseUnsayable = ({ mappings, denyLists }: Policy): void => {
  const mapping = mappings.find((each) => each.action === 'balance' || each.rateLimit !== undefined || each.sourceNat !== undefined);
  if (mapping !== undefined) throw new RangeError(`mapping ${mapping.name} hangs on more than the packet`);
  const list = denyLists.find(({ prefixes, expires }) => prefixes === undefined || expires !== undefined);
  if (list !== undefined) throw new RangeError(`deny list ${list.name} hangs on more than the packet`);
};

/** Neighbour discovery, deny lists, mappings by rank, default action. */
const rulesOf = (policy: Policy, family: Family): readonly string[] => {
  const discovery = family.version === 6 ? ['icmpv6 type 133-137 ip6 hoplimit 255 accept'] : [];
  const denied = ['saddr', 'daddr'].map((side) => `${family.header} ${side} @${family.denySet} drop`);
  const mappings = policy.mappings.toSorted(byRank).flatMap((mapping) => ruleOf(policy, mapping, family));
  return [...discovery, ...denied, ...mappings, policy.defaultAction === 'deny' ? 'drop' : 'accept'];
};

/** Highest priority first, then deny, then the name that sorts first. */
const byRank = (a: CheckedMapping, b: CheckedMapping): number =>
  b.priority - a.priority || Number(a.action !== 'deny') - Number(b.action !== 'deny') || (a.name < b.name ? -1 : 1);

/** The rule of a mapping; none when one of its sides has no address of the family. */
const ruleOf = (policy: Policy, mapping: CheckedMapping, family: Family): readonly string[] => {
  const [source, destination] = [sideOf(policy, mapping.sources, family), sideOf(policy, mapping.destinations, family)];
  if (source === undefined || destination === undefined) return [];
  return [
    [
      ...source.map((elements) => `${family.header} saddr ${elements}`),
      ...destination.map((elements) => `${family.header} daddr ${elements}`),
      ...transportOf(mapping, family),
      'counter',
      mapping.action === 'deny' ? 'drop' : 'accept',
    ].join(' '),
  ];
};

/** The addresses of one side as one set, or no set when it is every address; undefined when the side holds none of this family. */
const sideOf = (policy: Policy, names: readonly string[], family: Family): readonly string[] | undefined => {
  if (names.includes('any')) return [];
  const services = policy.services.filter(({ name }) => names.includes(name));
  const prefixes = disjoint(
    services.flatMap(({ addresses }) => addresses),
    family,
  );
  if (prefixes.length === 0) return undefined;
  return prefixes.some(({ length }) => length === 0) ? [] : [`{ ${prefixes.map(formatPrefix).join(', ')} }`];
};

/** Protocols and ports of a mapping; a protocol is matched behind the extension headers of IPv6. */
const transportOf = ({ protocols, ports }: CheckedMapping, family: Family): readonly string[] => {
  const isAny = protocols.includes('any');
  if (isAny && ports.length === 0) return [];
  const names = isAny ? ['tcp', 'udp'] : protocols.map((name) => (name === 'icmp' ? family.icmp : name));
  const protocol = `meta l4proto { ${[...new Set(names)].join(', ')} }`;
  return ports.length === 0 ? [protocol] : [protocol, `th dport { ${joinedPorts(ports).join(', ')} }`];
};

const denySetOf = ({ denyLists }: Policy, family: Family): string => {
  const prefixes = disjoint(
    denyLists.flatMap((list) => list.prefixes ?? []),
    family,
  );
  const elements = prefixes.length === 0 ? '' : ` elements = { ${prefixes.map(formatPrefix).join(', ')} }`;
  return `  set ${family.denySet} { type ${family.addressType}; flags interval;${elements} }`;
};

/** The prefixes of the family that are in no other: nft takes no set whose intervals overlap. */
const disjoint = (texts: readonly string[], family: Family): readonly Prefix[] => {
  const prefixes = texts
    .map((text) => {
      const prefix = parsePrefix(text);
      if (prefix === undefined) throw new RangeError(`${text} is no prefix`);
      return prefix;
    })
    .filter((prefix) => prefix.family === family.version)
    .sort((a, b) => a.length - b.length);
  const kept: Prefix[] = [];
  for (const prefix of prefixes) if (!kept.some((outer) => isWithin(prefix, outer))) kept.push(prefix);
  return kept;
};

/** The ports as ranges of which no two touch. */
const joinedPorts = (texts: readonly string[]): readonly string[] => {
  const ranges = texts
    .flatMap((text) => {
      const parsed = parsePorts(text);
      if (!Array.isArray(parsed)) throw new RangeError(`${text} is no list of ports`);
      return parsed.map(({ first, last }) => ({ first, last }));
    })
    .sort((a, b) => a.first - b.first);
  const joined: { first: number; last: number }[] = [];
  for (const range of ranges) {
    const before = joined.at(-1);
    if (before !== undefined && range.first <= before.last + 1) before.last = Math.max(before.last, range.last);
    else joined.push(range);
  }
  return joined.map(({ first, last }) => (first === last ? String(first) : `${String(first)}-${String(last)}`));
};
