/** A core for tests: what is not given answers NOT_FOUND. */
import { NestError } from '../../proto/model/error.ts';
import { contract } from './contract.ts';
import type { BridgeHandlers, MethodName } from './contract.ts';
import type { DenyListTable, EngineName } from './model.ts';

/** Handlers for every method of the contract, the given ones in front. */
export const createFakeHandlers = (given: Partial<BridgeHandlers>): BridgeHandlers => {
  const missing = (method: string): Promise<never> => Promise.reject(new NestError('NOT_FOUND', `The test gives no ${method}.`));
  const names = Object.keys(contract) as MethodName[];
  // Each entry has the shape its method needs; the type system cannot follow a table built by name.
  return Object.fromEntries(names.map((name) => [name, given[name] ?? (() => missing(name))])) as unknown as BridgeHandlers;
};

/** What of a host's traffic can be changed past its policy, kept in memory: deny lists and engines, for any host id. */
export const createFakeTraffic = (): Pick<BridgeHandlers, 'host.denyLists' | 'host.denyList.update' | 'host.interface.engine'> & {
  readonly engines: ReadonlyMap<string, EngineName>;
} => {
  const lists = new Map<string, { readonly prefixes: readonly string[]; readonly expiresAt: number | null }>();
  const engines = new Map<string, EngineName>();
  const table = (): DenyListTable => ({
    at: 0,
    live: true,
    lists: [...lists].map(([name, { prefixes, expiresAt }]) => ({
      name,
      origin: 'host',
      file: null,
      prefixes: prefixes.length,
      firstPrefixes: prefixes.slice(0, 100),
      expiresAt,
      expired: false,
      hitPackets: 0,
      hitBytes: 0,
      problem: null,
    })),
  });
  return {
    engines,
    'host.denyLists': async () => Promise.resolve(table()),
    'host.denyList.update': async ({ name, add, remove, expiresAt, delete: whole = false }) => {
      const before = lists.get(name)?.prefixes ?? [];
      const after = whole ? [] : [...new Set([...before, ...add])].filter((prefix) => !remove.includes(prefix));
      if (whole) lists.delete(name);
      else lists.set(name, { prefixes: after, expiresAt: expiresAt ?? null });
      const gone = before.filter((prefix) => !after.includes(prefix)).length;
      return Promise.resolve({ added: after.length - before.length + gone, removed: gone, prefixes: after.length });
    },
    'host.interface.engine': async ({ interface: name, engine }) => {
      engines.set(name, engine);
      return Promise.resolve({ engine: engine === 'off' ? null : engine, reason: `${engine} was chosen`, warning: '' });
    },
  };
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
