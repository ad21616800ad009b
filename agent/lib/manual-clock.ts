import type { Clock } from './clock.ts';

export interface ManualClock extends Clock {
  /** Moves both times on and fires what falls due, in order. */
  advance(milliseconds: number): void;
}

/** A clock that a test moves by hand. */
export const createManualClock = (startMs = Date.UTC(2026, 0, 1)): ManualClock => {
  let elapsedMs = 0;
  let timers: { readonly dueMs: number; readonly call: () => void }[] = [];
  return {
    nowMs: () => startMs + elapsedMs,
    monotonicMs: () => elapsedMs,
    after: (delayMs, call) => {
      const timer = { dueMs: elapsedMs + delayMs, call };
      timers.push(timer);
      return { cancel: () => void (timers = timers.filter((other) => other !== timer)) };
    },
    advance: (milliseconds) => {
      const untilMs = elapsedMs + milliseconds;
      for (;;) {
        const next = timers.filter((timer) => timer.dueMs <= untilMs).sort((a, b) => a.dueMs - b.dueMs)[0];
        if (next === undefined) break;
        timers = timers.filter((timer) => timer !== next);
        elapsedMs = Math.max(elapsedMs, next.dueMs);
        next.call();
      }
      elapsedMs = untilMs;
    },
  };
};
