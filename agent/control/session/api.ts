/**
 * Second factors on this host: it is a witness for operators who enrolled here, it believes other witnesses, gives session tokens for it,
 * and lets break-glass grants in. Used by the server, wired by system.ts. Secrets of authenticators never leave it; it never decides who
 * may do what, which is access control's.
 */
import type { Act } from '../../../proto/model/act.ts';
import type { AccessCaller, SignedEnvelope } from '../access/api.ts';

export interface FactorOffer {
  readonly factorId: string;
  readonly secret: Uint8Array;
  readonly recoverySalt: Uint8Array;
  readonly recoveryHashes: readonly Uint8Array[];
}

export interface StepUpQuestion {
  readonly factorId: string;
  readonly code: string;
  /** Hex; empty for a session. */
  readonly actionHash: string;
  readonly hostSetHash: string;
  /** Clock of the caller, milliseconds since the Unix epoch. */
  readonly timeMs: number;
}

export interface NewSession {
  readonly token: string;
  readonly lifeMs: number;
  readonly freshMs: number;
}

/** What a session token proved about a call. */
export interface Session {
  /** Whether the second factor was checked within the last five minutes. */
  readonly isFresh: boolean;
}

export interface BreakGlassUse {
  readonly grantId: string;
  /** spiffe://<fleet>/operator/<name> */
  readonly operator: string;
  readonly device: string;
  readonly reason: string;
  readonly sinceMs: number;
  readonly untilMs: number;
}

/** An act over many hosts, and what its author showed for it. */
export interface SignedAct {
  /** spiffe://<fleet>/operator/<name> */
  readonly subject: string;
  readonly device: string;
  readonly act: Act;
  /** When its document was signed, milliseconds. */
  readonly atMs: number;
  /** Base64; null when there are none. */
  readonly statements: readonly string[] | null;
}

export interface SessionControl {
  /** Becomes a witness. The same offer again changes nothing. Raises INPUT_INVALID, LIMIT_REACHED, STATE_FAILED. */
  enroll(caller: AccessCaller, offer: FactorOffer): void;
  /** Checks a code once. Raises MFA_WRONG, LIMIT_REACHED while too many were wrong, NOT_FOUND, CLOCK_SKEWED, NOT_ENROLLED. */
  stepUp(caller: AccessCaller, question: StepUpQuestion): { readonly statement: SignedEnvelope; readonly recoveryCodesLeft: number };
  /** A token for who shows statements of the witnesses. Raises MFA_REQUIRED, CLOCK_SKEWED, CERTIFICATE_INVALID, REVOKED. */
  authenticate(
    caller: AccessCaller,
    shown: { readonly certificateHash: Uint8Array; readonly statements: readonly SignedEnvelope[]; readonly timeMs: number },
  ): NewSession;
  /** What a token says about a call with this client certificate. Raises SESSION_INVALID: also for a token of somebody else. */
  session(caller: AccessCaller, certificateHash: Uint8Array, token: string): Session;
  /** Whether this caller has to prove a second factor before what is dangerous. */
  needsStepUp(caller: AccessCaller): boolean;
  /** Whether the access bundle calls the scope dangerous. */
  isDangerous(scope: string): boolean;
  /** Raises MFA_REQUIRED, CERTIFICATE_INVALID, CLOCK_SKEWED when the act needed a second factor and does not show one. */
  checkAct(act: SignedAct): void;
  /** Takes a grant: from now on its holder may do everything here, until it ends. Raises what `checkGrant` raises, NOT_ENROLLED, STATE_FAILED. */
  useGrant(caller: AccessCaller, grant: SignedEnvelope): Promise<BreakGlassUse>;
  /** The grant this caller works under; null for none. */
  grantOf(caller: AccessCaller): BreakGlassUse | null;
  grants(): readonly BreakGlassUse[];
  /** Called when a grant begins or ends; returns the way to stop listening. */
  onChanged(listener: () => void): () => void;
  close(): void;
}
