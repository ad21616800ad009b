/** Puts the console's parts together and answers the bridge. */
import type { BridgeHandlers } from '../bridge/contract.ts';
import { createTaskGroup } from '../lib/api.ts';
import type { Clock, RandomBytes } from '../lib/api.ts';
import type { FleetCache } from './cache/fleet-cache.ts';
import { consoleHandlers } from './console-handlers.ts';
import { FleetKeeper } from './fleet/fleet-keeper.ts';
import { openFleetSession } from './fleet/fleet-session.ts';
import { hostHandlers } from './hosts/host-handlers.ts';
import { HostRoster } from './hosts/host-roster.ts';
import { createPlanner } from './policy/planner.ts';
import { policyHandlers } from './policy/policy-handlers.ts';
import type { SettingsStore } from './settings/settings-store.ts';
import type { CredentialVault } from './vault/credential-vault.ts';

/** The file is looked at so often for changes of other processes. */
const reloadPollMs = 1_000;

/** Something a human should find in a log: a constant message, fields beside it. */
export type CoreReport = (message: string, fields: Readonly<Record<string, unknown>>) => void;

/** Everything the console needs from outside. The core owns the cache and closes it. */
export interface ConsolePorts {
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly cache: FleetCache;
  /** In the order they are searched for a fleet. */
  readonly vaults: readonly CredentialVault[];
  readonly settings: SettingsStore;
  readonly version: string;
  readonly report: CoreReport;
}

export interface ConsoleCore {
  readonly handlers: BridgeHandlers;
  /** Locks, disconnects and closes the cache. Idempotent, never raises. */
  close(): Promise<void>;
}

/** A console that is locked, or empty, and shows what it remembers. */
export const createConsoleCore = (ports: ConsolePorts): ConsoleCore => {
  const { clock, random, cache, report } = ports;
  const roster = new HostRoster({ cache, clock, random, consoleVersion: ports.version, report });
  const keeper = new FleetKeeper({
    vaults: ports.vaults,
    clock,
    random,
    version: ports.version,
    hostCount: () => roster.size.value,
    openSession: (keys) => openFleetSession(keys, { roster, cache, clock, random, report }),
  });
  const planner = createPlanner({ roster, clock, random });
  const tasks = createTaskGroup((task, error) => {
    report('background work of the console failed', { task, error });
  });
  tasks.start('reload', async (signal) => {
    for (;;) {
      await clock.sleep(reloadPollMs, signal);
      if (cache.isChangedElsewhere()) await roster.reload();
    }
  });
  const context: HandlerContext = { ...ports, roster, keeper, planner };
  let closing: Promise<void> | undefined;
  return {
    handlers: { ...consoleHandlers(context), ...hostHandlers(context), ...policyHandlers(context) },
    close: () => {
      closing ??= (async () => {
        await tasks.close();
        await keeper.close();
        cache.close();
      })();
      return closing;
    },
  };
};

export interface HandlerContext extends ConsolePorts {
  readonly roster: HostRoster;
  readonly keeper: FleetKeeper;
  readonly planner: ReturnType<typeof createPlanner>;
}
