/** Who was locked out of the fleet and who was let in again, as entries of the log: the call that brought the bundle names neither. */
import { emptyFact } from '../../../proto/model/audit.ts';
import type { AccessControl } from '../access/api.ts';
import type { AuditControl } from './api.ts';

/** Entries for one change of the bundle; what is beyond is counted in one more. */
export const lockNotesMax = 200;

/** Follows the locks of the access bundle from now on; returns the way to stop. */
export const noteLocks = (audit: Pick<AuditControl, 'note'>, access: Pick<AccessControl, 'head' | 'locks' | 'onChanged'>): (() => void) => {
  let before = byTarget(access);
  return access.onChanged(() => {
    const now = byTarget(access);
    const { author, revision } = access.head();
    // Without a bundle nobody says anything about locks: the host has left its fleet, or lost what it knew.
    const changes = revision === 0 ? [] : [...changesOf('access.locked', before, now), ...changesOf('access.unlocked', now, before)];
    before = now;
    const said = { ...emptyFact, actor: author, detail: '' };
    for (const { action, target, reason } of changes.slice(0, lockNotesMax)) audit.note({ ...said, action, target, detail: reason });
    const rest = changes.length - lockNotesMax;
    if (rest > 0) audit.note({ ...said, action: 'access.locks', count: rest, detail: `${String(rest)} more locks changed at once` });
  });
};

interface LockChange {
  readonly action: string;
  readonly target: string;
  readonly reason: string;
}

const byTarget = (access: Pick<AccessControl, 'locks'>): ReadonlyMap<string, string> =>
  new Map(access.locks().map(({ target, reason }) => [target, reason]));

/** What `after` has and `before` has not. */
const changesOf = (action: string, before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): readonly LockChange[] =>
  [...after].flatMap(([target, reason]) => (before.has(target) ? [] : [{ action, target, reason }]));
