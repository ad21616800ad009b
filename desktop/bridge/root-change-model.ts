/** A change of the fleet's root, as it crosses the bridge. */

export type RootChangePhase = 'announced' | 'dual-trust' | 're-issue' | 'dropped' | 'cancelled';

/** Something whose certificate is still under the root that is to go, or that was signed under it and still waits. */
export interface RootChangeHold {
  readonly kind: 'host' | 'device' | 'intent' | 'rollout';
  readonly name: string;
  /** Null for devices and rollouts. */
  readonly hostId: string | null;
  /** Not connected to this console now. */
  readonly isAway: boolean;
  /** One sentence with the next step. */
  readonly reason: string;
}

export interface RootChangeView {
  /** "none": the root was never changed. */
  readonly phase: RootChangePhase | 'none';
  /** True between the start and the last step. */
  readonly isUnderWay: boolean;
  /** Whether this console holds both roots and may go on. */
  readonly isConductedHere: boolean;
  /** Milliseconds since the Unix epoch; null without a change. */
  readonly startedAt: number | null;
  /** When the present phase was signed; null without a change. */
  readonly phaseAt: number | null;
  /** SHA-256 of the public keys, lower-case hex; the present root, and the one that follows or took its place. */
  readonly from: string;
  readonly to: string | null;
  /** Where "advance" and "rollback" lead; null when there is no way. */
  readonly next: RootChangePhase | null;
  readonly back: RootChangePhase | null;
  /** What hangs on the old root; the last step waits for it. */
  readonly holds: readonly RootChangeHold[];
  /** What hangs on the new root; the way back to "announced" waits for it. */
  readonly backHolds: readonly RootChangeHold[];
  /** Hosts that have not taken the present step yet. */
  readonly behind: readonly { readonly hostId: string; readonly name: string; readonly isAway: boolean }[];
}
