/** What the forms of the editor share: finding problems, the buttons of an entry, replacing it. */
import { Copy, Trash2 } from 'lucide-react';
import type { ReactNode } from 'react';
import type { PolicyProblem } from '../../../bridge/model.ts';
import { readPolicyPath } from '../../client/policy-document.ts';
import type { PolicyDraft, PolicyListName } from '../../client/policy-document.ts';
import type { Fault } from '../../widgets/field.tsx';
import type { EditorPlace } from './editor-place.ts';
import type { PolicyEditor } from './policy-editor-state.ts';

export interface FormProps {
  readonly editor: PolicyEditor;
  readonly policy: PolicyDraft;
  readonly problems: readonly PolicyProblem[];
  readonly place: EditorPlace;
  readonly onPlace: (place: EditorPlace) => void;
}

/** Where a fault stands below a field: in an entry of a list, in a part of an object, or both. */
export interface FaultPart {
  readonly entry?: number;
  readonly part?: string;
}

/** Faults of a field; with `at` only those of that part, without it all of them. */
export type FaultsOf = (field: string, at?: FaultPart) => readonly Fault[];

export const faultsAt =
  (problems: readonly PolicyProblem[], list: PolicyListName, index: number): FaultsOf =>
  (field, at) =>
    problems.filter(({ path }) => {
      const place = readPolicyPath(path);
      if (place?.list !== list || place.index !== index || (place.field ?? 'name') !== field) return false;
      return at === undefined || ((place.entry ?? undefined) === at.entry && (place.part ?? undefined) === at.part);
    });

export const faultyEntries =
  (problems: readonly PolicyProblem[], list: PolicyListName, index: number) =>
  (field: string) =>
  (entry: number): boolean =>
    problems.some(({ path, severity }) => {
      const place = readPolicyPath(path);
      return severity === 'error' && place?.list === list && place.index === index && place.field === field && place.entry === entry;
    });

export const EntryButtons = ({
  noun,
  onCopy,
  onDelete,
}: {
  readonly noun: string;
  readonly onCopy: () => void;
  readonly onDelete: () => void;
}): ReactNode => (
  <span className="line" style={{ gap: 2 }}>
    <button
      type="button"
      className="icon-button"
      aria-label={`Duplicate ${noun}`}
      title="Duplicate"
      onClick={onCopy}
      data-testid={`copy-${noun}`}
    >
      <Copy size={15} aria-hidden="true" />
    </button>
    <button
      type="button"
      className="icon-button danger"
      aria-label={`Delete ${noun}`}
      title="Delete (undo brings it back)"
      onClick={onDelete}
      data-testid={`delete-${noun}`}
    >
      <Trash2 size={15} aria-hidden="true" />
    </button>
  </span>
);

export const replaced = <Entry,>(list: readonly Entry[], index: number, entry: Entry): readonly Entry[] =>
  list.map((old, position) => (position === index ? entry : old));

/** The object with a key set, or without it for undefined: absent fields are not written as null. */
export const withField = <Value extends object, Key extends keyof Value>(value: Value, key: Key, field: Value[Key] | undefined): Value => {
  const { [key]: _dropped, ...rest } = value;
  return (field === undefined ? rest : { ...rest, [key]: field }) as Value;
};
