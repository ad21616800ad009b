/** How people name a fleet's root: by the certificate, as snapshots and exports print it, or by its key, as consoles do when a device joins. */
import { X509Certificate, createHash } from 'node:crypto';

/** SHA-256 of a root certificate (DER) and of its public key, lower-case hex. Raises what OpenSSL does of a certificate it cannot read. */
export const rootNamesOf = (certificate: X509Certificate | Uint8Array): { readonly certificate: string; readonly key: string } => {
  const root = certificate instanceof X509Certificate ? certificate : new X509Certificate(certificate);
  return { certificate: sha256(root.raw), key: sha256(root.publicKey.export({ type: 'spki', format: 'der' })) };
};

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
