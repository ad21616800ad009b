/** A vault that forgets everything with the process: for tests, and for demonstrations that leave nothing behind. */
import { NestError } from '../../../proto/model/error.ts';
import type { CredentialVault, VaultHeader } from './credential-vault.ts';

/** An empty vault; any passphrase that was given at creation must be given again. */
export const createMemoryVault = (): CredentialVault => {
  let stored: { readonly header: VaultHeader; readonly secret: Uint8Array; readonly passphrase: string | undefined } | undefined;
  let isOpen = false;
  return {
    storage: 'passphrase',
    probe: () => Promise.resolve({ available: true, reason: 'Keys are kept in memory only.' }),
    header: () => Promise.resolve(stored?.header ?? null),
    create: (content) => {
      if (stored !== undefined) return Promise.reject(new NestError('FLEET_EXISTS', 'There is a fleet already. Unlock it.'));
      stored = content;
      isOpen = true;
      return Promise.resolve();
    },
    open: (passphrase) => {
      if (stored === undefined) return Promise.reject(new NestError('FLEET_MISSING', 'There is no fleet yet. Create one first.'));
      if (passphrase !== stored.passphrase) return Promise.reject(new NestError('PASSPHRASE_WRONG', 'The passphrase is wrong.'));
      isOpen = true;
      return Promise.resolve(stored.secret);
    },
    reread: () =>
      !isOpen || stored === undefined
        ? Promise.reject(new NestError('FLEET_LOCKED', 'The fleet is locked. Unlock it first.'))
        : Promise.resolve(stored.secret),
    replace: (header, secret) => {
      if (!isOpen || stored === undefined) return Promise.reject(new NestError('FLEET_LOCKED', 'The fleet is locked. Unlock it first.'));
      stored = { ...stored, header, secret };
      return Promise.resolve();
    },
    close: () => {
      isOpen = false;
    },
  };
};
