/** A value that others may follow. A slow follower skips to the newest value: nothing queues up. */

export interface Latest<Value> {
  readonly value: Value;
  set(value: Value): void;
  /** The value now, then after every change, until the signal aborts or `close` was called. */
  follow(signal: AbortSignal): AsyncIterable<Value>;
  close(): void;
}

/** A followable value starting with `initial`. */
export const createLatest = <Value>(initial: Value): Latest<Value> => {
  let value = initial;
  let version = 0;
  let isClosed = false;
  const wakers = new Set<() => void>();
  const wakeAll = (): void => {
    for (const wake of wakers) wake();
  };
  const changed = (seen: number, signal: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      if (version !== seen || isClosed || signal.aborted) {
        resolve();
        return;
      }
      const wake = (): void => {
        wakers.delete(wake);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      wakers.add(wake);
      signal.addEventListener('abort', wake, { once: true });
    });
  return {
    get value() {
      return value;
    },
    set: (next) => {
      value = next;
      version += 1;
      wakeAll();
    },
    follow: async function* (signal) {
      for (let seen = -1; !signal.aborted;) {
        if (seen !== version) {
          seen = version;
          yield value;
          continue;
        }
        if (isClosed) return;
        await changed(seen, signal);
      }
    },
    close: () => {
      isClosed = true;
      wakeAll();
    },
  };
};
