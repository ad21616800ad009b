/** Whose signature an envelope carries: an operator's device, known by its certificate chain up to the fleet root. */
import { X509Certificate } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import type { EnvelopeSignature, SignedEnvelope } from '../gen/nest/v1/envelope.ts';
import { verifyEnvelope } from './envelope.ts';
import { NestError } from './error.ts';

/** Leaf and issuing authorities below the root. */
const chainMax = 3;
const clientAuthentication = '1.3.6.1.5.5.7.3.2';
const operatorPattern = /^URI:(spiffe:\/\/([0-9a-z]{26})\/operator\/[A-Za-z0-9._@+-]{1,128})$/;

export type Envelope = SignedEnvelope;

export interface SignatureCheck {
  /** PEM. */
  readonly fleetRoot: string;
  readonly fleetId: string;
  /** Milliseconds since the Unix epoch. */
  readonly nowMs: number;
  /** Whether this operator may sign such a document; decided by whoever knows the roles. */
  readonly maySign: (subject: string) => boolean;
}

export interface SignedDocument {
  readonly payload: Uint8Array;
  /** spiffe://<fleet>/operator/<name> */
  readonly subject: string;
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
    if (check.maySign(subject)) return { payload: envelope.payload, subject };
    failure = new NestError('SCOPE_MISSING', `${subject} may not sign this. Ask an owner of the fleet.`, { details: { subject } });
  }
  throw failure;
};

const signerOf = (
  { certificateChain }: EnvelopeSignature,
  { fleetRoot, fleetId, nowMs }: SignatureCheck,
): { readonly key: KeyObject; readonly subject: string } => {
  if (certificateChain.length < 1 || certificateChain.length > chainMax) throw refuse('its signer shows no certificate chain');
  const root = new X509Certificate(fleetRoot);
  const path = [...certificateChain.map(readCertificate), root];
  for (const [index, certificate] of path.entries()) {
    const issuer = path[index + 1];
    if (issuer !== undefined && (!issuer.ca || !certificate.checkIssued(issuer) || !certificate.verify(issuer.publicKey)))
      throw refuse('its signer is not certified by the fleet root');
    if (nowMs < certificate.validFromDate.getTime() || nowMs >= certificate.validToDate.getTime())
      throw refuse('the certificate of its signer is not in date');
  }
  const [leaf, ...authorities] = path;
  const [, subject = '', fleet = ''] = operatorPattern.exec(leaf?.subjectAltName ?? '') ?? [];
  if (leaf === undefined || leaf.ca || !leaf.keyUsage?.includes(clientAuthentication) || subject === '')
    throw refuse('its signer is not an operator');
  if (fleet !== fleetId) throw new NestError('FLEET_MISMATCH', 'The document was signed in another fleet.');
  // An authority that names what it issues must name operators.
  if (authorities.some(({ subjectAltName }) => subjectAltName !== undefined && !subjectAltName.includes('operator')))
    throw refuse('its signer was certified by an authority that is not for operators');
  return { key: leaf.publicKey, subject };
};

const readCertificate = (der: Uint8Array): X509Certificate => {
  try {
    return new X509Certificate(Buffer.from(der));
  } catch (error) {
    throw refuse('a certificate of its signer cannot be read', error);
  }
};

const refuse = (reason: string, cause?: unknown): NestError =>
  new NestError('CERTIFICATE_INVALID', `The signed document is refused: ${reason}. Sign it again in a console of this fleet.`, { cause });
