import type { Clock, Timer } from '../../lib/clock.ts';

/** First pause between attempts; doubles up to the largest. */
const pauseFirstMs = 250;
const pauseMaxMs = 30_000;
/** About an hour of attempts; then the operator must act. */
export const attemptsMax = 128;

export interface PacedRetry {
  /** Tries at once, and again, paced, until it succeeds or {@link attemptsMax} is reached. Replaces a run that goes on. Resolves after the first attempt. */
  run(work: () => Promise<void>, onFailure: (error: unknown, isLast: boolean) => void): Promise<void>;
  cancel(): void;
}

/** Retries one piece of work with growing pauses; attempts after the first take their `turn`. */
export const createPacedRetry = (clock: Clock, turn: (work: () => Promise<void>) => Promise<void>): PacedRetry => {
  let timer: Timer | undefined;
  let run = 0;
  const cancel = (): void => {
    run++;
    timer?.cancel();
    timer = undefined;
  };
  return {
    cancel,
    run: async (work, onFailure) => {
      cancel();
      const mine = run;
      const attempt = async (count: number): Promise<void> => {
        if (mine !== run) return;
        try {
          await work();
        } catch (error) {
          if (mine !== run) return;
          const isLast = count >= attemptsMax;
          onFailure(error, isLast);
          if (!isLast)
            timer = clock.after(Math.min(pauseMaxMs, pauseFirstMs * 2 ** (count - 1)), () => void turn(() => attempt(count + 1)));
        }
      };
      await attempt(1);
    },
  };
};
