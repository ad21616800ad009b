/** Mappings in groups that reach the same pairs, kept so that a mapping can move from one group to another. */
import type { Classification, SideClasses } from './identity-classes.ts';
import { identityAny } from './limits.ts';
import { encodeMatch } from './match-word.ts';
import type { MappingGroup } from './pair-table.ts';
import { MatchRanks, segmentsOfRanges } from './port-intervals.ts';
import type { CheckedMapping, PolicyService } from './policy-schema.ts';
import { anyName } from './schema-checks.ts';
import { sideOf, trafficOf } from './traffic-match.ts';
import type { TrafficMatch } from './traffic-match.ts';

type ClassLists = (names: readonly string[]) => readonly number[];

export class MappingGroups {
  readonly groups: MappingGroup[] = [];
  readonly #sourceClasses: ClassLists;
  readonly #destinationClasses: ClassLists;
  readonly #byKey = new Map<string, number>();
  readonly #groupOf: number[] = [];
  readonly #traffic: TrafficMatch[] = [];
  readonly #words: Uint32Array;
  #ranks: MatchRanks;

  /** Mappings and services sorted by name. */
  constructor(mappings: readonly CheckedMapping[], services: readonly PolicyService[], classes: Classification) {
    const positions = new Map(services.map(({ name }, position) => [name, position]));
    this.#sourceClasses = classLists(positions, classes.source);
    this.#destinationClasses = classLists(positions, classes.destination);
    this.#words = Uint32Array.from(mappings, wordOf);
    this.#ranks = new MatchRanks(this.#words);
    const members: number[][] = [];
    for (const [index, mapping] of mappings.entries()) {
      const position = this.#place(mapping, index);
      const list = members[position];
      if (list === undefined) members[position] = [index];
      else list.push(index);
    }
    for (const [position, group] of this.groups.entries()) group.members = members[position] ?? [];
  }

  get ranks(): MatchRanks {
    return this.#ranks;
  }

  /** Segments of all members of a group, see port-intervals.ts. */
  readonly segmentsOf = (group: MappingGroup): readonly number[] => {
    const segments: number[] = [];
    for (const member of group.members) segmentsOfRanges(this.#ranks.rankOf(member), this.#traffic[member]?.ports ?? [], segments);
    return segments;
  };

  /** Takes mappings that are told otherwise under the same names, and answers which groups that touches; new ones are at the end. */
  change(mappings: readonly CheckedMapping[], indexes: readonly number[]): ReadonlySet<number> {
    const touched = new Set<number>();
    let isRanked = true;
    for (const index of indexes) {
      const mapping = mappings[index];
      if (mapping === undefined) continue;
      const word = wordOf(mapping, index);
      if (word !== this.#words[index]) isRanked = false;
      this.#words[index] = word;
      const from = this.#groupOf[index] ?? 0;
      const to = this.#place(mapping, index);
      touched.add(from).add(to);
      const [left, joined] = [this.groups[from], this.groups[to]];
      if (from === to || left === undefined || joined === undefined) continue;
      left.members = left.members.filter((member) => member !== index);
      joined.members = [...joined.members, index].sort((a, b) => a - b);
    }
    if (!isRanked) this.#ranks = new MatchRanks(this.#words);
    return touched;
  }

  /** Position of the group of a mapping, which is made when it is new. */
  #place(mapping: CheckedMapping, index: number): number {
    const traffic = trafficOf(mapping);
    const sources = sideOf(mapping.sources);
    const destinations = sideOf(mapping.destinations);
    const key = `${sources.join()}>${destinations.join()}>${String(traffic.l4Mask)}`;
    let position = this.#byKey.get(key);
    if (position === undefined) {
      position =
        this.groups.push({
          sources: this.#sourceClasses(sources),
          destinations: this.#destinationClasses(destinations),
          l4Mask: traffic.l4Mask,
          members: [],
        }) - 1;
      this.#byKey.set(key, position);
    }
    this.#traffic[index] = traffic;
    this.#groupOf[index] = position;
    return position;
  }
}

const wordOf = ({ action, priority }: CheckedMapping, index: number): number => encodeMatch({ index, isDeny: action === 'deny', priority });

/** Classes that contain one of the named services, computed once per list of names. */
const classLists = (positions: ReadonlyMap<string, number>, side: SideClasses): ClassLists => {
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
