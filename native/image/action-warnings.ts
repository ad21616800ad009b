/** What balancing, limits, source NAT and deny lists say that is probably not meant. */
import { formatPrefix, parsePrefix } from './address.ts';
import { parseExpiry } from './deny-schema.ts';
import type { PolicyDenyList } from './deny-schema.ts';
import type { Report } from './policy-problem.ts';
import type { CheckedBackend, CheckedMapping, Policy } from './policy-schema.ts';
import { anyName } from './schema-checks.ts';
import { ServiceNetworks } from './service-networks.ts';
import { trafficOf } from './traffic-match.ts';

/** Warns of mappings that do more than allow or deny. */
export const warnTreatments = (policy: Policy, warn: Report): void => {
  const networks = new ServiceNetworks(policy.services);
  for (const [position, mapping] of policy.mappings.entries()) {
    const path = `mappings[${String(position)}]`;
    if (mapping.action === 'deny') warnWithoutEffect(mapping, path, warn);
    else if (mapping.sourceNat !== undefined) warnSourceNat(mapping, path, warn);
    if (mapping.action === 'balance') warnBalance(mapping, path, { networks, warn });
  }
};

const warnWithoutEffect = (mapping: CheckedMapping, path: string, warn: Report): void => {
  for (const field of ['rateLimit', 'dscp', 'sourceNat'] as const) {
    if (mapping[field] === undefined) continue;
    warn(
      `${path}.${field}`,
      'WITHOUT_EFFECT',
      `${mapping.name} drops its packets, so ${field} has no effect: remove it, or change the action.`,
    );
  }
};

const warnSourceNat = (mapping: CheckedMapping, path: string, warn: Report): void => {
  if (mapping.protocols.includes(anyName) && trafficOf(mapping).ports.length === 0)
    warn(
      `${path}.protocols`,
      'PROTOCOL_NOT_TRANSLATED',
      `Source NAT translates TCP, UDP and ICMP echo; ${mapping.name} drops what else it matches: name the protocols that are meant.`,
    );
};

const warnBalance = (
  mapping: CheckedMapping,
  path: string,
  { networks, warn }: { readonly networks: ServiceNetworks; readonly warn: Report },
): void => {
  const backends = mapping.backends ?? [];
  if (mapping.destinations.includes(anyName))
    warn(
      `${path}.destinations`,
      'BALANCES_ANY',
      `${mapping.name} sends what goes anywhere to its backends: name the virtual address that is meant.`,
    );
  if (mapping.healthCheck !== undefined && mapping.healthCheck.kind !== 'icmp' && mapping.protocols.every((protocol) => protocol === 'udp'))
    warn(
      `${path}.healthCheck.kind`,
      'HEALTH_CHECK_PROTOCOL',
      `${mapping.name} balances UDP alone, and its check asks by TCP: make sure that the servers answer there, or write "kind": "icmp".`,
    );
  if (!backends.some(isChosen))
    warn(
      `${path}.backends`,
      'BACKENDS_IDLE',
      `No backend of ${mapping.name} takes new flows, so they are dropped: bring one up, with a weight over 0.`,
    );
  for (const family of [4, 6] as const) {
    const isServed = backends.some(({ address }) => address.includes(':') === (family === 6));
    if (isServed || mapping.destinations.includes(anyName) || !networks.hasFamily(mapping.destinations, family)) continue;
    if (!mapping.sources.includes(anyName) && !networks.hasFamily(mapping.sources, family)) continue;
    const message = `The destinations have IPv${String(family)} addresses and no backend has one, so those packets are dropped: add a backend of that family.`;
    warn(`${path}.backends`, 'FAMILY_WITHOUT_BACKEND', message);
  }
  const { ports } = trafficOf(mapping);
  const isOnePort = ports.length === 1 && ports[0]?.first === ports[0]?.last;
  const joining = backends.findIndex(({ port }) => port !== undefined);
  if (!isOnePort && joining >= 0)
    warn(
      `${path}.backends[${String(joining)}].port`,
      'PORTS_JOINED',
      `${mapping.name} takes more than one port, and this backend gets them all on one: leave its port out to keep them apart.`,
    );
};

const isChosen = ({ weight, state }: CheckedBackend): boolean => weight > 0 && state === 'up';

/** Warns of deny lists that hold nothing, everything, or the same twice, and of those that are over; `nowMs` undefined = nobody knows the time. */
export const warnDenyLists = (lists: readonly PolicyDenyList[], warn: Report, nowMs?: number): void => {
  for (const [position, list] of lists.entries()) {
    const path = `denyLists[${String(position)}]`;
    const endsAtMs = list.expires === undefined ? undefined : parseExpiry(list.expires);
    if (nowMs !== undefined && endsAtMs !== undefined && endsAtMs <= nowMs)
      warn(
        `${path}.expires`,
        'DENY_LIST_EXPIRED',
        `${list.name} ended at ${String(list.expires)} and denies nothing: write a time to come, or leave it out.`,
      );
    warnPrefixes(list.prefixes ?? [], `${path}.prefixes`, warn);
    if (list.prefixes?.length === 0)
      warn(`${path}.prefixes`, 'DENY_LIST_EMPTY', `The deny list ${list.name} is empty: add prefixes, or fill it on the host.`);
    const everything = list.prefixes?.findIndex((text) => text.endsWith('/0') && parsePrefix(text)?.length === 0) ?? -1;
    if (everything >= 0)
      warn(
        `${path}.prefixes[${String(everything)}]`,
        'DENIES_EVERYTHING',
        `${String(list.prefixes?.[everything])} is every address of its family, also that of this console: write the networks that are meant.`,
      );
  }
};

const warnPrefixes = (prefixes: readonly string[], path: string, warn: Report): void => {
  const seen = new Set<string>();
  for (const [position, text] of prefixes.entries()) {
    if (seen.has(text)) warn(`${path}[${String(position)}]`, 'ENTRY_REPEATED', `${text} is already in the list: leave it out.`);
    seen.add(text);
    if (!/^[:0]*:ffff:/i.test(text)) continue;
    const prefix = parsePrefix(text);
    if (prefix !== undefined && formatPrefix(prefix).startsWith('::ffff:'))
      warn(
        `${path}[${String(position)}]`,
        'ADDRESS_MAPPED',
        `${text} is an IPv4-mapped address and does not match IPv4 packets: write the IPv4 address.`,
      );
  }
};
