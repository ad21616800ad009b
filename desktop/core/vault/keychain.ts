/** The operating system's keychain as a port, and keytar behind it. */
import { NestError } from '../../../proto/model/error.ts';
import { withTimeout } from '../../lib/api.ts';
import type { Clock, RandomBytes } from '../../lib/api.ts';
import type { VaultProbe } from './credential-vault.ts';

/** Small texts only: Windows refuses more than 2,560 bytes. */
export interface Keychain {
  get(account: string): Promise<string | null>;
  set(account: string, secret: string): Promise<void>;
  remove(account: string): Promise<void>;
}

/** The part of keytar that is used. */
interface Keytar {
  getPassword(service: string, account: string): Promise<string | null>;
  setPassword(service: string, account: string, secret: string): Promise<void>;
  deletePassword(service: string, account: string): Promise<boolean>;
}

const service = 'Nest';
const probeTimeoutMs = 5_000;

/** The keychain of this system. The native module is loaded at the first call, because loading it can fail. */
export const systemKeychain = (): Keychain => {
  const load = async (): Promise<Keytar> => {
    const module: Keytar & { readonly default?: Keytar } = await import('keytar');
    return module.default ?? module;
  };
  return {
    get: async (account) => (await load()).getPassword(service, account),
    set: async (account, secret) => {
      await (await load()).setPassword(service, account, secret);
    },
    remove: async (account) => {
      await (await load()).deletePassword(service, account);
    },
  };
};

/** Whether a secret can really be written, read back and removed; if not, why. Never raises. */
export const probeKeychain = async (
  keychain: Keychain,
  context: { readonly clock: Clock; readonly random: RandomBytes; readonly signal: AbortSignal },
): Promise<VaultProbe> => {
  const account = `probe ${Buffer.from(context.random(6)).toString('hex')}`;
  const probe = async (): Promise<VaultProbe> => {
    await keychain.set(account, 'probe');
    const read = await keychain.get(account);
    await keychain.remove(account);
    if (read === 'probe') return { available: true, reason: 'Keys are kept in the keychain of this system.' };
    return { available: false, reason: 'The keychain did not return what was stored. Use a passphrase instead.' };
  };
  try {
    return await withTimeout(
      { clock: context.clock, timeoutMs: probeTimeoutMs, message: 'The keychain does not answer.', signal: context.signal },
      (signal) =>
        Promise.race([
          probe(),
          new Promise<never>((_resolve, reject) => {
            signal.addEventListener('abort', () => reject(new NestError('CANCELLED', 'The call was cancelled.')), { once: true });
          }),
        ]),
    );
  } catch (error) {
    return { available: false, reason: reasonOf(error) };
  }
};

const reasonOf = (error: unknown): string => {
  const text = error instanceof Error ? (error.message.split('\n')[0] ?? '') : '';
  return `This system has no usable keychain${text === '' ? '' : ` (${text.slice(0, 160)})`}. Use a passphrase, or start a secret service and try again.`;
};
