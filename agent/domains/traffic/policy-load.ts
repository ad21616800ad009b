import type { Engine } from '../../engine/api.ts';
import type { Logger } from '../../lib/log.ts';
import type { CounterLedger } from './counter-ledger.ts';
import type { PolicyTables } from './policy-tables.ts';
import type { LoadableTables, Steering } from './steering.ts';
import type { UserEngines } from './user-engines.ts';

export interface PolicyLoadContext {
  readonly live: { readonly engine: Engine; readonly instance: string };
  readonly ledger: CounterLedger;
  readonly steering: Steering;
  readonly users: UserEngines;
  readonly log: Logger;
  /** Bookkeeping that may fail without stopping enforcement. */
  readonly keep: (what: string, work: () => void) => void;
}

export interface LoadedPolicy {
  /** What is in force from now on; null: it was in force already. */
  readonly loadable: LoadableTables | null;
  readonly loadMs: number;
  readonly flipMs: number;
}

const untouched = { loadMs: 0, flipMs: 0 };

/**
 * Makes tables current. `current`: those that this agent loaded last, `isReload`: load them even when they are the same. Raises
 * POLICY_INVALID, POLICY_TOO_LARGE (what deny-list files hold) and ENGINE_FAILED.
 */
export const loadPolicy = async (
  { tables, current, isReload }: { readonly tables: PolicyTables; readonly current: PolicyTables | null; readonly isReload: boolean },
  context: PolicyLoadContext,
): Promise<LoadedPolicy> => {
  const { live, ledger, steering, users } = context;
  const { engine, instance } = live;
  const loadable = await steering.prepare(tables);
  const isLoaded = ledger.sequence(instance, engine.state().sequence)?.generation === tables.generation;
  // The same policy, taken over from the agent before: its tables lack nothing, unless they hold more than the document says.
  if (isLoaded && current === null && loadable.content.isPlain) {
    await engine.setBackendStates(loadable.states);
    await users.provide(loadable.image, loadable.states);
    return { loadable, ...untouched };
  }
  if (isLoaded && current !== null && !isReload) return { loadable: null, ...untouched };
  return { loadable, ...(await swap(tables, loadable, context)) };
};

const swap = async (
  { generation, record }: PolicyTables,
  { image, states }: LoadableTables,
  { live: { engine, instance }, ledger, log, keep }: PolicyLoadContext,
): Promise<{ readonly loadMs: number; readonly flipMs: number }> => {
  // A full disk must not keep an unwanted policy in force: then the swap goes on and its counters stay without names.
  const sequence = engine.state().sequence + 1;
  keep('the names of the next tables', () => ledger.prepareSwap(instance, engine.counters(), { sequence, record }));
  const times = await engine.swap(image, sequence, states).catch((error: unknown) => {
    keep('that the tables were not loaded', () => ledger.cancelSwap(instance, sequence));
    throw error;
  });
  log.info('policy current', { generation, sequence, ...times });
  return times;
};
