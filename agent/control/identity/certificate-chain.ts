import { X509Certificate, timingSafeEqual } from 'node:crypto';
import { authorityName, authorityUri, isIssuerFitting, uriNames } from '../../../proto/model/certificate-path.ts';
import { NestError } from '../../../proto/model/error.ts';
import { isP256, spkiHashOf } from './agent-key.ts';
import { fleetIdPattern, readCertificateNames, readSpiffeId } from './certificate-names.ts';
import { BasicConstraintsExtension, X509Certificate as ParsedCertificate } from './x509.ts';

/** The leaf and the authority for agents. */
const chainMax = 2;
const serverAuthentication = '1.3.6.1.5.5.7.3.1';
const agentIdPattern = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/i;

export interface ChainOffer {
  /** Leaf first, DER each, without the root. */
  readonly certificateChain: readonly Uint8Array[];
  readonly fleetRoot: Uint8Array;
  readonly fleetId: string;
}

export interface ChainExpectation {
  readonly rootSpkiHash: Uint8Array;
  readonly agentSpkiHash: Uint8Array;
  readonly nowMs: number;
}

export interface CheckedChain {
  readonly agentId: string;
  readonly fleetId: string;
  readonly endsAtMs: number;
  /** PEM each. */
  readonly leaf: string;
  readonly chain: string;
  readonly root: string;
}

/**
 * Everything that must hold before the agent takes a certificate as its own: the root is the pinned one, every
 * signature and date is good, all keys are P-256, the leaf is for our key and names exactly this fleet's agent.
 * Throws CERTIFICATE_INVALID or FLEET_MISMATCH.
 */
export const checkChain = (offer: ChainOffer, expected: ChainExpectation): CheckedChain => {
  if (!fleetIdPattern.test(offer.fleetId)) throw refuse('the fleet id is not a lower-case ULID');
  if (offer.certificateChain.length < 1 || offer.certificateChain.length > chainMax)
    throw refuse(`the chain has ${offer.certificateChain.length} certificates, 1 to ${chainMax} are allowed`);
  const root = readCertificate(offer.fleetRoot);
  if (!timingSafeEqual(spkiHashOf(root.publicKey), expected.rootSpkiHash)) {
    throw new NestError(
      'FLEET_MISMATCH',
      'The fleet root is not the one that the join token names. Make a new token in the console of the right fleet.',
    );
  }
  const certificates = offer.certificateChain.map(readCertificate);
  checkSignatures([...certificates, root]);
  for (const certificate of [...certificates, root]) checkDatesAndKey(certificate, expected.nowMs);
  const [leaf, issuer] = certificates;
  if (leaf === undefined) throw refuse('the chain is empty');
  if (!isIssuerFitting(leaf, { fleetId: offer.fleetId, kind: 'agent' }, [root.subject])) throw refuse('its issuer may not name agents');
  if (issuer !== undefined) checkAuthority(issuer, offer.fleetId);
  return {
    ...checkLeaf(leaf, offer.fleetId, expected.agentSpkiHash),
    leaf: leaf.toString(),
    chain: certificates.map(String).join(''),
    root: root.toString(),
  };
};

/** Each certificate is issued by the next one, which must be an authority; the last is signed by itself. */
const checkSignatures = (path: readonly X509Certificate[]): void => {
  for (const [index, certificate] of path.entries()) {
    const issuer = path[index + 1] ?? certificate;
    if (!issuer.ca) throw refuse('an issuer is not a certificate authority');
    if (!certificate.checkIssued(issuer) || !certificate.verify(issuer.publicKey))
      throw refuse('a signature in the chain does not fit its issuer');
    // Authorities between this issuer and the leaf must not exceed what the issuer allows.
    const pathLength = new ParsedCertificate(new Uint8Array(issuer.raw)).getExtension(BasicConstraintsExtension)?.pathLength;
    if (pathLength !== undefined && issuer !== certificate && index > pathLength) throw refuse('the chain is longer than an issuer allows');
  }
};

/** What stands between leaf and root is the authority for agents and says so itself. */
const checkAuthority = (issuer: X509Certificate, fleetId: string): void => {
  const uris = uriNames(issuer);
  if (issuer.subject !== authorityName(fleetId, 'agents') || uris.length !== 1 || uris[0] !== authorityUri(fleetId, 'agents'))
    throw refuse('its issuer is not the authority for agents');
};

const checkDatesAndKey = (certificate: X509Certificate, nowMs: number): void => {
  if (nowMs < certificate.validFromDate.getTime())
    throw refuse("a certificate is not valid yet; compare this host's clock with the console's");
  if (nowMs >= certificate.validToDate.getTime()) throw refuse("a certificate has expired; compare this host's clock with the console's");
  if (!isP256(certificate.publicKey)) throw refuse('a key is not on the curve P-256');
};

const checkLeaf = (
  leaf: X509Certificate,
  fleetId: string,
  agentSpkiHash: Uint8Array,
): Pick<CheckedChain, 'agentId' | 'fleetId' | 'endsAtMs'> => {
  if (!timingSafeEqual(spkiHashOf(leaf.publicKey), agentSpkiHash)) throw refuse("the certificate is for another key than this agent's");
  if (leaf.ca) throw refuse('the leaf is a certificate authority');
  if (!leaf.keyUsage?.includes(serverAuthentication)) throw refuse('the leaf may not be used by a TLS server');
  const names = readCertificateNames(leaf.raw);
  const id = readSpiffeId(names);
  if (id.fleetId !== fleetId)
    throw new NestError(
      'FLEET_MISMATCH',
      'The certificate names another fleet than the one that enrols this host. Start the enrolment again in the right console.',
    );
  if (id.kind !== 'agent' || !agentIdPattern.test(id.name)) throw refuse('the identity is not spiffe://<fleet>/agent/<ULID>');
  const dnsName = `${id.name.toLowerCase()}.agent.nest.internal`;
  if (!names.dnsNames.includes(dnsName)) throw refuse(`the name ${dnsName} is missing`);
  return { agentId: id.name, fleetId, endsAtMs: leaf.validToDate.getTime() };
};

const readCertificate = (der: Uint8Array): X509Certificate => {
  try {
    return new X509Certificate(Buffer.from(der));
  } catch (error) {
    throw refuse('a certificate cannot be read', error);
  }
};

const refuse = (reason: string, cause?: unknown): NestError =>
  new NestError(
    'CERTIFICATE_INVALID',
    `The certificate from the console is refused: ${reason}. Start the enrolment again with a new token.`,
    { cause },
  );
