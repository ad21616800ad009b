/** The tables of a policy in between: what a compilation keeps, so that the next one redoes only what has changed. */
import { parsePrefix } from './address.ts';
import { ClassMembersExceeded, classify, prefixKey } from './identity-classes.ts';
import type { Classification, SideClasses } from './identity-classes.ts';
import { encodeFrame } from './image-encoder.ts';
import type { ImageFrame } from './image-content.ts';
import { compileWorkMax, identitiesMax, mappingsMax, matchNone, portIntervalsMax } from './limits.ts';
import { MappingGroups } from './mapping-groups.ts';
import { PairTable, TableLimitExceeded, workSpread } from './pair-table.ts';
import type { CheckedMapping, Policy, PolicyMapping, PolicyService } from './policy-schema.ts';
import { PortSetSection } from './port-set-pool.ts';
import { isSameValue } from './same-value.ts';
import { tooLarge } from './too-large.ts';
import { sideOf } from './traffic-match.ts';

export interface PairSections {
  readonly pairs: Float64Array;
  readonly portSets: Uint32Array;
  readonly portIntervals: Uint32Array;
}

/** More changed mappings than this are compiled from scratch. */
const changesMax = 256;

export class PolicyTables {
  #policy: Policy;
  #mappings: readonly CheckedMapping[];
  /** Index in #mappings by position in the document. */
  readonly #places: Uint32Array;
  readonly #names: readonly string[];
  readonly #frame: ImageFrame;
  readonly #groups: MappingGroups;
  readonly #table: PairTable;
  #sections: PairSections;
  readonly #uses: { readonly sources: Uses; readonly destinations: Uses };

  /** From scratch. Raises POLICY_TOO_LARGE. */
  constructor(policy: Policy) {
    const order = orderOf(policy.mappings);
    const mappings = order.flatMap((position) => policy.mappings[position] ?? []);
    const crossing = mappings[mappingsMax];
    if (crossing !== undefined) throw tooLarge('mappings', crossing.name);
    this.#policy = policy;
    this.#mappings = mappings;
    this.#places = new Uint32Array(order.length);
    for (const [index, position] of order.entries()) this.#places[position] = index;
    this.#uses = { sources: usesOf(mappings, 'sources'), destinations: usesOf(mappings, 'destinations') };
    const { sources, destinations } = this.#uses;
    const services = sortedByName(policy.services.filter(({ name }) => sources.has(name) || destinations.has(name)));
    limitIdentities(services, mappings);
    const classes = classesOf(services, { mappings, uses: this.#uses });
    this.#names = mappings.map(({ name }) => name);
    this.#frame = frameOf({ classes, services, names: this.#names });
    this.#groups = new MappingGroups(mappings, services, classes);
    this.#table = new PairTable({ source: classes.source.families, destination: classes.destination.families }, this.#groups.ranks);
    try {
      this.#table.add(this.#groups.groups, this.#groups.segmentsOf);
      this.#sections = sectionsOf(this.#table);
    } catch (error) {
      if (error instanceof TableLimitExceeded) throw tooLarge(error.limit, this.#names[error.mapping] ?? '');
      throw error;
    }
  }

  /** Sorted by name. */
  get mappings(): readonly CheckedMapping[] {
    return this.#mappings;
  }

  /** Of the mappings. */
  get names(): readonly string[] {
    return this.#names;
  }

  get frame(): ImageFrame {
    return this.#frame;
  }

  get sections(): PairSections {
    return this.#sections;
  }

  /**
   * Takes over a policy with the same services and mappings of the same names, and redoes the pairs that its changes touch. False
   * when that cannot be done, or might accept what is too large from scratch: the tables are of no use then.
   */
  advance(policy: Policy): boolean {
    const changed = this.#changesTo(policy);
    if (changed === undefined) return false;
    const groupCount = this.#groups.groups.length;
    const touched = this.#groups.change(this.#mappings, changed);
    this.#table.rank(this.#groups.ranks);
    try {
      for (const position of touched) if (position < groupCount) this.#table.refresh(position, this.#groups.segmentsOf);
      this.#table.add(this.#groups.groups.slice(groupCount), this.#groups.segmentsOf);
      this.#sections = sectionsOf(this.#table);
    } catch (error) {
      if (error instanceof TableLimitExceeded) return false;
      throw error;
    }
    return this.#table.work * workSpread <= compileWorkMax;
  }

  /** Indexes of mappings whose traffic or rank is told otherwise; undefined when more than that has changed. */
  #changesTo(policy: Policy): readonly number[] | undefined {
    const before = this.#policy;
    if (policy.mappings.length !== before.mappings.length || !isSameValue(before.services, policy.services)) return undefined;
    const told: number[] = [];
    for (const [position, mapping] of policy.mappings.entries()) {
      const known = before.mappings[position];
      if (known === mapping) continue;
      if (known?.name !== mapping.name) return undefined;
      if (!isSameValue(known, mapping) && told.push(position) > changesMax) return undefined;
    }
    this.#policy = policy;
    if (told.length === 0) return [];
    const changed: number[] = [];
    const mappings = [...this.#mappings];
    for (const position of told) {
      const index = this.#places[position] ?? 0;
      const [known, now] = [before.mappings[position], policy.mappings[position]];
      if (known === undefined || now === undefined) return undefined;
      mappings[index] = now;
      if (isSameTraffic(known, now)) continue;
      if (!this.#keepsSides(known, now)) return undefined;
      changed.push(index);
    }
    this.#mappings = mappings;
    return changed;
  }

  /** Counts the services of a mapping anew. False when one comes into use or goes out of it: that makes other classes. */
  #keepsSides(before: CheckedMapping, now: CheckedMapping): boolean {
    for (const side of ['sources', 'destinations'] as const) {
      const uses = this.#uses[side];
      for (const name of sideOf(now[side])) {
        const count = uses.get(name);
        if (count === undefined) return false;
        uses.set(name, count + 1);
      }
      for (const name of sideOf(before[side])) {
        const count = uses.get(name) ?? 0;
        if (count === 1) return false;
        uses.set(name, count - 1);
      }
    }
    return true;
  }
}

/** Raises TableLimitExceeded. */
const sectionsOf = (table: PairTable): PairSections => {
  const keys = table.keys();
  const lists = new Uint32Array(keys.length);
  for (let position = 0; position < keys.length; position++) lists[position] = table.listAt(position);
  const section = new PortSetSection(table.pool);
  const pairs = new Float64Array(keys.length);
  const portSets = new Uint32Array(keys.length * 2);
  let count = 0;
  for (let position = 0; position < keys.length; position++) {
    section.enter(lists[position] ?? 0, portSets, count * 2);
    if (section.intervalCount > portIntervalsMax) throw new TableLimitExceeded('portIntervals', table.lastMappingAt(position));
    const isSilent = portSets[count * 2 + 1] === 1 && portSets[count * 2] === matchNone;
    if (isSilent) continue;
    pairs[count++] = keys[position] ?? 0;
  }
  return { pairs: pairs.subarray(0, count), portSets: portSets.subarray(0, count * 2), portIntervals: section.intervals() };
};

/** Mappings that use a service on one side, by its name; "any" too. */
type Uses = Map<string, number>;

const usesOf = (mappings: readonly CheckedMapping[], side: 'sources' | 'destinations'): Uses => {
  const uses: Uses = new Map();
  for (const mapping of mappings) for (const name of sideOf(mapping[side])) uses.set(name, (uses.get(name) ?? 0) + 1);
  return uses;
};

const isSameTraffic = (a: CheckedMapping, b: CheckedMapping): boolean =>
  a.priority === b.priority &&
  (a.action === 'deny') === (b.action === 'deny') &&
  isSameValue(a.ports, b.ports) &&
  isSameValue(a.protocols, b.protocols) &&
  isSameValue(a.sources, b.sources) &&
  isSameValue(a.destinations, b.destinations);

/** Code-unit order, which for the names the schema allows is the order of their bytes. */
const sortedByName = <T extends { readonly name: string }>(entries: readonly T[]): readonly T[] =>
  [...entries].sort((a, b) => (a.name < b.name ? -1 : 1));

/** Positions in that order. */
const orderOf = (entries: readonly { readonly name: string }[]): readonly number[] =>
  sortedByName(entries.map(({ name }, position) => ({ name, position }))).map(({ position }) => position);

const classesOf = (
  services: readonly PolicyService[],
  of: { readonly mappings: readonly PolicyMapping[]; readonly uses: { readonly sources: Uses; readonly destinations: Uses } },
): Classification => {
  try {
    return classify(
      services.map(({ name, addresses }) => ({
        addresses,
        isSource: of.uses.sources.has(name),
        isDestination: of.uses.destinations.has(name),
      })),
    );
  } catch (error) {
    if (error instanceof ClassMembersExceeded) throw tooLarge('classMembers', userOf(of.mappings, services[error.service]?.name));
    throw error;
  }
};

/** Name of the first mapping that uses a service. */
const userOf = (mappings: readonly PolicyMapping[], service = ''): string =>
  mappings.find((mapping) => mapping.sources.includes(service) || mapping.destinations.includes(service))?.name ?? '';

const frameOf = (of: {
  readonly classes: Classification;
  readonly services: readonly PolicyService[];
  readonly names: readonly string[];
}): ImageFrame => {
  const namesOf = (side: SideClasses): string[][] =>
    side.members.slice(1).map((members) => members.map((member) => of.services[member]?.name ?? ''));
  return encodeFrame({
    identities4: of.classes.identities4,
    identities6: of.classes.identities6,
    names: of.names,
    sources: namesOf(of.classes.source),
    destinations: namesOf(of.classes.destination),
  });
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
      if (Math.max(seen[4].size, seen[6].size) > identitiesMax) throw tooLarge('identities', mapping.name);
    }
  }
};
