/** The console's ports on a real machine. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { homedir } from 'node:os';
import { openShardThread } from '../grpc/api.ts';
import { systemClock, systemRandom } from '../lib/api.ts';
import { openFleetCache } from './cache/sqlite-fleet-cache.ts';
import type { ConsolePorts, CoreReport } from './handler-context.ts';
import { readLicenseSettings } from './license/license-settings.ts';
import { createVerdictProgram } from './trace/verdict-program.ts';
import { createConfSettings } from './settings/settings-store.ts';
import type { SettingsStore } from './settings/settings-store.ts';
import { systemKeychain } from './vault/keychain.ts';
import { createKeychainVault } from './vault/keychain-vault.ts';
import { createPassphraseVault } from './vault/passphrase-vault.ts';

export interface SystemPortOptions {
  readonly dataDirectory: string;
  readonly version: string;
  readonly report: CoreReport;
  /** Where RELEASE_MODE and the LICENSE_ variables are looked for; by default the environment of this process. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** The host's own settings; by default settings.json in the data directory. */
  readonly settings?: SettingsStore;
}

/** Opens the data directory. Raises STATE_FAILED when it cannot be used. */
export const openSystemPorts = (options: SystemPortOptions): ConsolePorts => {
  const clock = systemClock();
  const { cache, problem } = openFleetCache(join(options.dataDirectory, 'fleet.sqlite'), clock.now());
  if (problem !== null) options.report('the saved state was damaged', { problem });
  const path = join(options.dataDirectory, 'vault.json');
  return {
    clock,
    random: systemRandom,
    cache,
    vaults: [
      createKeychainVault({ path, keychain: systemKeychain(), clock, random: systemRandom }),
      createPassphraseVault({ path, clock, random: systemRandom }),
    ],
    settings: options.settings ?? createConfSettings(options.dataDirectory),
    version: options.version,
    report: options.report,
    license: readLicenseSettings(options.environment ?? process.env),
    verdictProgram: createVerdictProgram(),
    openShard: shardOpener(),
  };
};

/** From the sources, or from the bundle beside the one this is in; absent where neither is. */
const shardOpener = (): ConsolePorts['openShard'] => {
  const module = ['../grpc/shard/shard-main.ts', '../shard/shard.mjs']
    .map((path) => new URL(path, import.meta.url))
    .find((url) => existsSync(url));
  return module === undefined ? undefined : () => openShardThread(module);
};

/** Where a console keeps its data when nobody says otherwise: NEST_CONSOLE_DIR, else the system's place for it. */
export const defaultDataDirectory = (environment: Readonly<Record<string, string | undefined>>, platform: NodeJS.Platform): string => {
  const named = environment['NEST_CONSOLE_DIR'];
  if (named !== undefined && named !== '') return named;
  const home = environment['HOME'] ?? environment['USERPROFILE'] ?? homedir();
  if (platform === 'win32') return join(environment['APPDATA'] ?? join(home, 'AppData', 'Roaming'), 'Nest');
  if (platform === 'darwin') return join(home, 'Library', 'Application Support', 'Nest');
  const data = environment['XDG_DATA_HOME'];
  return join(data !== undefined && data !== '' ? data : join(home, '.local', 'share'), 'nest');
};
