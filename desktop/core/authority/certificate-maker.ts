/** Keys and certificates of a fleet at the level of X.509: P-256, random serials, the extensions every one of ours has. */
// Decorator metadata is what the X.509 library describes its ASN.1 with; it must be loaded before it.
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { X509Certificate, createHash, createPublicKey, webcrypto } from 'node:crypto';
import { NestError } from '../../../proto/model/error.ts';
import type { RandomBytes } from '../../lib/api.ts';

export const dayMs = 86_400_000;
/** Hosts whose clocks are a little behind must accept a new certificate. */
const backdateMs = 60 * 60_000;
const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

export interface AuthorityContext {
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
  readonly random: RandomBytes;
}

/** A certificate and its private key, PEM. The certificate may be followed by its issuer's. */
export interface KeyPair {
  readonly certificate: string;
  readonly privateKey: string;
}

/** A certificate authority, PEM. Null: its key is not on this console. */
export interface Authority {
  readonly certificate: string;
  readonly privateKey: string | null;
}

export interface CertificatePlan {
  readonly subject: x509.JsonName;
  readonly publicKey: x509.PublicKeyType;
  readonly days: number;
  readonly names: x509.JsonGeneralNames;
  /** The extended key usage of a leaf; of an authority, what its leaves may be used for. */
  readonly usage: string;
  readonly isAuthority?: true;
}

/** Signs a certificate; it never outlives its issuer. Raises SCOPE_MISSING when the issuer's key is not here. */
export const issueCertificate = async (
  issuer: Authority,
  context: AuthorityContext,
  plan: CertificatePlan,
): Promise<x509.X509Certificate> => {
  const parent = new x509.X509Certificate(issuer.certificate);
  return x509.X509CertificateGenerator.create({
    serialNumber: serialOf(context.random),
    subject: plan.subject,
    issuer: parent.subjectName.toJSON(),
    ...validity(context.now, plan.days, parent.notAfter),
    signingAlgorithm: algorithm,
    publicKey: plan.publicKey,
    signingKey: await signingKeyOf(issuer),
    extensions: [
      new x509.BasicConstraintsExtension(plan.isAuthority === true, plan.isAuthority === true ? 0 : undefined, true),
      plan.isAuthority === true ? authorityUsage() : new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([plan.usage], false),
      new x509.SubjectAlternativeNameExtension(plan.names, false),
      await x509.SubjectKeyIdentifierExtension.create(plan.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(parent),
    ],
  });
};

/** A self-signed root whose chains may hold one more authority. */
export const createRoot = async (subject: x509.JsonName, days: number, context: AuthorityContext): Promise<KeyPair> => {
  const keys = await generateKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialOf(context.random),
    name: subject,
    ...validity(context.now, days),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 1, true),
      authorityUsage(),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate: certificate.toString('pem'), privateKey: await privatePem(keys.privateKey) };
};

/** The public key of a signing request, which is all that is believed of it. Raises PROOF_INVALID unless it is P-256 and signed by its own key. */
export const requestedKey = async (signingRequest: Uint8Array): Promise<x509.PublicKey> => {
  const refused = (cause?: unknown): NestError =>
    new NestError('PROOF_INVALID', 'The signing request of the agent is not valid. Upgrade the agent, then make a new token.', { cause });
  try {
    const request = new x509.Pkcs10CertificateRequest(new Uint8Array(signingRequest));
    const { name, namedCurve } = request.publicKey.algorithm as { readonly name?: string; readonly namedCurve?: string };
    if (name !== 'ECDSA' || namedCurve !== 'P-256' || !(await request.verify())) throw refused();
    return request.publicKey;
  } catch (error) {
    throw error instanceof NestError ? error : refused(error);
  }
};

/** PKCS#10, DER, for a private key (PEM) on P-256. */
export const signingRequestOf = async (privateKey: string): Promise<Uint8Array> => {
  const spki = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: 'CN=nest-console',
    keys: {
      privateKey: await webcrypto.subtle.importKey('pkcs8', x509.PemConverter.decodeFirst(privateKey), algorithm, false, ['sign']),
      publicKey: await webcrypto.subtle.importKey('spki', new Uint8Array(spki), algorithm, true, ['verify']),
    },
    signingAlgorithm: algorithm,
  });
  return new Uint8Array(request.rawData);
};

/** The key an authority signs with. Raises SCOPE_MISSING when it is not on this console. */
export const signingKeyOf = async ({ privateKey }: Authority): Promise<webcrypto.CryptoKey> => {
  if (privateKey === null)
    throw new NestError(
      'SCOPE_MISSING',
      'The key that must sign this is not on this console. Restore it ("nest fleet root restore"), or ask an owner of the fleet.',
    );
  return webcrypto.subtle.importKey('pkcs8', x509.PemConverter.decodeFirst(privateKey), algorithm, false, ['sign']);
};

/** A fresh pair on P-256. */
export const generateKeys = (): Promise<webcrypto.CryptoKeyPair> => webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);

/** PKCS#8 PEM. */
export const privatePem = async (key: webcrypto.CryptoKey): Promise<string> =>
  x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY');

/** Common name (cut at 64 characters) and the fleet. */
export const subjectOf = (commonName: string, fleetId: string): x509.JsonName => [{ CN: [commonName.slice(0, 64)] }, { O: [fleetId] }];

/** Each certificate of a PEM text by itself. */
export const pemCertificates = (text: string): readonly string[] =>
  text.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];

/** DER of the first certificate in a PEM text. */
export const derOf = (pem: string): Uint8Array => new Uint8Array(new X509Certificate(pem).raw);

/** SHA-256, lower-case hex. */
export const sha256Hex = (bytes: ArrayBuffer): string => createHash('sha256').update(new Uint8Array(bytes)).digest('hex');

const authorityUsage = (): x509.KeyUsagesExtension =>
  new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true);

const validity = (now: number, days: number, latest?: Date): { readonly notBefore: Date; readonly notAfter: Date } => ({
  notBefore: new Date(now - backdateMs),
  notAfter: new Date(Math.min(now + days * dayMs, latest?.getTime() ?? Infinity)),
});

/** 127 random bits, never negative, never zero. */
const serialOf = (random: RandomBytes): string => {
  const bytes = Buffer.from(random(16));
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString('hex');
};
