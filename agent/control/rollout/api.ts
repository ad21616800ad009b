/**
 * Records of the staged rollouts this host takes part in: signed by consoles, kept crash-safe and bounded, so that any console can go on
 * with a rollout whose console died. Used by the server and wired by system.ts. It decides who is in charge of a rollout on this host and
 * never touches a policy.
 */
import type { NestErrorCode } from '../../../proto/model/error.ts';
import type { Envelope } from '../../../proto/model/operator-signature.ts';

export interface RolloutRecord {
  readonly rolloutId: string;
  readonly plan: Envelope;
  readonly state: Envelope;
  readonly storedAtMs: number;
}

/** Codes raised: INPUT_INVALID, CERTIFICATE_INVALID, SCOPE_MISSING, FLEET_MISMATCH, NOT_ENROLLED, ROLLOUT_CONFLICT, NOT_FOUND, STATE_FAILED. */
export interface RolloutControl {
  /**
   * Stores a state, and the plan of a rollout that is new here. ROLLOUT_CONFLICT: another rollout is open, or another console is in charge
   * of this one. NOT_FOUND: the rollout is not known and comes without its plan.
   */
  put(record: { readonly plan: Envelope | null; readonly state: Envelope }): void;
  /** Newest first, at most 16. */
  records(): readonly RolloutRecord[];
  /** Throws ROLLOUT_CONFLICT unless the console of this term is in charge of the rollout here. */
  admit(rolloutId: string, term: number): void;
  /** Whether the plan of an open rollout was approved with a second factor, and this is its policy. */
  covers(rolloutId: string, policyJson: string): boolean;
  close(): void;
}

export type RolloutErrorCode = Extract<NestErrorCode, 'ROLLOUT_CONFLICT' | 'NOT_FOUND' | 'STATE_FAILED'>;
