/** A vault under a passphrase: argon2id makes the key, AES-256-GCM keeps the box. */
import { NestError } from '../../../proto/model/error.ts';
import { createGate } from '../../lib/api.ts';
import type { Clock, RandomBytes } from '../../lib/api.ts';
import { createAttemptGuard } from './attempt-guard.ts';
import type { CredentialVault } from './credential-vault.ts';
import { deriveKey, kdfCostDefault, refuseWeakPassphrase } from './passphrase-key.ts';
import type { Kdf, KdfCost } from './passphrase-key.ts';
import { readVaultFile, sealVault, unsealVault, writePrivateFile } from './vault-file.ts';

export interface PassphraseVaultOptions {
  /** vault.json; the count of wrong passphrases lies beside it. */
  readonly path: string;
  readonly clock: Clock;
  readonly random: RandomBytes;
  /** Tests make guesses cheap. */
  readonly cost?: KdfCost;
}

/** A vault in the file `path`. */
export const createPassphraseVault = (options: PassphraseVaultOptions): CredentialVault => {
  const { path, random } = options;
  const guard = createAttemptGuard(path.replace(/\.json$/, '') + '-attempts.json', options.clock);
  // One guess at a time: parallel ones would not be counted.
  const oneByOne = createGate({ inFlightMax: 1, waitingMax: 8 });
  const always = new AbortController().signal;
  let opened: { readonly key: Uint8Array; readonly kdf: Kdf } | undefined;
  const read = async (): Promise<Awaited<ReturnType<typeof readVaultFile>>> => {
    const file = await readVaultFile(path);
    return file?.storage === 'passphrase' ? file : undefined;
  };
  const openNow = async (passphrase: string | undefined): Promise<Uint8Array> => {
    const file = await read();
    if (file?.kdf === undefined) throw new NestError('FLEET_MISSING', 'There is no fleet yet. Create one first.');
    if (passphrase === undefined) throw new NestError('PASSPHRASE_WRONG', 'This fleet is protected by a passphrase. Enter it.');
    const left = await guard.begin();
    const key = await deriveKey(passphrase, file.kdf);
    const secret = unsealVault(file, key);
    if (secret === undefined) throw wrongPassphrase(left);
    await guard.succeed();
    opened = { key, kdf: file.kdf };
    return secret;
  };
  return {
    storage: 'passphrase',
    probe: () => Promise.resolve({ available: true, reason: 'Keys are kept in a file that a passphrase encrypts.' }),
    header: async () => (await read())?.fleet ?? null,
    create: async ({ header, secret, passphrase }) => {
      refuseWeakPassphrase(passphrase);
      if ((await readVaultFile(path)) !== undefined)
        throw new NestError('FLEET_EXISTS', 'This data folder holds a fleet already. Unlock it, or choose another folder.');
      const kdf: Kdf = { name: 'argon2id', salt: Buffer.from(random(16)).toString('base64'), ...(options.cost ?? kdfCostDefault) };
      const key = await deriveKey(passphrase ?? '', kdf);
      await writePrivateFile(
        path,
        JSON.stringify(
          sealVault({ format: 'nest-vault', version: 1, storage: 'passphrase', fleet: header, kdf }, secret, { key, random }),
          undefined,
          2,
        ),
      );
      opened = { key, kdf };
    },
    open: (passphrase) => oneByOne.run(() => openNow(passphrase), always),
    reread: async () => {
      const file = await read();
      if (file === undefined) throw new NestError('FLEET_MISSING', 'There is no fleet any more. Create one first.');
      const secret = opened === undefined ? undefined : unsealVault(file, opened.key);
      if (secret === undefined) throw new NestError('FLEET_LOCKED', 'The fleet is locked. Unlock it first.');
      return secret;
    },
    replace: async (header, secret) => {
      if (opened === undefined) throw new NestError('FLEET_LOCKED', 'The fleet is locked. Unlock it first.');
      const { key, kdf } = opened;
      await writePrivateFile(
        path,
        JSON.stringify(
          sealVault({ format: 'nest-vault', version: 1, storage: 'passphrase', fleet: header, kdf }, secret, { key, random }),
          undefined,
          2,
        ),
      );
    },
    close: () => {
      opened?.key.fill(0);
      opened = undefined;
    },
  };
};

const wrongPassphrase = (left: number): NestError => {
  const next = left > 0 ? `${String(left)} ${left === 1 ? 'try' : 'tries'} left before a pause.` : 'Wait 15 minutes before the next try.';
  return new NestError('PASSPHRASE_WRONG', `The passphrase is wrong. ${next}`, { details: { attemptsLeft: left } });
};
