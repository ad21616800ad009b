/** Notes of an import: what happened to an entry that a policy cannot say in full. */

export interface ImportNote {
  readonly kind: 'file' | 'service' | 'mapping';
  /** Name in the file; empty for the file itself. */
  readonly name: string;
  /** Stable, for instance "ADDRESS_IS_NAME". */
  readonly code: string;
  /** One sentence for the operator. */
  readonly message: string;
}

/** Adds a note about one entry. */
export type Note = (code: string, message: string) => void;

/** False for what means "not used" in a MarchProxy field. */
export const isSet = (value: unknown): boolean =>
  value !== undefined && value !== null && value !== false && value !== 0 && value !== '' && value !== 'none';

/** One note for everything else that has a value. */
export const noteOtherFields = (fields: Readonly<Record<string, unknown>>, known: readonly string[], note: Note): void => {
  const others = Object.keys(fields).filter((key) => !known.includes(key) && isSet(fields[key]));
  if (others.length > 0)
    note(
      'FIELDS_NOT_KEPT',
      `A policy has no place for ${others
        .slice(0, 10)
        .map((key) => key.slice(0, 40))
        .join(', ')}.`,
    );
};
