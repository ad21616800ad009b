/** A core for tests: what is not given answers NOT_FOUND. */
import { NestError } from '../../proto/model/error.ts';
import { contract } from './contract.ts';
import type { BridgeHandlers, MethodName } from './contract.ts';

/** Handlers for every method of the contract, the given ones in front. */
export const createFakeHandlers = (given: Partial<BridgeHandlers>): BridgeHandlers => {
  const missing = (method: string): Promise<never> => Promise.reject(new NestError('NOT_FOUND', `The test gives no ${method}.`));
  const names = Object.keys(contract) as MethodName[];
  // Each entry has the shape its method needs; the type system cannot follow a table built by name.
  return Object.fromEntries(names.map((name) => [name, given[name] ?? (() => missing(name))])) as unknown as BridgeHandlers;
};

/** A value that can be changed and watched: the stream starts with the present value and ends when the signal aborts. */
export const createFakeWatch = <Value>(
  initial: Value,
): { put(value: Value): void; end(): void; readonly watching: number; watch(signal: AbortSignal): AsyncGenerator<Value, void> } => {
  let version = 1;
  let value = initial;
  let hasEnded = false;
  const wakers = new Set<() => void>();
  let watching = 0;
  const wake = (): void => {
    for (const waker of wakers) waker();
  };
  return {
    put: (next) => {
      value = next;
      version += 1;
      wake();
    },
    end: () => {
      hasEnded = true;
      wake();
    },
    get watching() {
      return watching;
    },
    watch: async function* (signal) {
      let seen = 0;
      watching += 1;
      signal.addEventListener('abort', wake, { once: true });
      try {
        while (!signal.aborted) {
          if (seen !== version) {
            seen = version;
            yield value;
          } else if (hasEnded) return;
          else {
            await new Promise<void>((resolve) => {
              const waker = (): void => {
                wakers.delete(waker);
                resolve();
              };
              wakers.add(waker);
            });
          }
        }
      } finally {
        watching -= 1;
        signal.removeEventListener('abort', wake);
      }
    },
  };
};
