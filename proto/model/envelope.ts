/**
 * Signed envelopes: exact bytes, the use they are meant for, and signatures over both (the pre-authentication encoding of DSSE,
 * https://github.com/secure-systems-lab/dsse). Verify first, parse afterwards, never encode anew.
 */
import { createHash, sign, verify } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import type { EnvelopeSignature, SignedEnvelope } from '../gen/nest/v1/envelope.ts';
import { NestError } from './error.ts';

/** More are refused before one is verified. */
export const envelopeSignaturesMax = 8;
export const envelopePayloadBytesMax = 4 << 20;

/** A private key and how others know its public half. */
export interface EnvelopeSigner {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  /** Leaf first, DER, without the root; empty when the key is known by its id. */
  readonly certificateChain: readonly Uint8Array[];
}

/** Taking a key apart costs as much as checking a signature; keys do not change. */
const keyIds = new WeakMap<KeyObject, Buffer>();

/** SHA-256 of a public key (SPKI, DER): 32 bytes, not to be written to. */
export const keyIdOf = (publicKey: KeyObject): Buffer => {
  const known = keyIds.get(publicKey);
  if (known !== undefined) return known;
  const keyId = createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest();
  keyIds.set(publicKey, keyId);
  return keyId;
};

/** The envelope with one signature each. Raises INPUT_INVALID for a key that is neither Ed25519 nor P-256. */
export const sealEnvelope = (payloadType: string, payload: Uint8Array, signers: readonly EnvelopeSigner[]): SignedEnvelope => {
  const bytes = signedBytes(payloadType, payload);
  return {
    payloadType,
    payload: Buffer.from(payload),
    signatures: signers.map(({ privateKey, publicKey, certificateChain }) => ({
      keyId: keyIdOf(publicKey),
      signature: sign(digestOf(privateKey), bytes, { key: privateKey, dsaEncoding: 'ieee-p1363' }),
      certificateChain: certificateChain.map((certificate) => Buffer.from(certificate)),
    })),
  };
};

/**
 * The key ids (hex) whose signatures hold, each once. `keyOf` says which public key a signature claims and null when it is nobody's who
 * counts; it must check certificates itself. Raises INPUT_INVALID when the envelope is for another use or beyond a limit.
 */
export const verifyEnvelope = (
  envelope: SignedEnvelope,
  payloadType: string,
  keyOf: (signature: EnvelopeSignature) => KeyObject | null,
): ReadonlySet<string> => {
  if (envelope.payloadType !== payloadType)
    throw new NestError(
      'INPUT_INVALID',
      `The envelope is for ${JSON.stringify(envelope.payloadType.slice(0, 64))}, not for ${payloadType}.`,
    );
  if (envelope.signatures.length > envelopeSignaturesMax || envelope.payload.length > envelopePayloadBytesMax)
    throw new NestError('INPUT_INVALID', 'The envelope has more signatures or bytes than are allowed.');
  const bytes = signedBytes(payloadType, envelope.payload);
  const holding = envelope.signatures.flatMap((signature) => {
    const key = keyOf(signature);
    if (key === null || !keyIdOf(key).equals(signature.keyId)) return [];
    const holds = verify(digestOf(key), bytes, { key, dsaEncoding: 'ieee-p1363' }, signature.signature);
    return holds ? [Buffer.from(signature.keyId).toString('hex')] : [];
  });
  return new Set(holding);
};

/** Asking a key what it is takes a third of the time of checking a signature. */
const digests = new WeakMap<KeyObject, 'sha256' | null>();

const digestOf = (key: KeyObject): 'sha256' | null => {
  const known = digests.get(key);
  if (known !== undefined) return known;
  const digest = newDigestOf(key);
  digests.set(key, digest);
  return digest;
};

/** Ed25519 hashes by itself. */
const newDigestOf = (key: KeyObject): 'sha256' | null => {
  if (key.asymmetricKeyType === 'ed25519') return null;
  if (key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return 'sha256';
  throw new NestError('INPUT_INVALID', 'Envelopes are signed with Ed25519 or P-256 keys only.');
};

/** What is signed: for those who check with other tools. */
export const signedBytes = (payloadType: string, payload: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from(`DSSEv1 ${String(Buffer.byteLength(payloadType))} ${payloadType} ${String(payload.length)} `), payload]);
