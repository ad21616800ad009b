/** What the agent does by itself, or somebody at the host's own keyboard, as entries of the log. */
import { emptyFact } from '../../../proto/model/audit.ts';
import { errorCodeOf } from '../../../proto/model/error.ts';
import type { AuthenticationEvent } from '../../lib/authentication-event.ts';
import type { IdentityControl } from '../identity/api.ts';
import type { RevisionControl } from '../revisions/api.ts';
import type { AuditControl, AuditFact } from './api.ts';

export interface LocalEffectParts {
  readonly audit: Pick<AuditControl, 'note'>;
  readonly identity: Pick<IdentityControl, 'identity' | 'enrollment' | 'onChanged'>;
  readonly revisions: Pick<RevisionControl, 'current' | 'list' | 'watch'>;
  readonly agentVersion: string;
  /** When this agent began to start, milliseconds: what was taken back since then was taken back by its start. */
  readonly startedAtMs: number;
  readonly onFailed: (error: unknown) => void;
}

/** Notes start and stop, revisions taken back, enrolments opened and closed. Disposing notes the stop. */
export const noteLocalEffects = (parts: LocalEffectParts): AsyncDisposable => {
  const { audit, revisions, agentVersion } = parts;
  const stopping = new AbortController();
  const note = (action: string, more: Partial<AuditFact> = {}): void => {
    const { revision } = revisions.current();
    audit.note({ ...emptyFact, actor: 'agent', action, revisionBefore: revision, revisionAfter: revision, ...more });
  };
  note('agent.started', { detail: agentVersion });
  for (const revision of revisions.list())
    if ((revision.state === 'rolled-back' || revision.state === 'failed') && (revision.settledAtMs ?? 0) >= parts.startedAtMs)
      note(`revision.${revision.state}`, takenBack(revision.revision, revision.settledReason));
  const following = followRevisions(revisions, note, stopping.signal).catch(parts.onFailed);
  const stopFollowing = followEnrollment(parts.identity, note);
  return {
    [Symbol.asyncDispose]: async () => {
      stopping.abort();
      stopFollowing();
      await following;
      note('agent.stopped');
    },
  };
};

/** Somebody whose connection was refused before there was a call. Never raises: a log that cannot be written says so itself. */
export const auditConnection = (audit: Pick<AuditControl, 'refused'>, event: AuthenticationEvent): void => {
  if (event.kind !== 'connection' || event.isAccepted) return;
  const { source, subject, action, code } = event;
  audit.refused({ ...emptyFact, actor: subject, source, action: 'connection', target: action, result: code }).catch(() => undefined);
};

/**
 * Runs what somebody asked for on the host itself: durable in the log before it begins, and again with its end. The socket belongs to
 * one user and nobody else but root reaches it, so the actor is that user. Throws what `work` throws, AUDIT_FAILED.
 */
export const auditLocal = async <Result>(audit: AuditControl, action: string, work: () => Promise<Result>): Promise<Result> => {
  const fact: AuditFact = { ...emptyFact, actor: `local:${String(process.getuid?.() ?? 0)}`, action };
  const opening = await audit.append({ ...fact, result: 'started' }, { durable: true });
  try {
    const result = await work();
    await audit.append({ ...fact, opening }, { durable: true });
    return result;
  } catch (error) {
    audit.note({ ...fact, opening, result: errorCodeOf(error) });
    throw error;
  }
};

/** Notes each mapping that the agent takes out of force because its time is over. */
export const noteMappingEnds =
  (audit: Pick<AuditControl, 'note'>) =>
  ({ mapping, expiresAtMs }: { readonly mapping: string; readonly expiresAtMs: number | null }): void =>
    audit.note({
      ...emptyFact,
      actor: 'agent',
      action: 'mapping.ended',
      target: `mapping=${mapping}`,
      detail: expiresAtMs === null ? '' : new Date(expiresAtMs).toISOString(),
    });

type Note = (action: string, more?: Partial<AuditFact>) => void;

const takenBack = (revision: number, reason: string): Partial<AuditFact> => ({
  target: `revision=${String(revision)}`,
  revisionBefore: revision,
  detail: reason,
});

const followRevisions = async (revisions: Pick<RevisionControl, 'watch'>, note: Note, signal: AbortSignal): Promise<void> => {
  let isFirst = true;
  for await (const { revision } of revisions.watch(signal)) {
    // The first event is the state as it was found.
    if (!isFirst && (revision.state === 'rolled-back' || revision.state === 'failed'))
      note(`revision.${revision.state}`, takenBack(revision.revision, revision.settledReason));
    isFirst = false;
  }
};

const followEnrollment = (identity: LocalEffectParts['identity'], note: Note): (() => void) => {
  let wasOpen = identity.enrollment() !== null;
  let agentId = identity.identity()?.agentId ?? '';
  return identity.onChanged(() => {
    const isOpen = identity.enrollment() !== null;
    if (isOpen !== wasOpen) note(isOpen ? 'enrollment.opened' : 'enrollment.closed');
    wasOpen = isOpen;
    const now = identity.identity();
    if (now !== null && now.agentId !== agentId)
      note('enrollment.joined', { target: `agent=${now.agentId}`, detail: `fleet ${now.fleetId}` });
    agentId = now?.agentId ?? '';
  });
};
