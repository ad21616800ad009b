/** What the editor shows: the list, the selected entry of each, and the field to go to. */
import type { PolicyListName, PolicyPlace } from '../../client/policy-document.ts';

export interface EditorPlace {
  readonly tab: PolicyListName | 'text';
  /** Selected entry of each list. */
  readonly selected: Readonly<Record<PolicyListName, number>>;
  /** The count makes a second press of the same problem a new request. */
  readonly focus: { readonly field: string; readonly count: number } | null;
}

export const firstPlace: EditorPlace = { tab: 'mappings', selected: { mappings: 0, services: 0, denyLists: 0 }, focus: null };

/** An entry of a list, and the field of it to go to. */
export interface EntryTarget {
  readonly list: PolicyListName;
  readonly index: number;
  readonly field?: string;
}

/** The place with an entry selected. */
export const selectEntry = (place: EditorPlace, { list, index, field }: EntryTarget): EditorPlace => ({
  tab: list,
  selected: { ...place.selected, [list]: index },
  focus: field === undefined ? null : { field, count: (place.focus?.count ?? 0) + 1 },
});

const prefixes: Readonly<Record<PolicyListName, string>> = { mappings: 'mapping', services: 'service', denyLists: 'denyList' };

/** Test id, and so the way to find it, of the input of a field: "mapping-backends-1-address". */
export const inputIdOf = (list: PolicyListName, field: string): string => `${prefixes[list]}-${field}`;

/** The field of a problem, as in `inputIdOf`. */
export const fieldOfPlace = ({ field, entry, part }: PolicyPlace): string =>
  part === null ? (field ?? 'name') : [field, entry, part].filter((piece) => piece !== null).join('-');
