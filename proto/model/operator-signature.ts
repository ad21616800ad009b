/** Whose signature an envelope carries: an operator's device, known by its certificate chain up to the fleet root. */
import type { KeyObject } from 'node:crypto';
import type { EnvelopeSignature, SignedEnvelope } from '../gen/nest/v1/envelope.ts';
import { certificatesIn, checkCertificatePath, clientUsage } from './certificate-path.ts';
import { verifyEnvelope } from './envelope.ts';
import { NestError } from './error.ts';

export type Envelope = SignedEnvelope;

export interface SignatureCheck {
  /** Trusted roots, PEM. */
  readonly fleetRoot: string;
  readonly fleetId: string;
  /** Milliseconds since the Unix epoch. */
  readonly nowMs: number;
  /** Whether this operator may sign such a document with this device (SHA-256 of its key, hex); decided by whoever knows the roles. */
  readonly maySign: (subject: string, device: string) => boolean;
}

export interface SignedDocument {
  readonly payload: Uint8Array;
  /** spiffe://<fleet>/operator/<name> */
  readonly subject: string;
  /** SHA-256 of the key that signed, hex. */
  readonly device: string;
}

/**
 * The payload and who signed it. Raises INPUT_INVALID for another use, CERTIFICATE_INVALID when no operator of this fleet has signed,
 * SCOPE_MISSING when the one who did may not.
 */
export const openSigned = (envelope: Envelope, payloadType: string, check: SignatureCheck): SignedDocument => {
  let failure = refuse('nobody has signed it');
  const subjects = new Map<string, string>();
  const holding = verifyEnvelope(envelope, payloadType, (signature) => {
    try {
      const { key, subject } = signerOf(signature, check);
      subjects.set(Buffer.from(signature.keyId).toString('hex'), subject);
      failure = refuse('the signature does not fit');
      return key;
    } catch (error) {
      if (!(error instanceof NestError)) throw error;
      failure = error;
      return null;
    }
  });
  for (const keyId of holding) {
    const subject = subjects.get(keyId);
    if (subject === undefined) continue;
    if (check.maySign(subject, keyId)) return { payload: envelope.payload, subject, device: keyId };
    failure = new NestError('SCOPE_MISSING', `${subject} may not sign this. Ask an owner of the fleet.`, { details: { subject } });
  }
  throw failure;
};

const signerOf = (
  { certificateChain }: EnvelopeSignature,
  { fleetRoot, fleetId, nowMs }: SignatureCheck,
): { readonly key: KeyObject; readonly subject: string } => {
  const expected = { roots: certificatesIn(fleetRoot), fleetId, nowMs, usage: clientUsage };
  const { leaf, identity } = checkCertificatePath(certificateChain, expected);
  if (identity.kind !== 'operator') throw refuse('its signer is not an operator');
  return { key: leaf.publicKey, subject: identity.subject };
};

const refuse = (reason: string): NestError =>
  new NestError('CERTIFICATE_INVALID', `The signed document is refused: ${reason}. Sign it again in a console of this fleet.`);
