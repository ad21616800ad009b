/**
 * Intents: changes that an operator signed while this host was away. Used by the server and wired by system.ts. It judges an intent (who
 * signed it, for whom, when, in which order) and remembers which were taken; it never applies one.
 */
import type { NestErrorCode } from '../../../proto/model/error.ts';
import type { Intent } from '../../../proto/model/intent.ts';
import type { Envelope } from '../../../proto/model/operator-signature.ts';

export interface AdmittedIntent {
  readonly intent: Intent;
  /** spiffe://<fleet>/operator/<name> who signed it. */
  readonly subject: string;
}

/**
 * Codes raised: INPUT_INVALID, CERTIFICATE_INVALID, SCOPE_MISSING, FLEET_MISMATCH, IDENTITY_MISMATCH (for another host), NOT_ENROLLED,
 * INTENT_EXPIRED, INTENT_STALE, STATE_FAILED.
 */
export interface IntentControl {
  /** Judges an intent against the revision in force and remembers it as taken, durably. A repetition within 24 hours is admitted again. */
  take(envelope: Envelope, currentRevision: number): AdmittedIntent;
  close(): void;
}

export type IntentErrorCode = Extract<NestErrorCode, 'INTENT_EXPIRED' | 'INTENT_STALE' | 'IDENTITY_MISMATCH'>;
