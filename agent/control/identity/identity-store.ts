import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { z } from 'zod';
import { NestError } from '../../../proto/model/error.ts';
import { makePrivateDirectory, readTextIfPresent, writeFileAtomic } from '../../lib/atomic-file.ts';
import { generateAgentKey, parseAgentKey } from './agent-key.ts';
import type { AgentKey } from './agent-key.ts';
import type { CheckedChain } from './certificate-chain.ts';
import type { TokenKey } from './token.ts';

/** Why a token may not be used again. */
export type TokenEnd = 'used' | 'expired' | 'closed';
export interface PendingToken extends TokenKey {
  readonly expiresAtMs: number;
}
interface StoredIdentity {
  readonly agentId: string;
  readonly fleetId: string;
  readonly enrolledAtMs: number;
  readonly endsAtMs: number;
  readonly leaf: string;
  readonly chain: string;
  readonly root: string;
}

/** Spent tokens that are remembered; tokens live ten minutes, so older ones are of no use to anybody. */
const spentTokensMax = 256;
const hex = z.string().regex(/^([0-9a-f]{2})+$/);
const identitySchema = z.strictObject({
  version: z.literal(1),
  agentId: z.string(),
  fleetId: z.string(),
  enrolledAtMs: z.number(),
  endsAtMs: z.number(),
  leaf: z.string(),
  fingerprint: hex,
  chainSha256: hex,
  rootSha256: hex,
});
const tokensSchema = z.strictObject({
  version: z.literal(1),
  pending: z.strictObject({ id: hex, key: hex, rootSpkiHash: hex, expiresAtMs: z.number() }).nullable(),
  spent: z.array(z.strictObject({ id: hex, end: z.enum(['used', 'expired', 'closed']) })),
});

/**
 * The identity directory: key.pem, chain.pem, root.pem, identity.json, tokens.json, mode 0600. identity.json names the
 * other files by hash and is written last, so a crash leaves either no identity or a whole one.
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
}

/** Opens the directory, making it and the key when they are missing. Throws STATE_CORRUPT, STATE_FAILED. */
export const openIdentityStore = async (stateDir: string): Promise<IdentityStore> => {
  const directory = join(stateDir, 'identity');
  const path = (name: string): string => join(directory, name);
  await guarded(() => makePrivateDirectory(directory));
  const key = await loadKey(path('key.pem'));
  let identity = await loadIdentity(path, key);
  let tokens = await loadTokens(path('tokens.json'));
  const saveTokens = async (next: Tokens): Promise<void> => {
    await guarded(() => writeFileAtomic(path('tokens.json'), `${JSON.stringify(next, null, 2)}\n`));
    tokens = next;
  };
  return {
    key,
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
    saveIdentity: async (chain, enrolledAtMs) => {
      const { agentId, fleetId, endsAtMs, leaf } = chain;
      const record = {
        version: 1,
        agentId,
        fleetId,
        enrolledAtMs,
        endsAtMs,
        leaf,
        fingerprint: key.fingerprint,
        chainSha256: sha256(chain.chain),
        rootSha256: sha256(chain.root),
      };
      await guarded(async () => {
        await writeFileAtomic(path('chain.pem'), chain.chain);
        await writeFileAtomic(path('root.pem'), chain.root);
        await writeFileAtomic(path('identity.json'), `${JSON.stringify(record, null, 2)}\n`);
      });
      identity = { agentId, fleetId, enrolledAtMs, endsAtMs, leaf, chain: chain.chain, root: chain.root };
      return identity;
    },
  };
};

type Tokens = z.output<typeof tokensSchema>;

const loadKey = async (path: string): Promise<AgentKey> => {
  const pem = await guarded(() => readTextIfPresent(path));
  if (pem !== null) return parseAgentKey(pem);
  const key = generateAgentKey();
  await guarded(() => writeFileAtomic(path, key.privateKeyPem));
  return key;
};

const loadIdentity = async (path: (name: string) => string, key: AgentKey): Promise<StoredIdentity | null> => {
  const text = await guarded(() => readTextIfPresent(path('identity.json')));
  if (text === null) return null;
  const record = identitySchema.safeParse(parseJson(text));
  if (!record.success) throw corrupt('identity.json cannot be read', record.error);
  const chain = await guarded(() => readTextIfPresent(path('chain.pem')));
  const root = await guarded(() => readTextIfPresent(path('root.pem')));
  const { agentId, fleetId, enrolledAtMs, endsAtMs, leaf, fingerprint, chainSha256, rootSha256 } = record.data;
  if (chain === null || root === null || sha256(chain) !== chainSha256 || sha256(root) !== rootSha256)
    throw corrupt('chain.pem or root.pem does not fit identity.json');
  if (fingerprint !== key.fingerprint) throw corrupt('key.pem does not fit identity.json');
  return { agentId, fleetId, enrolledAtMs, endsAtMs, leaf, chain, root };
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

const corrupt = (what: string, cause?: unknown): NestError =>
  new NestError(
    'STATE_CORRUPT',
    `The identity of this agent is damaged: ${what}. Restore the identity directory from a backup, or remove it and join again.`,
    { cause },
  );

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const fromHex = (pending: NonNullable<Tokens['pending']>): PendingToken => ({
  id: Buffer.from(pending.id, 'hex'),
  key: Buffer.from(pending.key, 'hex'),
  rootSpkiHash: Buffer.from(pending.rootSpkiHash, 'hex'),
  expiresAtMs: pending.expiresAtMs,
});
