/** Session tokens: compact EdDSA tokens under a key that lives and dies with this process. */
import { createHash, generateKeyPairSync, sign, verify } from 'node:crypto';
import { z } from 'zod';
import { NestError } from '../../../proto/model/error.ts';

const tokenCharactersMax = 2_048;
const header = encode({ alg: 'EdDSA', typ: 'nest-session' });

const claimsSchema = z.strictObject({
  /** This agent. */
  iss: z.string(),
  /** spiffe://<fleet>/operator/<name> */
  sub: z.string(),
  /** SHA-256 of the client certificate, base64url: without its key the token is worth nothing. */
  cnf: z.string(),
  /** Seconds since the Unix epoch. */
  iat: z.number(),
  exp: z.number(),
  mfa_at: z.number(),
  /** Milliseconds of this process: setting the clock of the host lengthens nothing. */
  mono: z.number(),
  /** Revision of the access bundle, and SHA-256 over what it says about the subject. */
  rev: z.string(),
  acc: z.string(),
});
export type SessionClaims = z.output<typeof claimsSchema>;

export interface TokenKey {
  issue(claims: SessionClaims): string;
  /** The claims of a token of this process. Raises SESSION_INVALID. */
  read(token: string): SessionClaims;
}

/** A fresh key. */
export const createTokenKey = (): TokenKey => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  return {
    issue: (claims) => {
      const signed = `${header}.${encode(claims)}`;
      return `${signed}.${sign(null, Buffer.from(signed), privateKey).toString('base64url')}`;
    },
    read: (token) => {
      const [first, payload, signature, ...more] = token.length > tokenCharactersMax ? [] : token.split('.');
      if (first !== header || payload === undefined || signature === undefined || more.length > 0) throw invalidSession('it is no token');
      const isOurs = verify(null, Buffer.from(`${first}.${payload}`), publicKey, Buffer.from(signature, 'base64url'));
      if (!isOurs) throw invalidSession('it is not from this agent, or the agent was started since');
      return claimsSchema.parse(JSON.parse(Buffer.from(payload, 'base64url').toString()));
    },
  };
};

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

/** The reason completes "refused: ...". */
export const invalidSession = (reason: string): NestError =>
  new NestError('SESSION_INVALID', `The session token is refused: ${reason}. Enter a code of your authenticator again.`);

/** SHA-256, base64url. */
export const shortHash = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('base64url');
