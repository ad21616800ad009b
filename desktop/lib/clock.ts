/** Time as a port, so that tests own it. */
import { setTimeout as delay } from 'node:timers/promises';
import { NestError, errorCodeOf } from '../../proto/model/error.ts';

export interface Clock {
  /** Milliseconds since the Unix epoch; may jump when the machine's clock is set. */
  now(): number;
  /** Milliseconds from an arbitrary start; never goes back. */
  monotonicMs(): number;
  /** Resolves after `ms`; rejects with CANCELLED when the signal aborts first. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

/** The machine's clock. */
export const systemClock = (): Clock => ({
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep: async (ms, signal) => {
    try {
      await delay(ms, undefined, { signal });
    } catch (error) {
      throw cancelled(error);
    }
  },
});

/** The error of a call its caller gave up on; hosts do not show it. */
export const cancelled = (cause?: unknown): NestError =>
  new NestError('CANCELLED', 'The call was cancelled.', cause === undefined ? {} : { cause });

/** True for anything thrown because a signal was aborted. */
export const isCancelled = (error: unknown): boolean => errorCodeOf(error) === 'CANCELLED';

/** Raises CANCELLED when the signal has been aborted. */
export const throwIfCancelled = (signal: AbortSignal): void => {
  if (signal.aborted) throw cancelled(signal.reason);
};

/**
 * Runs `work`, which changes something elsewhere, with a signal that aborts `graceMs` after the caller's does: what was begun is not cut
 * off halfway. Raises CANCELLED without beginning when the caller has given up already.
 */
export const withGrace = async <Result>(
  options: { readonly clock: Clock; readonly graceMs: number; readonly signal: AbortSignal },
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> => {
  const { clock, graceMs, signal } = options;
  throwIfCancelled(signal);
  const done = new AbortController();
  const late = new AbortController();
  let watch: Promise<void> | undefined;
  const count = (): void => {
    watch = clock.sleep(graceMs, done.signal).then(
      () => {
        late.abort();
      },
      () => undefined,
    );
  };
  signal.addEventListener('abort', count, { once: true });
  try {
    return await work(late.signal);
  } finally {
    signal.removeEventListener('abort', count);
    done.abort();
    await watch;
  }
};

/**
 * Runs `work` with a signal that also aborts after `timeoutMs`. Raises TIMED_OUT with `message` when time ran out,
 * CANCELLED when the caller's signal did.
 */
export const withTimeout = async <Result>(
  options: { readonly clock: Clock; readonly timeoutMs: number; readonly message: string; readonly signal: AbortSignal },
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> => {
  throwIfCancelled(options.signal);
  const timer = new AbortController();
  const late = new AbortController();
  const watch = options.clock.sleep(options.timeoutMs, timer.signal).then(
    () => {
      late.abort();
    },
    () => undefined,
  );
  try {
    return await work(AbortSignal.any([options.signal, late.signal]));
  } catch (error) {
    if (late.signal.aborted && !options.signal.aborted && isCancelled(error))
      throw new NestError('TIMED_OUT', options.message, { cause: error });
    throw error;
  } finally {
    timer.abort();
    await watch;
  }
};
