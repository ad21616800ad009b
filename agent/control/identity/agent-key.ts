import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { NestError } from '../../../proto/model/error.ts';

/** P-256 alone: what TLS stacks of every host and of the console understand. */
const curve = 'prime256v1';

export interface AgentKey {
  /** PKCS#8 PEM. */
  readonly privateKeyPem: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  /** SHA-256 of the SPKI. */
  readonly spkiHash: Buffer;
  /** The same, lower-case hex. */
  readonly fingerprint: string;
}

/** A new key from the operating system's randomness. */
export const generateAgentKey = (): AgentKey => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: curve });
  return describeKey(privateKey);
};

/** Reads a stored key. Throws STATE_CORRUPT when it is none or not on P-256. */
export const parseAgentKey = (pem: string): AgentKey => {
  const privateKey = readPrivateKey(pem);
  if (!isP256(privateKey)) throw corrupt();
  return describeKey(privateKey);
};

/** True for elliptic-curve keys on P-256. */
export const isP256 = (key: KeyObject): boolean => key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === curve;

/** SHA-256 of the key's SubjectPublicKeyInfo. */
export const spkiHashOf = (publicKey: KeyObject): Buffer =>
  createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest();

const describeKey = (privateKey: KeyObject): AgentKey => {
  const publicKey = createPublicKey(privateKey);
  const spkiHash = spkiHashOf(publicKey);
  return {
    privateKeyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    privateKey,
    publicKey,
    spkiHash,
    fingerprint: spkiHash.toString('hex'),
  };
};

const readPrivateKey = (pem: string): KeyObject => {
  try {
    return createPrivateKey(pem);
  } catch (error) {
    throw corrupt(error);
  }
};

const corrupt = (cause?: unknown): NestError =>
  new NestError(
    'STATE_CORRUPT',
    'The agent key (identity/key.pem in the state directory) is not a P-256 private key. Restore it from a backup, or remove the identity directory and join again.',
    { cause },
  );
