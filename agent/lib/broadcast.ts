/** A value as a reader gets it, with how many were dropped for this reader since it began. */
export interface Delivery<T> {
  readonly value: T;
  readonly lost: number;
}

export interface Broadcast<T> {
  /** Never waits: a reader whose queue is full loses its oldest value and sees that in `lost`. */
  publish(value: T): void;
  /** Values published from now on; ends when the signal aborts or the broadcast closes. */
  subscribe(signal: AbortSignal): AsyncIterable<Delivery<T>>;
  readonly readers: number;
  /** Ends every reader. Idempotent. */
  close(): void;
}

interface Reader<T> {
  readonly push: (value: T) => void;
  readonly end: () => void;
}

/** One writer, many readers, a bounded queue for each (`queueMax` values, at least 1), drop-oldest. */
export const createBroadcast = <T>(queueMax: number): Broadcast<T> => {
  const readers = new Set<Reader<T>>();
  let closed = false;
  return {
    get readers() {
      return readers.size;
    },
    publish: (value) => {
      for (const reader of readers) reader.push(value);
    },
    subscribe: (signal) => ({
      [Symbol.asyncIterator]: () => {
        if (closed || signal.aborted) return ended<T>();
        const queue = createQueue<T>(queueMax, () => {
          readers.delete(queue);
          signal.removeEventListener('abort', queue.end);
        });
        readers.add(queue);
        signal.addEventListener('abort', queue.end, { once: true });
        return queue.iterator;
      },
    }),
    close: () => {
      closed = true;
      for (const reader of readers) reader.end();
    },
  };
};

const ended = <T>(): AsyncIterator<Delivery<T>> => ({ next: async () => ({ done: true, value: undefined }) });

const createQueue = <T>(queueMax: number, onEnd: () => void): Reader<T> & { readonly iterator: AsyncIterator<Delivery<T>> } => {
  const values: T[] = [];
  const waiting: ((result: IteratorResult<Delivery<T>>) => void)[] = [];
  let lost = 0;
  let over = false;
  const end = (): void => {
    if (over) return;
    over = true;
    values.length = 0;
    onEnd();
    for (const resolve of waiting.splice(0)) resolve({ done: true, value: undefined });
  };
  const push = (value: T): void => {
    if (over) return;
    const resolve = waiting.shift();
    if (resolve !== undefined) {
      resolve({ done: false, value: { value, lost } });
      return;
    }
    values.push(value);
    if (values.length > queueMax) {
      values.shift();
      lost++;
    }
  };
  const iterator: AsyncIterator<Delivery<T>> = {
    next: () => {
      if (over) return Promise.resolve({ done: true, value: undefined });
      if (values.length > 0) return Promise.resolve({ done: false, value: { value: values.shift() as T, lost } });
      return new Promise((resolve) => waiting.push(resolve));
    },
    return: async () => {
      end();
      return { done: true, value: undefined };
    },
  };
  return { push, end, iterator };
};
