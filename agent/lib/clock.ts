/** Port to time, so that tests own it. Wall time is for people and certificates, monotonic time for durations. */
export interface Clock {
  /** Milliseconds since the Unix epoch; may jump. */
  nowMs(): number;
  /** Milliseconds since some fixed moment; never goes back. */
  monotonicMs(): number;
  /** Calls once after the delay (milliseconds, at most 2^31 - 1) unless cancelled. The timer does not keep the process alive. */
  after(delayMs: number, call: () => void): Timer;
}

export interface Timer {
  /** Idempotent. */
  cancel(): void;
}

/** The clock of the operating system. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after: (delayMs, call) => {
    const timeout = setTimeout(call, delayMs);
    timeout.unref();
    return { cancel: () => clearTimeout(timeout) };
  },
};
