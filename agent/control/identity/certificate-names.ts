import { NestError } from '../../../proto/model/error.ts';
import { SubjectAlternativeNameExtension, X509Certificate } from './x509.ts';

export interface CertificateNames {
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
}

/** Subject alternative names of a certificate, DER. Throws CERTIFICATE_INVALID when it cannot be read. */
export const readCertificateNames = (certificate: Uint8Array): CertificateNames => {
  try {
    const names = new X509Certificate(new Uint8Array(certificate)).getExtension(SubjectAlternativeNameExtension)?.names.items ?? [];
    return {
      uris: names.filter((name) => name.type === 'url').map((name) => name.value),
      dnsNames: names.filter((name) => name.type === 'dns').map((name) => name.value),
    };
  } catch (error) {
    throw new NestError('CERTIFICATE_INVALID', 'The certificate cannot be read. Issue a new one from the console.', { cause: error });
  }
};

export interface SpiffeId {
  readonly fleetId: string;
  readonly kind: 'agent' | 'operator' | 'client';
  readonly name: string;
  readonly subject: string;
}

/** Lower-case ULID. */
export const fleetIdPattern = /^[0-7][0-9a-hjkmnp-tv-z]{25}$/;
const spiffePattern = /^spiffe:\/\/([0-9a-z]{26})\/(agent|operator|client)\/([A-Za-z0-9._@+-]{1,128})$/;

/** The one identity of a certificate. Throws CERTIFICATE_INVALID unless it has exactly one URI name and that is a Nest identity. */
export const readSpiffeId = (names: CertificateNames): SpiffeId => {
  const [uri, ...others] = names.uris;
  if (uri === undefined || others.length > 0) {
    throw new NestError(
      'CERTIFICATE_INVALID',
      `The certificate has ${names.uris.length} URI names, exactly one is needed. Issue a new one from the console.`,
    );
  }
  const match = spiffePattern.exec(uri);
  const [, fleetId = '', kind = '', name = ''] = match ?? [];
  if (match === null || !fleetIdPattern.test(fleetId)) {
    throw new NestError(
      'CERTIFICATE_INVALID',
      'The URI name of the certificate is not a Nest identity (spiffe://<fleet>/<kind>/<name>). Issue a new one from the console.',
    );
  }
  return { fleetId, kind: kind as SpiffeId['kind'], name, subject: uri };
};
