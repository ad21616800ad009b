/** Somebody else changed a host since a change was planned: who, when, and what they left. Travels in the details of REVISION_CONFLICT. */
import { z } from 'zod';
import { errorCodeOf, NestError } from './error.ts';

const conflictSchema = z.object({
  /** What the change starts from; 0 = before the first policy, or not kept any more. */
  baseRevision: z.int().nonnegative(),
  /** What the host has now. */
  revision: z.int().nonnegative(),
  etag: z.string(),
  /** Subject of who made it; empty for the first one. */
  author: z.string(),
  /** Milliseconds since the Unix epoch, host clock. */
  createdAtMs: z.number().nonnegative(),
  comment: z.string(),
});

export type ConflictInfo = Readonly<z.infer<typeof conflictSchema>>;

/** The refusal of a change that starts from `baseRevision` while the host has `current`. */
export const revisionConflict = (
  baseRevision: number,
  current: Pick<ConflictInfo, 'revision' | 'etag' | 'author' | 'createdAtMs' | 'comment'>,
): NestError => {
  const { revision, etag, author, createdAtMs, comment } = current;
  const details: ConflictInfo = { baseRevision, revision, etag, author, createdAtMs, comment };
  const by = author === '' ? '' : ` by ${author.replace(/^.*\//, '')}`;
  return new NestError(
    'REVISION_CONFLICT',
    `The host has moved on to revision ${String(revision)}${by}, this change starts from ${String(baseRevision)}. Merge the two, or plan again on top of it.`,
    { details },
  );
};

/** What a REVISION_CONFLICT tells; null for any other error, and for an agent that does not tell. */
export const conflictOf = (error: unknown): ConflictInfo | null => {
  if (errorCodeOf(error) !== 'REVISION_CONFLICT' || typeof error !== 'object' || error === null || !('details' in error)) return null;
  const parsed = conflictSchema.safeParse(error.details);
  return parsed.success ? parsed.data : null;
};
