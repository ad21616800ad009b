/** Random actions for random policies: balancers, rate limits, DSCP, source NAT, deny lists. */
import type { PolicyBackend, PolicyTreatment } from '../../native/image/action-schema.ts';
import type { PolicyDocument, PolicyMapping } from '../../native/image/policy-schema.ts';
import { tryPolicy } from '../../native/image/policy.ts';
import { randomIpv4, randomIpv6 } from './random-policy.ts';
import type { Random } from './random-policy.ts';

/** The policy with actions on about half of its allowing mappings; those that would contradict themselves stay plain. */
export const withRandomTreatments = (random: Random, policy: PolicyDocument): PolicyDocument => {
  const denyLists = random.chance(0.5)
    ? Array.from({ length: random.between(1, 3) }, (_, position) => ({
        name: `list-${String(position)}`,
        prefixes: Array.from({ length: random.between(1, 6) }, () => randomDenied(random)),
      }))
    : [];
  let document: PolicyDocument = { ...policy, denyLists };
  for (const [position, mapping] of policy.mappings.entries()) {
    if (mapping.action !== 'allow' || random.chance(0.5)) continue;
    const mappings = document.mappings.with(position, { ...mapping, ...randomTreatment(random) });
    if (tryPolicy({ ...document, mappings }) !== undefined) document = { ...document, mappings };
  }
  return document;
};

const randomDenied = (random: Random): string => {
  if (random.chance(0.3)) return `${randomIpv6(random)}${random.pick(['', '/128'])}`;
  return random.chance(0.7) ? randomIpv4(random) : `198.${String(random.between(18, 19))}.${String(random.between(0, 3))}.0/24`;
};

/** One packet a second and a depth: what fits is a question of the depth alone in a short run. */
const randomTreatment = (random: Random): PolicyTreatment & Partial<Pick<PolicyMapping, 'action' | 'protocols'>> => {
  const dscp = random.chance(0.3) ? { dscp: random.pick(['P0', 'P1', 'P2', 'P3'] as const) } : {};
  switch (random.between(0, 3)) {
    case 0:
      return { ...dscp, rateLimit: { packetsPerSecond: 1, burst: random.between(1, 40), per: random.pick(['mapping', 'source']) } };
    case 1:
      return { ...dscp, sourceNat: random.pick(['masquerade', '192.0.2.77', '2001:db8:77::1']) };
    case 2:
      return { dscp: random.pick(['P0', 'P1', 'P2', 'P3'] as const) };
    default:
      return { ...dscp, ...randomBalancer(random) };
  }
};

const randomBalancer = (random: Random): PolicyTreatment & Partial<Pick<PolicyMapping, 'action' | 'protocols'>> => {
  const nat = random.pick(['dnat', 'dnat', 'full', 'dsr'] as const);
  return {
    action: 'balance',
    protocols: ['tcp', 'udp'],
    nat,
    affinity: random.pick(['none', 'none', 'source']),
    backends: Array.from({ length: random.between(1, 6) }, (_, position): PolicyBackend => ({
      name: `b${String(position)}`,
      address: random.chance(0.6)
        ? `198.19.${String(random.between(100, 200))}.${String(random.between(1, 250))}`
        : `2001:db8:${random.pick(['2', '3', '4'])}::${random.between(1, 999).toString(16)}`,
      ...(nat !== 'dsr' && random.chance(0.4) ? { port: random.between(1, 65_535) } : {}),
      weight: random.pick([1, 1, 1, 0, 5, 100]),
      state: random.pick(['up', 'up', 'up', 'drain', 'down']),
    })),
  };
};
