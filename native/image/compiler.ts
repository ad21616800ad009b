/** From a checked policy to the table image. */
import { NestError } from '../../proto/model/error.ts';
import { parsePrefix } from './address.ts';
import { encodeImage } from './image-encoder.ts';
import { ClassMembersExceeded, classify, prefixKey } from './identity-classes.ts';
import type { Classification, SideClasses } from './identity-classes.ts';
import { classMembersMax, compileWorkMax, identitiesMax, identityAny, mappingsMax, pairsMax, portIntervalsMax } from './limits.ts';
import { PairTableBuilder, TableLimitExceeded } from './pair-table.ts';
import type { MappingGroup } from './pair-table.ts';
import { MatchRanks, segmentsOfRanges } from './port-intervals.ts';
import { PortSetPool } from './port-set-pool.ts';
import { anyName } from './policy-schema.ts';
import type { Policy, PolicyMapping, PolicyService } from './policy-schema.ts';
import { sideOf, trafficOf } from './traffic-match.ts';

export interface CompiledStats {
  readonly identities4: number;
  readonly identities6: number;
  readonly sourceClasses: number;
  readonly destinationClasses: number;
  readonly pairs: number;
  readonly portIntervals: number;
  readonly mappings: number;
  readonly imageBytes: number;
}

export interface CompiledPolicy {
  /** Content-addressed: see `generationOf`. */
  readonly image: Uint8Array;
  readonly stats: CompiledStats;
  /** Mapping names; the position is the index in matches and counters. */
  readonly names: readonly string[];
}

/**
 * Compiles a policy. The bytes depend on its meaning alone, not on the order or repetition of entries in the document.
 * Raises POLICY_TOO_LARGE; details are { mapping, limit, max }.
 */
export const compilePolicy = (policy: Policy): CompiledPolicy => {
  const mappings = sortedByName(policy.mappings);
  const crossing = mappings[mappingsMax];
  if (crossing !== undefined) throw tooLarge('mappings', crossing);
  const services = usedServices(policy.services, mappings);
  limitIdentities(services, mappings);
  try {
    return compileSorted(policy, services, mappings);
  } catch (error) {
    if (error instanceof TableLimitExceeded) throw tooLarge(error.limit, mappings[error.mapping]);
    if (error instanceof ClassMembersExceeded) throw tooLarge('classMembers', mappingOf(mappings, services[error.service]?.name));
    throw error;
  }
};

const compileSorted = (policy: Policy, services: readonly PolicyService[], mappings: readonly PolicyMapping[]): CompiledPolicy => {
  const sourceNames = new Set(mappings.flatMap((mapping) => sideOf(mapping.sources)));
  const destinationNames = new Set(mappings.flatMap((mapping) => sideOf(mapping.destinations)));
  const classes = classify(
    services.map(({ name, addresses }) => ({ addresses, isSource: sourceNames.has(name), isDestination: destinationNames.has(name) })),
  );
  const ranks = new MatchRanks(mappings.map(({ action, priority }, index) => ({ index, isDeny: action === 'deny', priority })));
  const table = new PairTableBuilder(groupMappings(mappings, services, { classes, ranks }), ranks);
  table.fill(classes.source.families, classes.destination.families);
  const pairs = table.pairs();
  const pool = new PortSetPool();
  const portSets = new Uint32Array(pairs.length * 2);
  for (const [position, pair] of pairs.entries()) {
    const { list, lastMapping } = table.listOf(pair);
    const { first, count } = pool.enter(list);
    if (pool.intervalCount > portIntervalsMax) throw new TableLimitExceeded('portIntervals', lastMapping);
    portSets[position * 2] = first;
    portSets[position * 2 + 1] = count;
  }
  const namesOf = (side: SideClasses): string[][] =>
    side.members.slice(1).map((members) => members.map((member) => services[member]?.name ?? ''));
  const content = {
    isEmpty: mappings.length === 0 && policy.defaultAction === 'allow',
    isDefaultDeny: policy.defaultAction === 'deny',
    identities4: classes.identities4,
    identities6: classes.identities6,
    pairs,
    portSets,
    portIntervals: pool.intervals(),
    mappings: mappings.map(({ name, action, priority }) => ({ name, isDeny: action === 'deny', priority })),
    sources: namesOf(classes.source),
    destinations: namesOf(classes.destination),
  };
  const image = encodeImage(content);
  const stats = {
    identities4: content.identities4.length,
    identities6: content.identities6.length,
    sourceClasses: content.sources.length,
    destinationClasses: content.destinations.length,
    pairs: pairs.length,
    portIntervals: pool.intervalCount,
    mappings: mappings.length,
    imageBytes: image.length,
  };
  return { image, stats, names: mappings.map(({ name }) => name) };
};

/** Code-unit order, which for the names the schema allows is the order of their bytes. */
const sortedByName = <T extends { readonly name: string }>(entries: readonly T[]): readonly T[] =>
  [...entries].sort((a, b) => (a.name < b.name ? -1 : 1));

const usedServices = (services: readonly PolicyService[], mappings: readonly PolicyMapping[]): readonly PolicyService[] => {
  const used = new Set(mappings.flatMap((mapping) => [...sideOf(mapping.sources), ...sideOf(mapping.destinations)]));
  return sortedByName(services.filter(({ name }) => used.has(name)));
};

/** Counts distinct prefixes mapping by mapping, so that the one that crosses the limit can be named before any table is built. */
const limitIdentities = (services: readonly PolicyService[], mappings: readonly PolicyMapping[]): void => {
  if (services.reduce((sum, { addresses }) => sum + addresses.length, 0) <= identitiesMax) return;
  const pending = new Map(services.map((service) => [service.name, service]));
  const seen = { 4: new Set<string | number>(), 6: new Set<string | number>() };
  for (const mapping of mappings) {
    for (const name of [...sideOf(mapping.sources), ...sideOf(mapping.destinations)]) {
      for (const text of pending.get(name)?.addresses ?? []) {
        const prefix = parsePrefix(text);
        if (prefix !== undefined) seen[prefix.family].add(prefixKey(prefix));
      }
      pending.delete(name);
      if (Math.max(seen[4].size, seen[6].size) > identitiesMax) throw tooLarge('identities', mapping);
    }
  }
};

const groupMappings = (
  mappings: readonly PolicyMapping[],
  services: readonly PolicyService[],
  context: { readonly classes: Classification; readonly ranks: MatchRanks },
): MappingGroup[] => {
  const positions = new Map(services.map(({ name }, position) => [name, position]));
  const sourceClasses = classListCache(positions, context.classes.source);
  const destinationClasses = classListCache(positions, context.classes.destination);
  const groups = new Map<string, MappingGroup>();
  for (const [index, mapping] of mappings.entries()) {
    const { l4Mask, ports } = trafficOf(mapping);
    const sources = sideOf(mapping.sources);
    const destinations = sideOf(mapping.destinations);
    const key = `${sources.join()}>${destinations.join()}>${String(l4Mask)}`;
    let group = groups.get(key);
    if (group === undefined) {
      group = {
        sources: sourceClasses(sources),
        destinations: destinationClasses(destinations),
        l4Mask,
        segments: [],
        firstMapping: index,
        lastMapping: index,
      };
      groups.set(key, group);
    }
    segmentsOfRanges(context.ranks.rankOf(index), ports, group.segments);
    group.lastMapping = index;
  }
  return [...groups.values()];
};

/** Classes that contain one of the named services, computed once per list of names. */
const classListCache = (positions: ReadonlyMap<string, number>, side: SideClasses): ((names: readonly string[]) => readonly number[]) => {
  const known = new Map<string, readonly number[]>();
  return (names) => {
    if (names[0] === anyName) return [identityAny];
    const key = names.join();
    let classes = known.get(key);
    if (classes === undefined) {
      const lists = names.map((name) => side.classesOfService[positions.get(name) ?? -1] ?? []);
      classes = lists.length === 1 && lists[0] !== undefined ? lists[0] : [...new Set(lists.flat())].sort((a, b) => a - b);
      known.set(key, classes);
    }
    return classes;
  };
};

const mappingOf = (mappings: readonly PolicyMapping[], service: string | undefined): PolicyMapping | undefined =>
  mappings.find((mapping) => service !== undefined && (mapping.sources.includes(service) || mapping.destinations.includes(service)));

const limits = {
  mappings: { max: mappingsMax, what: 'mappings', next: 'Join mappings that share sources and destinations.' },
  identities: { max: identitiesMax, what: 'address prefixes of one family', next: 'Write wider prefixes in its services.' },
  classMembers: { max: classMembersMax, what: 'overlaps between services', next: 'Let fewer services contain the same addresses.' },
  pairs: { max: pairsMax, what: 'source and destination pairs', next: 'Use fewer or wider services in it.' },
  portIntervals: { max: portIntervalsMax, what: 'port intervals', next: 'Write port ranges instead of single ports.' },
  work: { max: compileWorkMax, what: 'compilation steps', next: 'Let fewer overlapping services meet in it.' },
} as const;

const tooLarge = (limit: keyof typeof limits, mapping: PolicyMapping | undefined): NestError => {
  const { max, what, next } = limits[limit];
  const name = mapping?.name ?? '';
  return new NestError(
    'POLICY_TOO_LARGE',
    `The policy needs more than ${max.toLocaleString('en-US')} ${what}; the mapping ${name} crosses the limit. ${next}`,
    {
      details: { mapping: name, limit, max },
    },
  );
};
