/**
 * Whether the kernel still has what this agent put there: looked at every minute and on request, reported as a health warning and in the
 * audit log, and put right when the host is told to heal. Used by the server and wired by system.ts. It never looks into the kernel itself:
 * finding and healing is a port, implemented by the traffic domain.
 */

/** report: tells. heal: tells, and puts right what it can. */
export type DriftMode = 'report' | 'heal';

export interface DriftFound {
  /** Names it for as long as it lasts, for instance "interface wan0". */
  readonly resource: string;
  readonly message: string;
  readonly canHeal: boolean;
}

export interface DriftFinding extends DriftFound {
  readonly sinceMs: number;
}

export interface DriftStatus {
  readonly mode: DriftMode;
  /** null: not yet. */
  readonly checkedAtMs: number | null;
  readonly findings: readonly DriftFinding[];
  /** Put right since the agent started. */
  readonly healed: number;
}

/** Port: compares and puts right. Both raise ENGINE_FAILED. */
export interface DriftPort {
  inspect(): Promise<readonly DriftFound[]>;
  heal(resources: readonly string[]): Promise<void>;
}

export interface DriftControl {
  status(): DriftStatus;
  /** Looks now; in heal mode also puts right. Raises what the port raises. */
  check(): Promise<DriftStatus>;
  /** Kept over restarts; looks at once. Raises STATE_FAILED. */
  setMode(mode: DriftMode): Promise<DriftStatus>;
  /** Idempotent. */
  close(): Promise<void>;
}
