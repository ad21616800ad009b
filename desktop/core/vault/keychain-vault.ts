/** A vault whose 32-byte wrapping key is in the system's keychain; the box itself is a file, because keychains take little. */
import { NestError } from '../../../proto/model/error.ts';
import type { Clock, RandomBytes } from '../../lib/api.ts';
import type { CredentialVault } from './credential-vault.ts';
import { probeKeychain } from './keychain.ts';
import type { Keychain } from './keychain.ts';
import { readVaultFile, sealVault, unsealVault, writePrivateFile } from './vault-file.ts';
import type { VaultFile } from './vault-file.ts';

const keyBytes = 32;

export interface KeychainVaultOptions {
  readonly path: string;
  readonly keychain: Keychain;
  readonly clock: Clock;
  readonly random: RandomBytes;
}

/** A vault in the file `path` with its key in `keychain`. */
export const createKeychainVault = (options: KeychainVaultOptions): CredentialVault => {
  const { path, keychain, random } = options;
  let opened: Uint8Array | undefined;
  const read = async (): Promise<VaultFile | undefined> => {
    const file = await readVaultFile(path);
    return file?.storage === 'keychain' ? file : undefined;
  };
  const write = (key: Uint8Array, header: VaultFile['fleet'], secret: Uint8Array): Promise<void> =>
    writePrivateFile(
      path,
      JSON.stringify(
        sealVault({ format: 'nest-vault', version: 1, storage: 'keychain', fleet: header }, secret, { key, random }),
        undefined,
        2,
      ),
    );
  return {
    storage: 'keychain',
    probe: (signal) => probeKeychain(keychain, { clock: options.clock, random, signal }),
    header: async () => (await read())?.fleet ?? null,
    create: async ({ header, secret }) => {
      if ((await readVaultFile(path)) !== undefined)
        throw new NestError('FLEET_EXISTS', 'This data folder holds a fleet already. Unlock it, or choose another folder.');
      const key = random(keyBytes);
      await reach(() => keychain.set(accountOf(header.fleetId), Buffer.from(key).toString('base64')));
      await write(key, header, secret);
      opened = key;
    },
    open: async () => {
      const file = await read();
      if (file === undefined) throw new NestError('FLEET_MISSING', 'There is no fleet yet. Create one first.');
      const stored = await reach(() => keychain.get(accountOf(file.fleet.fleetId)));
      if (stored === null)
        throw new NestError(
          'VAULT_UNAVAILABLE',
          'The key of this fleet is not in the keychain of this system. Log in as the user who created the fleet.',
        );
      const key = new Uint8Array(Buffer.from(stored, 'base64'));
      const secret = key.length === keyBytes ? unsealVault(file, key) : undefined;
      if (secret === undefined)
        throw new NestError(
          'STATE_CORRUPT',
          'The key in the keychain does not open the file with the keys of the fleet. Restore vault.json from a backup.',
        );
      opened = key;
      return secret;
    },
    reread: async () => {
      const file = await read();
      if (file === undefined) throw new NestError('FLEET_MISSING', 'There is no fleet any more. Create one first.');
      const secret = opened === undefined ? undefined : unsealVault(file, opened);
      if (secret === undefined) throw new NestError('FLEET_LOCKED', 'The fleet is locked. Unlock it first.');
      return secret;
    },
    replace: async (header, secret) => {
      if (opened === undefined) throw new NestError('FLEET_LOCKED', 'The fleet is locked. Unlock it first.');
      await write(opened, header, secret);
    },
    close: () => {
      opened?.fill(0);
      opened = undefined;
    },
  };
};

const accountOf = (fleetId: string): string => `fleet ${fleetId}`;

const reach = async <Result>(work: () => Promise<Result>): Promise<Result> => {
  try {
    return await work();
  } catch (error) {
    throw new NestError('VAULT_UNAVAILABLE', 'The keychain of this system does not work now. Unlock it, or use a passphrase instead.', {
      cause: error,
    });
  }
};
