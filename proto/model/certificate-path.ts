/**
 * What a fleet's certificates mean, for both ends of the wire: one SPIFFE name a leaf, two issuing authorities below the root, and
 * which authority may speak for which path. Libraries check signatures; they do not enforce names of URIs, so this does.
 */
import { X509Certificate } from 'node:crypto';
import { NestError } from './error.ts';

export type AuthorityRole = 'agents' | 'operators';
export type IdentityKind = 'agent' | 'operator' | 'client';

export interface CertificateIdentity {
  readonly fleetId: string;
  readonly kind: IdentityKind;
  readonly name: string;
  /** spiffe://<fleet>/<kind>/<name> */
  readonly subject: string;
}

const spiffePattern = /^spiffe:\/\/([0-7][0-9a-hjkmnp-tv-z]{25})\/(agent|operator|client)\/([A-Za-z0-9._@+-]{1,128})$/;

/** The distinguished name of an issuing authority, as Node writes it. No free text: nobody's fleet name can look like it. */
export const authorityName = (fleetId: string, role: AuthorityRole): string => `CN=${role}\nOU=issuing\nO=${fleetId}`;

/** The one URI of an issuing authority's own certificate. */
export const authorityUri = (fleetId: string, role: AuthorityRole): string => `spiffe://${fleetId}/authority/${role}`;

/** Who issues identities of this kind. */
export const authorityOf = (kind: IdentityKind): AuthorityRole => (kind === 'agent' ? 'agents' : 'operators');

/** The certificates of a PEM text, in order. */
export const certificatesIn = (pem: string): readonly X509Certificate[] =>
  (pem.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? []).map((one) => new X509Certificate(one));

/** URI names of a certificate. Raises CERTIFICATE_INVALID for names that cannot be told apart safely. */
export const uriNames = (certificate: X509Certificate): readonly string[] => {
  const names = certificate.subjectAltName ?? '';
  // Node quotes names with commas in them; none of ours has any.
  if (names.includes('"')) throw invalid('its names are malformed');
  return names
    .split(', ')
    .filter((name) => name.startsWith('URI:'))
    .map((name) => name.slice('URI:'.length));
};

/** The one identity of a leaf. Raises CERTIFICATE_INVALID unless it has exactly one URI name and that is a Nest identity. */
export const identityOf = (certificate: X509Certificate): CertificateIdentity => {
  const uris = uriNames(certificate);
  const [subject] = uris;
  if (subject === undefined || uris.length !== 1) throw invalid(`it has ${String(uris.length)} URI names, exactly one is needed`);
  const match = spiffePattern.exec(subject);
  if (match === null) throw invalid('its URI name is not spiffe://<fleet>/<kind>/<name>');
  const [, fleetId = '', kind = '', name = ''] = match;
  return { fleetId, kind: kind as IdentityKind, name, subject };
};

/**
 * Whether a leaf whose chain holds was issued by who may issue its kind: the authority of that kind, or the root itself (fleets from
 * before there were two). Only the root can name an authority, and authorities make none, so the issuer's name in the leaf is enough.
 */
export const isIssuerFitting = (
  leaf: Pick<X509Certificate, 'issuer'>,
  identity: Pick<CertificateIdentity, 'fleetId' | 'kind'>,
  rootNames: readonly string[],
): boolean => leaf.issuer === authorityName(identity.fleetId, authorityOf(identity.kind)) || rootNames.includes(leaf.issuer);

export interface PathExpectation {
  /** Trusted roots of the fleet. */
  readonly roots: readonly X509Certificate[];
  readonly fleetId: string;
  /** Milliseconds since the Unix epoch. */
  readonly nowMs: number;
  /** Object identifier of the extended key usage the leaf must have; any by default. */
  readonly usage?: string;
}

export const clientUsage = '1.3.6.1.5.5.7.3.2';

export interface CheckedPath {
  readonly leaf: X509Certificate;
  /** Leaf first, the root last. */
  readonly path: readonly X509Certificate[];
  readonly identity: CertificateIdentity;
}

/**
 * The whole judgement over a chain (leaf first, DER, without the root): signatures up to a trusted root, dates, P-256 keys, at most one
 * authority in between with its own name, one identity, and an issuer that may give it. Raises CERTIFICATE_INVALID, FLEET_MISMATCH.
 */
export const checkCertificatePath = (chain: readonly Uint8Array[], expected: PathExpectation): CheckedPath => {
  if (chain.length < 1 || chain.length > 2) throw invalid(`its chain has ${String(chain.length)} certificates, 1 or 2 are allowed`);
  const offered = chain.map(readCertificate);
  const last = offered.at(-1);
  const leaf = offered[0];
  if (last === undefined || leaf === undefined) throw invalid('its chain is empty');
  const root = expected.roots.find((known) => isIssuedBy(last, known));
  if (root === undefined) throw invalid('it is not signed by the root of this fleet');
  const path = [...offered, root];
  for (const certificate of path) checkDatesAndKey(certificate, expected.nowMs);
  if (leaf.ca) throw invalid('it is a certificate authority');
  if (expected.usage !== undefined && leaf.keyUsage?.includes(expected.usage) !== true) throw invalid('it is meant for another use');
  const identity = identityOf(leaf);
  if (identity.fleetId !== expected.fleetId)
    throw new NestError('FLEET_MISMATCH', 'The certificate belongs to another fleet. Use the console of its fleet.');
  const [, authority] = offered;
  if (authority !== undefined) checkAuthority(authority, leaf, identity);
  return { leaf, path, identity };
};

const checkAuthority = (authority: X509Certificate, leaf: X509Certificate, { fleetId, kind }: CertificateIdentity): void => {
  const role = authorityOf(kind);
  if (!authority.ca || !isIssuedBy(leaf, authority)) throw invalid('a signature in its chain does not fit its issuer');
  const uris = uriNames(authority);
  if (authority.subject !== authorityName(fleetId, role) || uris.length !== 1 || uris[0] !== authorityUri(fleetId, role))
    throw invalid(`its issuer may not give identities of the kind "${kind}"`);
};

const isIssuedBy = (certificate: X509Certificate, issuer: X509Certificate): boolean =>
  certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);

const checkDatesAndKey = (certificate: X509Certificate, nowMs: number): void => {
  if (nowMs < certificate.validFromDate.getTime()) throw invalid('it is not valid yet; compare the clocks');
  if (nowMs >= certificate.validToDate.getTime()) throw invalid('it has expired');
  if (certificate.publicKey.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw invalid('a key is not on the curve P-256');
};

const readCertificate = (der: Uint8Array): X509Certificate => {
  try {
    return new X509Certificate(Buffer.from(der));
  } catch (error) {
    throw new NestError('CERTIFICATE_INVALID', 'A certificate cannot be read. Issue a new one from the console.', { cause: error });
  }
};

const invalid = (reason: string): NestError =>
  new NestError('CERTIFICATE_INVALID', `The certificate is refused: ${reason}. Issue a new one from the console.`);
