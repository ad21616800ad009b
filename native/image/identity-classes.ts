/**
 * Addresses to classes. Prefixes are either nested or disjoint, so a walk over the sorted prefixes with a stack of the covering
 * ones gives every prefix the set of all services around it; each distinct set is a class. A host then needs one longest-prefix
 * look-up per address, however many services overlap there.
 */
import { compareWords, isWithin, parsePrefix } from './address.ts';
import type { Prefix } from './address.ts';
import { classMembersMax } from './limits.ts';

export interface ClassifiedService {
  readonly addresses: readonly string[];
  readonly isSource: boolean;
  readonly isDestination: boolean;
}

export interface Identity {
  readonly prefix: Prefix;
  readonly source: number;
  readonly destination: number;
}

export interface SideClasses {
  /** Service positions of each class, ascending; [0] is the empty class "any". Classes are sorted by their members. */
  readonly members: readonly (readonly number[])[];
  /** Bit 1: the class occurs among IPv4 addresses, bit 2: among IPv6. "any" has both. */
  readonly families: readonly number[];
  /** The classes that contain a service, ascending, by service position. */
  readonly classesOfService: readonly (readonly number[])[];
}

export interface Classification {
  /** Sorted by address, then length; entries equal to the one around them are left out. */
  readonly identities4: readonly Identity[];
  readonly identities6: readonly Identity[];
  readonly source: SideClasses;
  readonly destination: SideClasses;
}

export class ClassMembersExceeded extends Error {
  /** Position of a service of the class that crossed the limit. */
  readonly service: number;

  constructor(service: number) {
    super('more overlap of services than classMembersMax');
    this.service = service;
  }
}

/** Classes of services sorted by name; those neither source nor destination are ignored. Raises ClassMembersExceeded. */
export const classify = (services: readonly ClassifiedService[]): Classification => {
  const entries = collectEntries(services);
  const source = new ClassSets();
  const destination = new ClassSets();
  const walked = { 4: walk(entries[4], source, destination), 6: walk(entries[6], source, destination) };
  const sourceOrder = source.order();
  const destinationOrder = destination.order();
  const renumber = ({ prefix, source: s, destination: d }: Identity): Identity => ({
    prefix,
    source: sourceOrder[s] ?? 0,
    destination: destinationOrder[d] ?? 0,
  });
  return {
    identities4: walked[4].map(renumber),
    identities6: walked[6].map(renumber),
    source: source.finish(sourceOrder, services.length),
    destination: destination.finish(destinationOrder, services.length),
  };
};

interface Entry {
  readonly prefix: Prefix;
  readonly sources: number[];
  readonly destinations: number[];
}

const collectEntries = (services: readonly ClassifiedService[]): { 4: Entry[]; 6: Entry[] } => {
  const entries = { 4: new Map<string | number, Entry>(), 6: new Map<string | number, Entry>() };
  for (const [position, service] of services.entries()) {
    if (!service.isSource && !service.isDestination) continue;
    for (const text of service.addresses) {
      const prefix = parsePrefix(text);
      if (prefix === undefined) continue;
      const family = entries[prefix.family];
      let entry = family.get(prefixKey(prefix));
      if (entry === undefined) family.set(prefixKey(prefix), (entry = { prefix, sources: [], destinations: [] }));
      if (service.isSource && entry.sources.at(-1) !== position) entry.sources.push(position);
      if (service.isDestination && entry.destinations.at(-1) !== position) entry.destinations.push(position);
    }
  }
  const sorted = (family: Map<string | number, Entry>): Entry[] =>
    [...family.values()].sort((a, b) => compareWords(a.prefix.words, b.prefix.words) || a.prefix.length - b.prefix.length);
  return { 4: sorted(entries[4]), 6: sorted(entries[6]) };
};

/** A key for maps: equal for equal prefixes of one family. */
export const prefixKey = ({ family, words, length }: Prefix): string | number =>
  family === 4 ? words[0] * 64 + length : `${words.join()}/${String(length)}`;

const walk = (entries: readonly Entry[], source: ClassSets, destination: ClassSets): Identity[] => {
  const identities: Identity[] = [];
  const around: Identity[] = [];
  for (const entry of entries) {
    let parent = around.at(-1);
    while (parent !== undefined && !isWithin(entry.prefix, parent.prefix)) {
      around.pop();
      parent = around.at(-1);
    }
    const identity = {
      prefix: entry.prefix,
      source: source.join(parent?.source ?? 0, entry.sources, entry.prefix.family),
      destination: destination.join(parent?.destination ?? 0, entry.destinations, entry.prefix.family),
    };
    if (identity.source === (parent?.source ?? 0) && identity.destination === (parent?.destination ?? 0)) continue;
    identities.push(identity);
    around.push(identity);
  }
  return identities;
};

/** Interned sets of services; set 0 is empty. */
class ClassSets {
  readonly #sets: (readonly number[])[] = [[]];
  readonly #families: number[] = [3];
  readonly #ids = new Map<string, number>([['', 0]]);
  readonly #joined = new Map<string, number>();
  #members = 0;

  /** The set of `base` with more services, as one id. */
  join(base: number, more: readonly number[], family: 4 | 6): number {
    const familyBit = family === 4 ? 1 : 2;
    if (more.length === 0) return this.#mark(base, familyBit);
    const step = `${String(base)}+${more.join()}`;
    const known = this.#joined.get(step);
    if (known !== undefined) return this.#mark(known, familyBit);
    const set = mergeSorted(this.#sets[base] ?? [], more);
    const key = set.join();
    let id = this.#ids.get(key);
    if (id === undefined) {
      this.#members += set.length;
      if (this.#members > classMembersMax) throw new ClassMembersExceeded(more[0] ?? 0);
      id = this.#sets.push(set) - 1;
      this.#families.push(0);
      this.#ids.set(key, id);
    }
    this.#joined.set(step, id);
    return this.#mark(id, familyBit);
  }

  /** Class number by set id: sets sorted by their members, so that numbers do not depend on who came first. */
  order(): Uint32Array {
    const byMembers = this.#sets.map((_, id) => id).sort((a, b) => compareLists(this.#sets[a] ?? [], this.#sets[b] ?? []));
    const order = new Uint32Array(this.#sets.length);
    for (const [number, id] of byMembers.entries()) order[id] = number;
    return order;
  }

  finish(order: Uint32Array, serviceCount: number): SideClasses {
    const members: (readonly number[])[] = this.#sets.map(() => []);
    const families = this.#sets.map(() => 0);
    for (const [id, set] of this.#sets.entries()) {
      members[order[id] ?? 0] = set;
      families[order[id] ?? 0] = this.#families[id] ?? 0;
    }
    const classesOfService: number[][] = Array.from({ length: serviceCount }, () => []);
    for (const [number, set] of members.entries()) for (const service of set) classesOfService[service]?.push(number);
    return { members, families, classesOfService };
  }

  #mark(id: number, familyBit: number): number {
    this.#families[id] = (this.#families[id] ?? 0) | familyBit;
    return id;
  }
}

const mergeSorted = (a: readonly number[], b: readonly number[]): readonly number[] => [...new Set([...a, ...b])].sort((x, y) => x - y);

const compareLists = (a: readonly number[], b: readonly number[]): number => {
  const length = Math.min(a.length, b.length);
  for (let position = 0; position < length; position++) {
    const difference = (a[position] ?? 0) - (b[position] ?? 0);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
};
