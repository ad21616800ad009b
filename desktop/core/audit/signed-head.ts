/** Who signed a head: an agent whose key was approved, or, in an export, one whose certificate leads to the root of the fleet. */
import { X509Certificate } from 'node:crypto';
import { SignedEnvelope } from '../../../proto/gen/nest/v1/envelope.ts';
import { auditHeadType, readAuditHead } from '../../../proto/model/audit.ts';
import type { AuditHead } from '../../../proto/model/audit.ts';
import { keyIdOf, verifyEnvelope } from '../../../proto/model/envelope.ts';
import { NestError } from '../../../proto/model/error.ts';

/** Leaf and issuing authorities below the root. */
const chainMax = 4;

/** The head when this agent signed it. Raises AUDIT_BROKEN, INPUT_INVALID. */
export const headSignedBy = (envelope: SignedEnvelope, agent: { readonly agentId: string; readonly spkiSha256: string }): AuditHead => {
  const holding = verifyEnvelope(envelope, auditHeadType, ({ certificateChain: [leaf] }) => {
    const key = leaf === undefined ? null : readCertificate(leaf).publicKey;
    return key !== null && keyIdOf(key).toString('hex') === agent.spkiSha256 ? key : null;
  });
  const head = readAuditHead(SignedEnvelope.encode(envelope).finish());
  if (holding.size === 0 || head.agentId !== agent.agentId)
    throw new NestError(
      'AUDIT_BROKEN',
      'The head of the audit log is not signed with the key of this host. Find out who answers in its place.',
    );
  return head;
};

/** The head when an agent under one of these roots signed it while its certificate was valid. Raises AUDIT_BROKEN, INPUT_INVALID. */
export const headSignedUnder = (envelope: SignedEnvelope, roots: readonly X509Certificate[]): AuditHead => {
  const head = readAuditHead(SignedEnvelope.encode(envelope).finish());
  const holding = verifyEnvelope(envelope, auditHeadType, ({ certificateChain }) => {
    const chain = certificateChain.slice(0, chainMax).map(readCertificate);
    const problems = roots.map((root) => chainProblem([...chain, root], head));
    if (!problems.includes(null))
      throw new NestError('AUDIT_BROKEN', `The certificate of the head does not count: ${problems[0] ?? 'there is no root'}.`);
    return chain[0]?.publicKey ?? null;
  });
  if (holding.size === 0) throw new NestError('AUDIT_BROKEN', 'The signature of the head does not hold.');
  return head;
};

/** What is wrong with a path (leaf first, root last) for an agent at the time of its head; null when nothing is. */
const chainProblem = (path: readonly X509Certificate[], { agentId, fleetId, atMs }: AuditHead): string | null => {
  const [leaf] = path;
  if (leaf === undefined || path.length < 2) return 'there is none';
  for (const [index, certificate] of path.entries()) {
    const issuer = path[index + 1] ?? certificate;
    if (!issuer.ca || !certificate.checkIssued(issuer) || !certificate.verify(issuer.publicKey)) return 'it does not lead to the root';
    if (atMs < certificate.validFromDate.getTime() || atMs > certificate.validToDate.getTime())
      return 'it was not valid when the head was signed';
  }
  const uris = (leaf.subjectAltName ?? '').split(', ').filter((name) => name.startsWith('URI:'));
  if (uris.length !== 1 || uris[0] !== `URI:spiffe://${fleetId}/agent/${agentId}`) return 'it names another agent';
  return leaf.ca ? 'it is an authority' : null;
};

const readCertificate = (der: Uint8Array): X509Certificate => {
  try {
    return new X509Certificate(Buffer.from(der));
  } catch (error) {
    throw new NestError('AUDIT_BROKEN', 'A certificate of the head cannot be read.', { cause: error });
  }
};
