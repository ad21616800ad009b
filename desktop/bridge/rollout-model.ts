/** Staged rollouts and intents as they cross the bridge. Times: milliseconds since the Unix epoch; null = not measured or not known. */
import type { RolloutGates, RolloutHostState, RolloutPhase } from '../../proto/model/rollout.ts';

export type { RolloutGates, RolloutHostState, RolloutPhase } from '../../proto/model/rollout.ts';

/** One figure of a host against what it may be. */
export interface RolloutGate {
  readonly gate: 'drop-rate' | 'flow-failures' | 'health' | 'drift';
  /** The reason of the drops, or the code of the warning; "" when there is none. */
  readonly subject: string;
  /** Packets per second for rates; 1 or 0 for health and drift. */
  readonly figure: number | null;
  readonly baseline: number | null;
  readonly threshold: number | null;
  readonly verdict: 'passed' | 'breached' | 'unknown';
}

export interface StagedHost {
  readonly hostId: string;
  readonly hostName: string;
  /** 0-based. */
  readonly wave: number;
  readonly state: RolloutHostState;
  readonly attempt: number;
  readonly baseRevision: number | null;
  readonly revision: number | null;
  /** When the host takes the change back by itself, console clock; null when nothing waits. */
  readonly rollbackAt: number | null;
  /** Milliseconds of soak that are left; null when it does not soak. */
  readonly soakLeftMs: number | null;
  readonly problem: { readonly code: string; readonly message: string } | null;
  readonly gates: readonly RolloutGate[];
}

export interface StagedSettings {
  readonly maxUnavailable: number;
  readonly failuresMax: number;
  readonly soakSeconds: number;
  readonly baselineSeconds: number;
  readonly gates: RolloutGates;
  readonly rollback: 'wave' | 'all';
  readonly offline: 'skip' | 'intent';
}

export interface StagedRollout {
  readonly rolloutId: string;
  readonly name: string;
  readonly startedAt: number;
  /** 'yielded': another console has taken it over; what is shown here is old. */
  readonly phase: RolloutPhase | 'yielded';
  readonly reason: { readonly code: string; readonly message: string } | null;
  /** 'here': this process conducts it. 'idle': no console does, it may be resumed or taken over. 'elsewhere': found on the hosts. */
  readonly conducted: 'here' | 'beside' | 'idle' | 'elsewhere';
  /** Who signed its newest state. */
  readonly operator: string;
  readonly term: number;
  /** 0-based. */
  readonly wave: number;
  readonly waves: number;
  readonly settings: StagedSettings;
  readonly hosts: readonly StagedHost[];
}

export interface StagedPlanHost {
  readonly hostId: string;
  readonly hostName: string;
  readonly isLive: boolean;
  readonly canApply: boolean;
  readonly problem: string | null;
}

export interface StagedPlan {
  readonly planId: string;
  readonly name: string;
  readonly expiresAt: number;
  readonly settings: StagedSettings;
  readonly waves: readonly (readonly StagedPlanHost[])[];
  /** Sums over the hosts that answered. */
  readonly cutLive: number;
  readonly newlyAllowed: number;
}

/** A signed change that waits for its host. */
export interface IntentRow {
  readonly intentId: string;
  readonly hostId: string;
  readonly hostName: string;
  readonly operator: string;
  readonly comment: string;
  readonly baseRevision: number;
  readonly createdAt: number;
  readonly expiresAt: number;
  /** 'taken-back': nobody confirmed it in time, so that the host returned to what it had. */
  readonly state: 'waiting' | 'delivering' | 'kept' | 'taken-back' | 'refused' | 'expired' | 'cancelled';
  readonly problem: { readonly code: string; readonly message: string } | null;
}
