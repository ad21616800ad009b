/** Pauses between attempts: growing, bounded, with jitter so that a fleet does not return in one instant. */
import type { RandomBytes } from './random.ts';

export interface BackoffLimits {
  readonly firstMs: number;
  readonly maxMs: number;
  readonly factor: number;
  /** Share of the pause that is random, 0..1. */
  readonly jitter: number;
}

/** Pause before attempt number `attempt` (1 = first retry), milliseconds: within +-jitter of the grown value, never above max * (1 + jitter). */
export const backoffDelayMs = (attempt: number, limits: BackoffLimits, random: RandomBytes): number => {
  const grown = Math.min(limits.maxMs, limits.firstMs * limits.factor ** Math.max(0, attempt - 1));
  const [high = 0, low = 0] = random(2);
  const share = (high * 256 + low) / 65_535;
  return Math.round(grown * (1 + limits.jitter * (share * 2 - 1)));
};
