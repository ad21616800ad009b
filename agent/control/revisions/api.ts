/**
 * Revisions of the host's one configuration document: stored crash-safe, applied as a transaction with a dead-man
 * timer, confirmed or taken back. Used by the server and wired by system.ts. It never looks inside a document and never
 * touches the data path itself: activation is a port, implemented by the traffic domain.
 */
import type { NestErrorCode } from '../../../proto/model/error.ts';

/** The policy of revision 0. */
export const emptyPolicyJson = '{"apiVersion":"nest/v1","kind":"Policy","defaultAction":"allow","services":[],"mappings":[]}';

export type RevisionState = 'pending' | 'confirmed' | 'rolled-back' | 'superseded' | 'failed';

export interface Revision {
  readonly revision: number;
  /** Opaque; changes with every revision. */
  readonly etag: string;
  readonly policyJson: string;
  readonly generation: string;
  readonly state: RevisionState;
  readonly author: string;
  readonly comment: string;
  readonly createdAtMs: number;
  readonly settledAtMs: number | null;
  readonly settledReason: string;
  readonly mappingCount: number;
  readonly serviceCount: number;
}

export interface Pending {
  readonly revision: number;
  readonly previousRevision: number;
  readonly rollbackAtMs: number;
  readonly remainingMs: number;
  readonly transactionId: string;
}

/** Port: makes a document's tables current. Must be atomic: on failure the previous tables stay. */
export interface Activation {
  activate(
    policyJson: string,
    signal: AbortSignal,
  ): Promise<{ readonly generation: string; readonly loadMs: number; readonly flipMs: number }>;
}

/** Port: raises a health warning by code, or clears it with null. */
export type RaiseWarning = (
  code: string,
  warning: { readonly title: string; readonly message: string; readonly severity: 'warning' | 'critical' } | null,
) => void;

export interface ApplyRequest {
  readonly policyJson: string;
  readonly generation: string;
  readonly mappingCount: number;
  readonly serviceCount: number;
  /** Compare and set: REVISION_CONFLICT when the current etag is another. */
  readonly baseEtag: string;
  /** A repeated id returns the first outcome for 24 hours. */
  readonly transactionId: string;
  /** 5..3600 */
  readonly confirmWithinSeconds: number;
  readonly author: string;
  readonly comment: string;
}

export interface ReturnRequest extends Pick<ApplyRequest, 'transactionId' | 'confirmWithinSeconds' | 'author' | 'comment'> {
  /** 1 or more. */
  readonly toRevision: number;
}

export interface Applied {
  readonly revision: Revision;
  readonly rollbackAtMs: number;
  readonly remainingMs: number;
  readonly loadMs: number;
  readonly flipMs: number;
}

export interface RevisionEvent {
  readonly revision: Revision;
  readonly pending: Pending | null;
}

/**
 * Codes raised: REVISION_CONFLICT, APPLY_IN_PROGRESS (another revision is pending), APPLY_FAILED, NOTHING_TO_CONFIRM,
 * REVISION_UNKNOWN, STATE_FAILED and whatever the activation raises (OBSERVE_ONLY, ENGINE_FAILED ...).
 */
export interface RevisionControl {
  /** Activates the last confirmed revision (a revision left pending by a crash is first taken back if its time is over, else its timer goes on). */
  start(signal: AbortSignal): Promise<void>;
  /** The revision in force; revision 0 (empty policy, default allow) before the first apply. */
  current(): Revision;
  pending(): Pending | null;
  /** Newest first, at most 50, without documents. */
  list(): readonly Revision[];
  /** Throws REVISION_UNKNOWN. */
  get(revision: number): Revision;
  /** The first outcome of a transaction id, for whoever asks again before anything else is looked at; null when it is new. Throws what it was refused with. */
  repeated(transactionId: string): Promise<Applied | null>;
  apply(request: ApplyRequest, signal: AbortSignal): Promise<Applied>;
  confirm(request: { readonly revision: number; readonly transactionId: string }): Promise<Revision>;
  /** Takes the pending revision back now; returns the one in force. */
  rollback(request: { readonly author: string; readonly comment: string }, signal: AbortSignal): Promise<Revision>;
  /** The document of an older revision becomes a new, pending one under the dead-man timer. Throws REVISION_UNKNOWN. */
  returnTo(request: ReturnRequest, signal: AbortSignal): Promise<Applied>;
  /** The present state first, then every change; a revision taken back is followed by the one in force. Ends when the signal aborts. */
  watch(signal: AbortSignal): AsyncIterable<RevisionEvent>;
  /** Stops the timer; a pending revision is taken back by the next start when its time is over. */
  close(): Promise<void>;
}

export type RevisionErrorCode = Extract<
  NestErrorCode,
  'REVISION_CONFLICT' | 'APPLY_IN_PROGRESS' | 'APPLY_FAILED' | 'NOTHING_TO_CONFIRM' | 'REVISION_UNKNOWN' | 'STATE_FAILED'
>;

export { inTransaction, openStateDatabase } from './state-database.ts';
