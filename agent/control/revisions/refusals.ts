/** What revision control refuses, in words for the operator. */
import { NestError } from '../../../proto/model/error.ts';
import type { Pending, Revision } from './api.ts';

export const applyInProgress = (pending: Pending): NestError =>
  new NestError(
    'APPLY_IN_PROGRESS',
    `Revision ${String(pending.revision)} waits for its confirmation: keep it or take it back, then apply again.`,
    {
      details: { revision: pending.revision, remainingMs: pending.remainingMs },
    },
  );

export const applyFailed = (cause: unknown): NestError =>
  new NestError(
    'APPLY_FAILED',
    "The policy could not be made current; the previous one stays in force. Look into the agent's log for the cause, then try again.",
    { cause },
  );

export const unknownRevision = (revision: number): NestError =>
  new NestError('REVISION_UNKNOWN', `The host does not keep revision ${String(revision)}: choose one of its history.`, {
    details: { revision },
  });

export const nothingToConfirm = (asked: number, stored: Revision | undefined): NestError =>
  new NestError(
    'NOTHING_TO_CONFIRM',
    `Revision ${String(asked)} does not wait for a confirmation of this transaction${endOf(stored)}. Plan and apply again if it is still wanted.`,
    {
      details: { revision: asked, ...(stored === undefined ? {} : { state: stored.state }) },
    },
  );

const endOf = (stored: Revision | undefined): string => {
  if (stored?.state === 'rolled-back') return ': it was taken back';
  return stored?.state === 'failed' ? ': it failed' : '';
};
