import { hkdfSync } from 'node:crypto';
import { NestError } from '../../../proto/model/error.ts';
import { spkiHashBytes, tokenIdBytes, tokenKeyInfo, tokenPrefix, tokenSecretBytes } from '../../../proto/model/enrollment.ts';

/** What is kept of a token: never the secret itself, only the key derived from it. */
export interface TokenKey {
  readonly id: Buffer;
  /** HMAC key, 32 bytes. */
  readonly key: Buffer;
  /** SHA-256 of the fleet root's public key. */
  readonly rootSpkiHash: Buffer;
}

const keyBytes = 32;
const tokenBytes = tokenIdBytes + tokenSecretBytes + spkiHashBytes;

/** Reads a join token as the operator pasted it (outer white space is ignored). Throws TOKEN_INVALID, without echoing it. */
export const parseToken = (text: string): TokenKey => {
  const token = text.trim();
  if (!token.startsWith(tokenPrefix)) {
    throw new NestError('TOKEN_INVALID', `This is not a join token: it must start with "${tokenPrefix}". Copy it from the console again.`);
  }
  const body = token.slice(tokenPrefix.length);
  const bytes = Buffer.from(body, 'base64url');
  if (bytes.length !== tokenBytes || bytes.toString('base64url') !== body) {
    throw new NestError('TOKEN_INVALID', 'The join token is incomplete or damaged. Copy the whole line from the console again.');
  }
  const id = bytes.subarray(0, tokenIdBytes);
  const secret = bytes.subarray(tokenIdBytes, tokenIdBytes + tokenSecretBytes);
  const rootSpkiHash = bytes.subarray(tokenIdBytes + tokenSecretBytes);
  return { id, key: Buffer.from(hkdfSync('sha256', secret, id, tokenKeyInfo, keyBytes)), rootSpkiHash };
};
