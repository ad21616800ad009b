/** Who an agent is: exactly one SPIFFE URI in its certificate, and the public key the operator approved. */
import { createHash, hash } from 'node:crypto';
import type { X509Certificate } from 'node:crypto';
import { subjectPublicKeyInfo } from '../../proto/model/certificate-key.ts';
import { isIssuerFitting } from '../../proto/model/certificate-path.ts';
import { NestError } from '../../proto/model/error.ts';

export interface AgentIdentity {
  readonly fleetId: string;
  /** ULID, upper case. */
  readonly agentId: string;
  /** SHA-256 of the public key (SPKI, DER), lower-case hex; approved at enrolment. */
  readonly spkiSha256: string;
  /** The key that follows, while a change of keys is under way. */
  readonly nextSpkiSha256?: string | undefined;
}

/** TLS server name of an agent: never an address. */
export const agentServerName = (agentId: string): string => `${agentId.toLowerCase()}.agent.nest.internal`;

/** SHA-256 of a certificate's public key (SPKI, DER). */
export const spkiSha256Of = (certificate: X509Certificate): Buffer =>
  createHash('sha256')
    .update(certificate.publicKey.export({ type: 'spki', format: 'der' }))
    .digest();

/** Hex in groups of four, as agents print it: the same text on both ends is what an operator compares. */
export const spkiFingerprint = (spkiSha256: string): string => spkiSha256.match(/.{1,4}/g)?.join(' ') ?? '';

/**
 * Checks a certificate whose chain TLS has verified already. Returns the refusal, or undefined when it is the expected agent.
 * IDENTITY_MISMATCH: another agent, another key, or not exactly one URI. CERTIFICATE_INVALID: issued by who may not name agents.
 */
export const agentIdentityProblem = (
  certificate: X509Certificate,
  expected: AgentIdentity,
  rootNames: readonly string[],
): NestError | undefined => {
  const uris = (certificate.subjectAltName ?? '')
    .split(', ')
    .filter((entry) => entry.startsWith('URI:'))
    .map((entry) => entry.slice(4));
  const uri = `spiffe://${expected.fleetId}/agent/${expected.agentId}`;
  if (uris.length !== 1 || uris[0] !== uri) {
    return new NestError(
      'IDENTITY_MISMATCH',
      'Another agent answers at this address. Check the address of the host; nothing was sent to it.',
      { details: { expected: uri, presented: uris.slice(0, 4) } },
    );
  }
  if (!isIssuerFitting(certificate, { fleetId: expected.fleetId, kind: 'agent' }, rootNames)) {
    return new NestError(
      'CERTIFICATE_INVALID',
      'The certificate at this address was issued by an authority that may not name agents. Look for who holds its key; nothing was sent to it.',
      { details: { issuer: certificate.issuer } },
    );
  }
  const key = subjectPublicKeyInfo(certificate.raw);
  const fingerprint = key === null ? 'unreadable' : hash('sha256', key);
  if (fingerprint === expected.spkiSha256 || fingerprint === expected.nextSpkiSha256) return undefined;
  return new NestError(
    'IDENTITY_MISMATCH',
    'The agent shows another key than the one that was approved. If it was installed anew, remove the host and add it again.',
    {
      details: { expected: expected.spkiSha256, presented: fingerprint },
    },
  );
};
