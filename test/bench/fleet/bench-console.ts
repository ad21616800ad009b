/** The benchmark's handle on a console process. */
import { startProcess } from './process-calls.ts';
import type { ConsoleOrders, OrderName } from './console-orders.ts';

export interface BenchConsole extends AsyncDisposable {
  /** Raises what the console raised, as text. */
  order<Name extends OrderName>(name: Name, request: ConsoleOrders[Name]['request']): Promise<ConsoleOrders[Name]['answer']>;
}

/** An empty console process. */
export const startBenchConsole = (signal: AbortSignal): BenchConsole => {
  const child = startProcess(new URL('console-process.ts', import.meta.url));
  return {
    order: async (name, request) => (await child.call(name, request, signal)) as never,
    [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
  };
};
