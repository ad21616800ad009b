/** Puts two changes of one policy together: entry by entry by name, field by field. Pure. */
import { isDeepStrictEqual } from 'node:util';
import type { MergeConflict, MergeList, MergeSide, MergeTaken } from '../../bridge/merge-model.ts';
import { policyOf } from '../policy/policy-check.ts';

export interface MergeInput {
  /** Policy documents, JSON. */
  readonly base: string;
  readonly ours: string;
  readonly theirs: string;
  /** By key of a conflict. */
  readonly choices: Readonly<Record<string, MergeSide>>;
}

export interface Merged {
  readonly policy: string;
  readonly conflicts: readonly MergeConflict[];
  readonly taken: readonly MergeTaken[];
}

type Fields = Readonly<Record<string, unknown>>;

/** An entry as it is written, and as it is meant: with what may be left out. */
interface Entry {
  readonly written: Fields;
  readonly meant: Fields;
}

interface Sides<Value> {
  readonly base: Value;
  readonly ours: Value;
  readonly theirs: Value;
}

const listNames = ['services', 'mappings', 'denyLists'] as const;
const nameField = 'name';

/**
 * What one side alone has changed is taken; what both have changed alike, too; of what both have changed differently the chosen side,
 * ours until there is a choice. Raises POLICY_INVALID, POLICY_TOO_LARGE when one of the documents is not a policy.
 */
export const mergePolicies = ({ base, ours, theirs, choices }: MergeInput): Merged => {
  const conflicts: MergeConflict[] = [];
  const taken: MergeTaken[] = [];
  const documents = { base: documentOf(base), ours: documentOf(ours), theirs: documentOf(theirs) };
  const merge = new Merge(choices, conflicts, taken);
  const top = merge.fields(
    { list: 'document', name: '' },
    mapSides(documents, ({ top: fields }) => fields),
  );
  const lists = Object.fromEntries(
    listNames.map((list) => [
      list,
      merge.entries(
        list,
        mapSides(documents, ({ entries }) => entries[list]),
      ),
    ]),
  );
  const { denyLists = [], ...others } = lists;
  const merged = {
    apiVersion: 'nest/v1',
    kind: 'Policy',
    ...top,
    ...others,
    ...(denyLists.length === 0 ? {} : { denyLists }),
  };
  return { policy: JSON.stringify(merged, undefined, 2), conflicts, taken };
};

class Merge {
  readonly #choices: MergeInput['choices'];
  readonly #conflicts: MergeConflict[];
  readonly #taken: MergeTaken[];

  constructor(choices: MergeInput['choices'], conflicts: MergeConflict[], taken: MergeTaken[]) {
    this.#choices = choices;
    this.#conflicts = conflicts;
    this.#taken = taken;
  }

  /** In the order of theirs, then what we have added. Order has no meaning in a policy. */
  entries(list: Exclude<MergeList, 'document'>, sides: Sides<ReadonlyMap<string, Entry>>): readonly Fields[] {
    const names = new Set([...sides.theirs.keys(), ...sides.ours.keys()]);
    return [...names].flatMap((name) => {
      const entry = this.#entry(
        { list, name },
        mapSides(sides, (entries) => entries.get(name)),
      );
      return entry === undefined ? [] : [entry];
    });
  }

  #entry(place: Place, { base, ours, theirs }: Sides<Entry | undefined>): Fields | undefined {
    if (ours !== undefined && theirs !== undefined) {
      const fields = this.fields(place, { base: base ?? none, ours, theirs });
      return { [nameField]: place.name, ...fields };
    }
    const [kept, gone]: readonly [Entry | undefined, MergeSide] = ours === undefined ? [theirs, 'ours'] : [ours, 'theirs'];
    if (kept === undefined) return undefined;
    if (base === undefined) {
      if (gone === 'ours') this.#taken.push({ ...place, change: 'added', fields: [] });
      return kept.written;
    }
    if (isDeepStrictEqual(base.meant, kept.meant)) {
      if (gone === 'theirs') this.#taken.push({ ...place, change: 'removed', fields: [] });
      return undefined;
    }
    const side = this.#ask(place, null, { base: base.written, ours: ours?.written, theirs: theirs?.written });
    return side === gone ? undefined : kept.written;
  }

  /** Fields of an entry that both have; without its name. */
  fields(place: Place, sides: Sides<Entry>): Fields {
    const { base, ours, theirs } = sides;
    const keys = new Set([...Object.keys(theirs.written), ...Object.keys(ours.written)]);
    keys.delete(nameField);
    const changed: string[] = [];
    const merged = [...keys].flatMap((key) => {
      const isOursSame = isDeepStrictEqual(base.meant[key], ours.meant[key]);
      const isTheirsSame = isDeepStrictEqual(base.meant[key], theirs.meant[key]);
      let side: MergeSide = 'ours';
      if (isOursSame && !isTheirsSame) {
        side = 'theirs';
        changed.push(key);
      } else if (!isOursSame && !isTheirsSame && !isDeepStrictEqual(ours.meant[key], theirs.meant[key])) {
        side = this.#ask(
          place,
          key,
          mapSides(sides, ({ written }) => written[key]),
        );
      }
      const value = sides[side].written[key];
      return value === undefined ? [] : [[key, value] as const];
    });
    if (changed.length > 0) this.#taken.push({ ...place, change: 'changed', fields: changed });
    return Object.fromEntries(merged);
  }

  #ask(place: Place, field: string | null, values: Sides<unknown>): MergeSide {
    const key = [place.list, place.name, field ?? ''].join('/');
    const choice = Object.hasOwn(this.#choices, key) ? (this.#choices[key] ?? null) : null;
    this.#conflicts.push({ key, ...place, field, ...mapSides(values, jsonOf), choice });
    return choice ?? 'ours';
  }
}

interface Place {
  readonly list: MergeList;
  readonly name: string;
}

const none: Entry = { written: {}, meant: {} };

const jsonOf = (value: unknown): string | null => (value === undefined ? null : JSON.stringify(value));

const mapSides = <From, To>({ base, ours, theirs }: Sides<From>, change: (value: From) => To): Sides<To> => ({
  base: change(base),
  ours: change(ours),
  theirs: change(theirs),
});

interface PolicyParts {
  readonly top: Entry;
  readonly entries: Readonly<Record<(typeof listNames)[number], ReadonlyMap<string, Entry>>>;
}

const documentOf = (text: string): PolicyParts => {
  const meant = policyOf(text) as unknown as Fields;
  // The check has just read it.
  const written = JSON.parse(text.replace(/^\uFEFF/, '')) as Fields;
  const entriesOf = (list: string): ReadonlyMap<string, Entry> => {
    const asWritten = (written[list] ?? []) as readonly Fields[];
    const asMeant = (meant[list] ?? []) as readonly Fields[];
    return new Map(asWritten.map((entry, position) => [String(entry[nameField]), { written: entry, meant: asMeant[position] ?? entry }]));
  };
  const { defaultAction } = meant;
  return {
    top: { written: { defaultAction }, meant: { defaultAction } },
    entries: { services: entriesOf('services'), mappings: entriesOf('mappings'), denyLists: entriesOf('denyLists') },
  };
};
