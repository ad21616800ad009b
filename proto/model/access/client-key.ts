/** Keys of API clients: 32 random bytes as text, of which the bundle holds the SHA-256 alone. */
import { createHash } from 'node:crypto';
import type { AccessClientKey } from '../../gen/nest/v1/access.ts';

export const clientKeyPrefix = 'nestkey1.';

/** The text to be shown once, and what is kept of it. `secret` is 32 random bytes. */
export const makeClientKey = (
  secret: Uint8Array,
  times: { readonly createdAtMs: number; readonly expiresAtMs: number },
): { readonly text: string; readonly entry: AccessClientKey } => {
  const text = clientKeyPrefix + Buffer.from(secret).toString('base64url');
  const hash = createHash('sha256').update(text).digest();
  const entry = {
    keyId: hash.toString('hex').slice(0, 8),
    hash,
    createdAtMs: BigInt(times.createdAtMs),
    expiresAtMs: BigInt(times.expiresAtMs),
  };
  return { text, entry };
};
