import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { errorCodeOf } from '../../../proto/model/error.ts';
import { systemClock, systemRandom } from '../../lib/api.ts';
import { createManualClock } from '../../lib/manual-clock.ts';
import type { ManualClock } from '../../lib/manual-clock.ts';
import type { CredentialVault } from './credential-vault.ts';
import { createKeychainVault } from './keychain-vault.ts';
import type { Keychain } from './keychain.ts';
import { createMemoryVault } from './memory-vault.ts';
import { createPassphraseVault } from './passphrase-vault.ts';

const header = { fleetId: '01jz0000000000000000000001', fleetName: 'Test', operatorName: 'Test Operator', operatorCertificateEndsAt: 1 };
const secret = new TextEncoder().encode('the private keys of the fleet');
const passphrase = 'correct horse battery';
const cost = { memoryKiB: 8_192, passes: 1, lanes: 1 };

let folder: string;
let path: string;
let clock: ManualClock;

const createKeychain = (): Keychain & { readonly entries: Map<string, string> } => {
  const entries = new Map<string, string>();
  return {
    entries,
    get: (account) => Promise.resolve(entries.get(account) ?? null),
    set: async (account, text) => void entries.set(account, text),
    remove: async (account) => void entries.delete(account),
  };
};
const passphraseVault = (): CredentialVault => createPassphraseVault({ path, clock, random: systemRandom, cost });

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nest-vault-'));
  path = join(folder, 'vault.json');
  clock = createManualClock();
});
afterEach(() => rm(folder, { recursive: true }));

const kinds: Readonly<Record<string, () => CredentialVault>> = {
  passphrase: passphraseVault,
  keychain: () => createKeychainVault({ path, keychain: keychainForAll, clock: systemClock(), random: systemRandom }),
  memory: createMemoryVault,
};
let keychainForAll: Keychain = createKeychain();

describe.each(Object.keys(kinds))('a %s vault', (kind) => {
  it('gives back what was stored, takes a replacement while open, and holds one fleet only', async () => {
    keychainForAll = createKeychain();
    const vault = (kinds[kind] ?? createMemoryVault)();
    expect(await vault.header()).toBeNull();
    await expect(vault.open(passphrase)).rejects.toMatchObject({ code: 'FLEET_MISSING' });
    await vault.create({ header, secret, passphrase });
    await expect(vault.create({ header, secret, passphrase })).rejects.toMatchObject({ code: 'FLEET_EXISTS' });
    expect(await vault.reread()).toEqual(secret);
    await vault.replace({ ...header, operatorCertificateEndsAt: 2 }, new Uint8Array([7]));
    expect(await vault.reread()).toEqual(new Uint8Array([7]));
    vault.close();
    await expect(vault.reread()).rejects.toMatchObject({ code: 'FLEET_LOCKED' });
    await expect(vault.replace(header, secret)).rejects.toMatchObject({ code: 'FLEET_LOCKED' });
    expect(await vault.open(passphrase)).toEqual(new Uint8Array([7]));
    expect(await vault.header()).toEqual({ ...header, operatorCertificateEndsAt: 2 });
  });
});

describe('a passphrase vault', () => {
  it('writes nothing readable, for the owner alone', async () => {
    await passphraseVault().create({ header, secret, passphrase });
    const text = await readFile(path, 'utf8');
    expect([text.includes('private keys'), text.includes(passphrase), text.includes(Buffer.from(secret).toString('base64'))]).toEqual([
      false,
      false,
      false,
    ]);
    expect((await stat(path)).mode & 0o077).toBe(0);
  });

  it('refuses nine characters', async () => {
    await expect(passphraseVault().create({ header, secret, passphrase: '123456789' })).rejects.toMatchObject({ code: 'PASSPHRASE_WEAK' });
    await expect(passphraseVault().create({ header, secret, passphrase: undefined })).rejects.toMatchObject({ code: 'PASSPHRASE_WEAK' });
  });

  it('pauses fifteen minutes after five wrong passphrases, across restarts, and for the right one too', async () => {
    await passphraseVault().create({ header, secret, passphrase });
    for (let left = 4; left >= 0; left -= 1)
      await expect(passphraseVault().open('wrong horse')).rejects.toMatchObject({
        code: 'PASSPHRASE_WRONG',
        details: { attemptsLeft: left },
      });
    await expect(passphraseVault().open(passphrase)).rejects.toMatchObject({
      code: 'LIMIT_REACHED',
      message: 'Too many wrong passphrases. Try again in 15 minutes.',
    });
    await clock.advance(15 * 60_000 - 1);
    await expect(passphraseVault().open(passphrase)).rejects.toMatchObject({ code: 'LIMIT_REACHED' });
    await clock.advance(1);
    await expect(passphraseVault().open('wrong horse')).rejects.toMatchObject({ details: { attemptsLeft: 4 } });
    expect(await passphraseVault().open(passphrase)).toEqual(secret);
    await expect(passphraseVault().open('wrong horse')).rejects.toMatchObject({ details: { attemptsLeft: 4 } });
  });

  it('counts guesses that are made at the same time', async () => {
    const vault = passphraseVault();
    await vault.create({ header, secret, passphrase });
    const codes = await Promise.all(Array.from({ length: 7 }, () => vault.open('wrong horse').catch(errorCodeOf)));
    expect(codes).toEqual([...Array<string>(5).fill('PASSPHRASE_WRONG'), 'LIMIT_REACHED', 'LIMIT_REACHED']);
  });

  it('notices every change of its file', async () => {
    const vault = passphraseVault();
    await vault.create({ header, secret, passphrase });
    const file = JSON.parse(await readFile(path, 'utf8')) as { fleet: { fleetName: string }; box: string };
    await writeFile(path, JSON.stringify({ ...file, fleet: { ...file.fleet, fleetName: 'Other' } }));
    await expect(vault.open(passphrase)).rejects.toMatchObject({ code: 'PASSPHRASE_WRONG' });
    await writeFile(path, '{"format":');
    await expect(vault.open(passphrase)).rejects.toMatchObject({ code: 'STATE_CORRUPT' });
    await writeFile(path, JSON.stringify({ ...file, kdf: { name: 'argon2id', salt: '', memoryKiB: 1 << 30, passes: 1, lanes: 1 } }));
    await expect(vault.open(passphrase)).rejects.toMatchObject({ code: 'STATE_CORRUPT' });
  });
});

describe('a keychain vault', () => {
  it('keeps 32 bytes in the keychain and tells a lost key from a wrong one', async () => {
    const keychain = createKeychain();
    const vault = createKeychainVault({ path, keychain, clock: systemClock(), random: systemRandom });
    await vault.create({ header, secret, passphrase: undefined });
    expect([...keychain.entries.values()].map((text) => Buffer.from(text, 'base64').length)).toEqual([32]);
    keychain.entries.set(`fleet ${header.fleetId}`, Buffer.alloc(32).toString('base64'));
    await expect(vault.open(undefined)).rejects.toMatchObject({ code: 'STATE_CORRUPT' });
    keychain.entries.clear();
    await expect(vault.open(undefined)).rejects.toMatchObject({ code: 'VAULT_UNAVAILABLE' });
  });

  it('says why there is no keychain, and leaves nothing behind when there is one', async () => {
    const working = createKeychain();
    const vaultOver = (keychain: Keychain): CredentialVault =>
      createKeychainVault({ path, keychain, clock: systemClock(), random: systemRandom });
    const { signal } = new AbortController();
    expect(await vaultOver(working).probe(signal)).toMatchObject({ available: true });
    expect(working.entries.size).toBe(0);
    const broken = { ...working, set: () => Promise.reject(new Error('Cannot autolaunch D-Bus')) };
    expect(await vaultOver(broken).probe(signal)).toEqual({
      available: false,
      reason: 'This system has no usable keychain (Cannot autolaunch D-Bus). Use a passphrase, or start a secret service and try again.',
    });
    await expect(vaultOver(broken).create({ header, secret, passphrase: undefined })).rejects.toMatchObject({ code: 'VAULT_UNAVAILABLE' });
  });
});
