/** A clock for tests: time moves only when told to. */
import { cancelled } from './clock.ts';
import type { Clock } from './clock.ts';

export interface ManualClock extends Clock {
  /** Moves time on and wakes, in order, everything that was due; lets woken work run in between. */
  advance(ms: number): Promise<void>;
  /** Sleepers now. */
  readonly sleeping: number;
}

/** Lets promises that are ready settle. */
export const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 4; turn += 1) await new Promise<void>((resolve) => setImmediate(resolve));
};

/** A manual clock that starts at `startMs` (milliseconds since the Unix epoch). */
export const createManualClock = (startMs = 1_750_000_000_000): ManualClock => {
  let elapsed = 0;
  const sleepers = new Set<{ readonly at: number; readonly wake: () => void }>();
  return {
    now: () => startMs + elapsed,
    monotonicMs: () => elapsed,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) {
          reject(cancelled(signal.reason));
          return;
        }
        const leave = (): void => {
          sleepers.delete(sleeper);
          reject(cancelled(signal.reason));
        };
        const sleeper = {
          at: elapsed + ms,
          wake: () => {
            signal.removeEventListener('abort', leave);
            resolve();
          },
        };
        sleepers.add(sleeper);
        signal.addEventListener('abort', leave, { once: true });
      }),
    advance: async (ms) => {
      const target = elapsed + ms;
      await settle();
      for (;;) {
        const due = [...sleepers].filter((sleeper) => sleeper.at <= target).sort((a, b) => a.at - b.at)[0];
        if (due === undefined) break;
        elapsed = Math.max(elapsed, due.at);
        sleepers.delete(due);
        due.wake();
        await settle();
      }
      elapsed = target;
      await settle();
    },
    get sleeping() {
      return sleepers.size;
    },
  };
};
