import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { NestError } from '../../../proto/model/error.ts';
import { makePrivateDirectory, readTextIfPresent, writeFileAtomic } from '../../lib/atomic-file.ts';
import { generateAgentKey, parseAgentKey } from './agent-key.ts';
import type { AgentKey } from './agent-key.ts';
import type { CheckedChain } from './certificate-chain.ts';
import { corruptIdentity as corrupt, decodeIdentity, encodeIdentity, derivedFrom, firstKeyFile, newcomer } from './identity-record.ts';
import type { StoredIdentity } from './identity-record.ts';
import type { TokenKey } from './token.ts';

/** Why a token may not be used again. */
export type TokenEnd = 'used' | 'expired' | 'closed';
export interface PendingToken extends TokenKey {
  readonly expiresAtMs: number;
}
/** Spent tokens that are remembered; tokens live ten minutes, so older ones are of no use to anybody. */
const spentTokensMax = 256;
const hex = z.string().regex(/^([0-9a-f]{2})+$/);
const tokensSchema = z.strictObject({
  version: z.literal(1),
  pending: z.strictObject({ id: hex, key: hex, rootSpkiHash: hex, expiresAtMs: z.number() }).nullable(),
  spent: z.array(z.strictObject({ id: hex, end: z.enum(['used', 'expired', 'closed']) })),
});

/**
 * The identity directory: the private key, identity.json, tokens.json, mode 0600. identity.json names its key's file and is
 * replaced as a whole, so a crash leaves either the old identity or the new one.
 */
export interface IdentityStore {
  readonly key: AgentKey;
  readonly identity: StoredIdentity | null;
  readonly pending: PendingToken | null;
  /** How this token ended; null when it was never seen. */
  tokenEnd(id: Uint8Array): TokenEnd | null;
  savePending(pending: PendingToken): Promise<void>;
  /** Remembers that the token is spent and forgets it as pending. */
  spendToken(id: Uint8Array, end: TokenEnd): Promise<void>;
  saveIdentity(chain: CheckedChain, enrolledAtMs: number): Promise<StoredIdentity>;
  /** Replaces the identity, and the key with it when another is given. */
  replaceIdentity(
    next: Omit<StoredIdentity, 'keyFile' | 'fingerprint' | 'rootNames' | 'rootStep'>,
    key?: AgentKey,
  ): Promise<StoredIdentity>;
  /** Forgets the identity and its key, and makes a new key. */
  forgetIdentity(): Promise<void>;
}

/** Opens the directory, making it and the key when they are missing. Throws STATE_CORRUPT, STATE_FAILED. */
export const openIdentityStore = async (stateDir: string): Promise<IdentityStore> => {
  const directory = join(stateDir, 'identity');
  const path = (name: string): string => join(directory, name);
  await guarded(() => makePrivateDirectory(directory));
  let identity = await loadIdentity(path);
  let keyFile = identity?.keyFile ?? firstKeyFile;
  let key = await loadKey(path(keyFile), identity === null);
  if (identity !== null && identity.fingerprint !== key.fingerprint) throw corrupt(`${keyFile} does not fit identity.json`);
  let tokens = await loadTokens(path('tokens.json'));
  const saveTokens = async (next: Tokens): Promise<void> => {
    await guarded(() => writeFileAtomic(path('tokens.json'), `${JSON.stringify(next, null, 2)}\n`));
    tokens = next;
  };
  const replaceIdentity: IdentityStore['replaceIdentity'] = async (next, freshKey = key) => {
    const nextKeyFile = freshKey === key ? keyFile : `key-${freshKey.fingerprint.slice(0, 16)}.pem`;
    const record = { ...next, fingerprint: freshKey.fingerprint, keyFile: nextKeyFile, ...derivedFrom(next) };
    await guarded(async () => {
      if (freshKey !== key) await writeFileAtomic(path(nextKeyFile), freshKey.privateKeyPem);
      await writeFileAtomic(path('identity.json'), encodeIdentity(record));
    });
    const oldKeyFile = keyFile;
    [identity, key, keyFile] = [record, freshKey, nextKeyFile];
    // From here on nothing names the old files.
    const stale = ['chain.pem', 'root.pem', ...(oldKeyFile === nextKeyFile ? [] : [oldKeyFile])];
    await guarded(() => Promise.all(stale.map((name) => rm(path(name), { force: true }))));
    return record;
  };
  return {
    get key() {
      return key;
    },
    get identity() {
      return identity;
    },
    get pending() {
      return tokens.pending === null ? null : fromHex(tokens.pending);
    },
    tokenEnd: (id) => tokens.spent.find((spent) => spent.id === toHex(id))?.end ?? null,
    savePending: ({ id, key: tokenKey, rootSpkiHash, expiresAtMs }) =>
      saveTokens({ ...tokens, pending: { id: toHex(id), key: toHex(tokenKey), rootSpkiHash: toHex(rootSpkiHash), expiresAtMs } }),
    spendToken: (id, end) => {
      const others = tokens.spent.filter((spent) => spent.id !== toHex(id));
      return saveTokens({
        version: 1,
        pending: tokens.pending?.id === toHex(id) ? null : tokens.pending,
        spent: [...others, { id: toHex(id), end }].slice(-spentTokensMax),
      });
    },
    saveIdentity: ({ agentId, fleetId, endsAtMs, leaf, chain, root }, enrolledAtMs) =>
      replaceIdentity({ agentId, fleetId, enrolledAtMs, endsAtMs, leaf, chain, root, ...newcomer }),
    replaceIdentity,
    forgetIdentity: async () => {
      const fresh = generateAgentKey();
      await guarded(async () => {
        await rm(path('identity.json'), { force: true });
        await writeFileAtomic(path(firstKeyFile), fresh.privateKeyPem);
        if (keyFile !== firstKeyFile) await rm(path(keyFile), { force: true });
      });
      [identity, key, keyFile] = [null, fresh, firstKeyFile];
    },
  };
};

type Tokens = z.output<typeof tokensSchema>;

/** Makes a key only where no identity needs the one that is missing. */
const loadKey = async (path: string, mayMake: boolean): Promise<AgentKey> => {
  const pem = await guarded(() => readTextIfPresent(path));
  if (pem !== null) return parseAgentKey(pem);
  if (!mayMake) throw corrupt('the private key is missing');
  const key = generateAgentKey();
  await guarded(() => writeFileAtomic(path, key.privateKeyPem));
  return key;
};

const loadIdentity = async (path: (name: string) => string): Promise<StoredIdentity | null> => {
  const text = await guarded(() => readTextIfPresent(path('identity.json')));
  return text === null ? null : decodeIdentity(text, (name) => guarded(() => readTextIfPresent(path(name))));
};

const loadTokens = async (path: string): Promise<Tokens> => {
  const text = await guarded(() => readTextIfPresent(path));
  if (text === null) return { version: 1, pending: null, spent: [] };
  const tokens = tokensSchema.safeParse(parseJson(text));
  if (!tokens.success) throw corrupt('tokens.json cannot be read', tokens.error);
  return tokens.data;
};

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    // The schema refuses it with the message for the operator.
    return undefined;
  }
};

const guarded = async <T>(work: () => Promise<T>): Promise<T> => {
  try {
    return await work();
  } catch (error) {
    throw new NestError(
      'STATE_FAILED',
      'The identity directory in the state directory cannot be read or written. Check its owner, its mode and the free space, then try again.',
      { cause: error },
    );
  }
};

const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const fromHex = (pending: NonNullable<Tokens['pending']>): PendingToken => ({
  id: Buffer.from(pending.id, 'hex'),
  key: Buffer.from(pending.key, 'hex'),
  rootSpkiHash: Buffer.from(pending.rootSpkiHash, 'hex'),
  expiresAtMs: pending.expiresAtMs,
});
