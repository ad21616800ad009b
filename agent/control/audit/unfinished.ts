/** What an agent that was killed left without a word: the next one says it, before anybody can change more. */
import { decodeAuditEntry, emptyFact } from '../../../proto/model/audit.ts';
import type { AuditEntry, AuditFact } from '../../../proto/model/audit.ts';
import type { RevisionControl } from '../revisions/api.ts';
import type { AuditControl } from './api.ts';

/** Entries of the life before that are looked at; a call is not longer open than so many. */
const entriesMax = 4096;
const confirmAction = '/nest.v1.ConfigService/ConfirmConfig';
const keptAction = 'revision.confirmed';
const interruptedAction = 'call.interrupted';

export interface UnfinishedParts {
  readonly audit: Pick<AuditControl, 'entries' | 'extent' | 'note'>;
  readonly revisions: Pick<RevisionControl, 'current' | 'pending'>;
}

/**
 * Notes each call that was started and has no end, and a revision that was kept while the entry of who kept it is missing. Call it once,
 * after revision control has started and before calls are taken. Raises AUDIT_BROKEN, STATE_FAILED: then nothing was noted.
 */
export const noteUnfinished = async ({ audit, revisions }: UnfinishedParts): Promise<void> => {
  const { last } = audit.extent();
  const entries: AuditEntry[] = [];
  for await (const piece of audit.entries(Math.max(0, last - entriesMax), entriesMax)) entries.push(...piece.map(decodeAuditEntry));
  const { revision, state } = revisions.current();
  const note = (fact: Partial<AuditFact>): void =>
    audit.note({ ...emptyFact, actor: 'agent', revisionBefore: revision, revisionAfter: revision, ...fact });
  for (const { number, action, actor, target } of openIn(entries))
    note({
      action: interruptedAction,
      opening: number,
      target,
      result: 'interrupted',
      detail: `${action} of ${actor === '' ? 'a stranger' : actor} has no end: the agent was stopped, or the caller gave up. Revision ${String(revision)} is ${state}.`,
    });
  if (state === 'confirmed' && isKeptInSilence(entries, revision))
    note({
      action: keptAction,
      target: `revision=${String(revision)}`,
      detail: 'It was kept, and the agent was stopped before it said so.',
    });
};

const openIn = (entries: readonly AuditEntry[]): readonly AuditEntry[] => {
  const ended = new Set(entries.map(({ opening }) => opening));
  return entries.filter(({ number, result }) => result === 'started' && !ended.has(number));
};

/** Its beginning is in the log, and nobody's word that it was kept. */
const isKeptInSilence = (entries: readonly AuditEntry[], revision: number): boolean => {
  const begun = entries.find(({ revisionAfter, revisionBefore }) => revisionAfter === revision && (revisionBefore ?? 0) < revision);
  if (begun === undefined || revision === 0) return false;
  return !entries.some(
    ({ action, result, target }) =>
      result === 'OK' && (action === confirmAction || action === keptAction) && target.split(' ').includes(`revision=${String(revision)}`),
  );
};
