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

/** Yields when a value has changed, of any of the sources, at first for each of them; until the signal aborts or a source was closed. */
export async function* followAny(
  sources: readonly { follow(signal: AbortSignal): AsyncIterable<unknown> }[],
  signal: AbortSignal,
): AsyncGenerator<void> {
  const stop = new AbortController();
  const ended = AbortSignal.any([signal, stop.signal]);
  try {
    const changes = sources.map((source) => source.follow(ended)[Symbol.asyncIterator]());
    const waits = changes.map((change) => change.next());
    while (!signal.aborted) {
      const { index, done } = await Promise.race(waits.map(async (wait, at) => ({ index: at, done: (await wait).done })));
      const change = changes[index];
      if (done === true || change === undefined) return;
      waits[index] = change.next();
      yield;
    }
  } finally {
    stop.abort();
  }
}
