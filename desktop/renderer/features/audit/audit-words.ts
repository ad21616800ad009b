/** Audit entries in the words of the page. */
import type { AuditHeadRow, AuditRow } from '../../../bridge/model.ts';
import { formatCount } from '../../client/units.ts';

/** "operator/ada" of a subject, "a stranger" of nobody. */
export const actorText = (actor: string): string => (actor === '' ? 'a stranger' : actor.replace(/^spiffe:\/\/[^/]+\//, ''));

/** "ConfigService/ApplyConfig" of a path; words of the agent stay as they are. */
export const actionText = (action: string): string => action.replace(/^\/(nest\.v1\.)?/, '');

export const resultText = ({ result, count }: Pick<AuditRow, 'result' | 'count'>): string =>
  count === 1 ? result : `${result} × ${formatCount(count)}`;

/** "118 → 119", "118", "–". */
export const revisionText = ({ revisionBefore, revisionAfter }: Pick<AuditRow, 'revisionBefore' | 'revisionAfter'>): string => {
  if (revisionBefore === null && revisionAfter === null) return '–';
  if (revisionAfter === null || revisionBefore === revisionAfter) return String(revisionBefore ?? revisionAfter);
  return `${revisionBefore === null ? '–' : String(revisionBefore)} → ${String(revisionAfter)}`;
};

export const headLooks: Readonly<Record<AuditHeadRow['state'], { readonly tone: string; readonly shape: string; readonly word: string }>> =
  {
    sound: { tone: 'ok', shape: 'dot', word: 'Whole' },
    gap: { tone: 'warn', shape: 'dot triangle', word: 'Whole, with a gap' },
    alarm: { tone: 'crit', shape: 'dot square', word: 'Tampered with' },
    unknown: { tone: 'off', shape: 'dot ring', word: 'Not seen yet' },
  };

/** What is to be said about a log besides its state; empty when nothing is. */
export const headRemark = ({ alarm, gap, problem }: AuditHeadRow): string => {
  if (alarm !== null) return alarm.message;
  if (gap !== null) return `Entries ${formatCount(gap.first)} to ${formatCount(gap.last)} were retired before this console saw them.`;
  return problem ?? '';
};
