/** What the console needs from outside, and what its handlers work with. */
import type { VerdictProgram } from '../../native/wasm/index.ts';
import type { LinkPoolOptions } from '../grpc/api.ts';
import type { Clock, RandomBytes } from '../lib/api.ts';
import type { FleetCache } from './cache/fleet-cache.ts';
import type { FleetKeeper } from './fleet/fleet-keeper.ts';
import type { HostRoster } from './hosts/host-roster.ts';
import type { LicenseSettings } from './license/license-settings.ts';
import type { Planner } from './policy/planner.ts';
import type { SettingsStore } from './settings/settings-store.ts';
import type { SsoDesk } from './sso/sso-desk.ts';
import type { CredentialVault } from './vault/credential-vault.ts';

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
  /** The verdict in WebAssembly, compiled once. Raises ENGINE_UNAVAILABLE. */
  readonly verdictProgram: () => Promise<VerdictProgram>;
  /** What the environment says about the licence; development without a key when it is absent. */
  readonly license?: LicenseSettings;
  /** Starts a thread that holds connections of a big fleet; absent: all of them are in this one. */
  readonly openShard?: LinkPoolOptions['openShard'];
  /** A command that ends soon: it goes on with no rollout unless it is told to. */
  readonly isShortLived?: boolean;
}

export interface HandlerContext extends ConsolePorts {
  readonly roster: HostRoster;
  readonly keeper: FleetKeeper;
  readonly planner: Planner;
  readonly sso: SsoDesk;
}
