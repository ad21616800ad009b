/** Waits for the next tick, or for something that happens before. */
import { isCancelled } from '../../lib/api.ts';
import type { Clock } from '../../lib/api.ts';

const pollMs = 100;

export interface Pace {
  /** Ends the wait that is under way. */
  wake(): void;
  /** Resolves after `ms`, or when woken. Raises when the signal aborts. */
  wait(ms: number, signal: AbortSignal): Promise<void>;
  /** Resolves when it is so, or after `ms`. Raises CANCELLED. */
  until(isSo: () => boolean, ms: number, signal: AbortSignal): Promise<void>;
}

/** By this clock. */
export const createPace = (clock: Clock): Pace => {
  let wake = (): void => undefined;
  return {
    wake: () => wake(),
    until: async (isSo, ms, signal) => {
      for (const end = clock.monotonicMs() + ms; clock.monotonicMs() < end && !isSo();) await clock.sleep(pollMs, signal);
    },
    wait: async (ms, signal) => {
      const over = new AbortController();
      const woken = new Promise<void>((resolve) => {
        wake = resolve;
      });
      const slept = clock.sleep(ms, AbortSignal.any([signal, over.signal])).catch((error: unknown) => {
        if (!isCancelled(error)) throw error;
      });
      await Promise.race([woken, slept]);
      over.abort();
      await slept;
      signal.throwIfAborted();
    },
  };
};
