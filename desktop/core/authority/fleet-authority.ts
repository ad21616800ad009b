/**
 * The fleet's certificate authority: makes the root, the operator's certificate and the agents' certificates.
 * ECDSA P-256 only (what every TLS library the console may run on can do), random serials, one SPIFFE URI a leaf.
 */
// Decorator metadata is what the X.509 library describes its ASN.1 with; it must be loaded before it.
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { createHash, webcrypto } from 'node:crypto';
import { NestError } from '../../../proto/model/error.ts';
import type { RandomBytes } from '../../lib/api.ts';

const dayMs = 86_400_000;
const rootDays = 3_650;
const agentDays = 365;
const operatorDays = 30;
const clientDays = 90;
/** Hosts whose clocks are a little behind must accept a new certificate. */
const backdateMs = 60 * 60_000;
const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

/** Everything secret of a fleet, PEM. Lives in the vault. */
export interface FleetKeys {
  readonly fleetId: string;
  readonly fleetName: string;
  readonly operatorName: string;
  readonly root: { readonly certificate: string; readonly privateKey: string };
  readonly operator: { readonly certificate: string; readonly privateKey: string };
  /** Ed25519, signs access updates; only on consoles of owners. */
  readonly owner?: string | undefined;
}

export interface AuthorityContext {
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
  readonly random: RandomBytes;
}

/** A new fleet: root and first operator. `fleetId` is a lower-case ULID. */
export const createFleetKeys = async (
  names: { readonly fleetId: string; readonly fleetName: string; readonly operatorName: string },
  context: AuthorityContext,
): Promise<FleetKeys> => {
  const keys = await generateKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialOf(context.random),
    name: subjectOf(`${names.fleetName} fleet root`, names.fleetId),
    ...validity(context.now, rootDays),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 1, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  const root = { certificate: certificate.toString('pem'), privateKey: await privatePem(keys.privateKey) };
  return { ...names, root, operator: await issueOperator({ ...names, root }, context) };
};

/** A fresh key and certificate for the operator, 30 days. */
export const issueOperator = async (fleet: Omit<FleetKeys, 'operator'>, context: AuthorityContext): Promise<FleetKeys['operator']> => {
  const keys = await generateKeys();
  const uri = `spiffe://${fleet.fleetId}/operator/${operatorSlug(fleet.operatorName)}`;
  const certificate = await issue(fleet, context, {
    subject: subjectOf(fleet.operatorName, fleet.fleetId),
    publicKey: keys.publicKey,
    days: operatorDays,
    usage: x509.ExtendedKeyUsage.clientAuth,
    names: [{ type: 'url', value: uri }],
  });
  return { certificate: certificate.toString('pem'), privateKey: await privatePem(keys.privateKey) };
};

/** A fresh key and certificate for a program ("client/backup"), 90 days, PEM. */
export const issueClient = async (fleet: FleetKeys, subject: string, context: AuthorityContext): Promise<FleetKeys['operator']> => {
  const keys = await generateKeys();
  const certificate = await issue(fleet, context, {
    subject: subjectOf(subject, fleet.fleetId),
    publicKey: keys.publicKey,
    days: clientDays,
    usage: x509.ExtendedKeyUsage.clientAuth,
    names: [{ type: 'url', value: `spiffe://${fleet.fleetId}/${subject}` }],
  });
  return { certificate: certificate.toString('pem'), privateKey: await privatePem(keys.privateKey) };
};

/** True when a third of the operator certificate's life is used. */
export const isOperatorRenewalDue = (fleet: FleetKeys, now: number): boolean => {
  const { notBefore, notAfter } = new x509.X509Certificate(fleet.operator.certificate);
  return now - notBefore.getTime() > (notAfter.getTime() - notBefore.getTime()) / 3;
};

export interface SignedAgent {
  /** Leaf first, DER. */
  readonly chain: readonly Uint8Array[];
  readonly fleetRoot: Uint8Array;
  /** Milliseconds since the Unix epoch. */
  readonly endsAt: number;
}

/**
 * Signs an agent's request: only its public key is taken from it, every name is ours. Raises PROOF_INVALID when the request is
 * not signed by its own key, is not P-256, or its key is not the one the operator approved (`spkiSha256`, hex).
 */
export const signAgent = async (
  fleet: FleetKeys,
  request: { readonly agentId: string; readonly hostName: string; readonly signingRequest: Uint8Array; readonly spkiSha256: string },
  context: AuthorityContext,
): Promise<SignedAgent> => {
  const publicKey = await requestedKey(request.signingRequest);
  if (sha256Hex(publicKey.rawData) !== request.spkiSha256) {
    throw new NestError(
      'PROOF_INVALID',
      'The agent asks for a certificate for another key than the one it shows. Make a new token and check the host.',
    );
  }
  const certificate = await issue(fleet, context, {
    subject: subjectOf(request.hostName, fleet.fleetId),
    publicKey,
    days: agentDays,
    usage: x509.ExtendedKeyUsage.serverAuth,
    names: [
      { type: 'url', value: `spiffe://${fleet.fleetId}/agent/${request.agentId}` },
      { type: 'dns', value: `${request.agentId.toLowerCase()}.agent.nest.internal` },
    ],
  });
  const root = new x509.X509Certificate(fleet.root.certificate);
  return { chain: [new Uint8Array(certificate.rawData)], fleetRoot: new Uint8Array(root.rawData), endsAt: certificate.notAfter.getTime() };
};

/** SHA-256 of the root's public key: what a token pins. */
export const rootSpkiHash = (fleet: FleetKeys): Uint8Array =>
  new Uint8Array(Buffer.from(sha256Hex(new x509.X509Certificate(fleet.root.certificate).publicKey.rawData), 'hex'));

/** When the operator's certificate ends, milliseconds since the Unix epoch. */
export const operatorEndsAt = (fleet: FleetKeys): number => new x509.X509Certificate(fleet.operator.certificate).notAfter.getTime();

/** The part of a SPIFFE path a person's name becomes: letters, digits, dots, dashes, underscores. */
export const operatorSlug = (name: string): string =>
  name
    .normalize('NFKD')
    .replaceAll(/[^A-Za-z0-9._-]+/g, '-')
    .replaceAll(/^[-.]+|[-.]+$/g, '')
    .toLowerCase() || 'operator';

interface Leaf {
  readonly subject: x509.JsonName;
  readonly publicKey: x509.PublicKeyType;
  readonly days: number;
  readonly usage: string;
  readonly names: x509.JsonGeneralNames;
}

const issue = async (fleet: Omit<FleetKeys, 'operator'>, context: AuthorityContext, leaf: Leaf): Promise<x509.X509Certificate> => {
  const root = new x509.X509Certificate(fleet.root.certificate);
  const signingKey = await webcrypto.subtle.importKey('pkcs8', x509.PemConverter.decodeFirst(fleet.root.privateKey), algorithm, false, [
    'sign',
  ]);
  return x509.X509CertificateGenerator.create({
    serialNumber: serialOf(context.random),
    subject: leaf.subject,
    issuer: root.subjectName.toJSON(),
    ...validity(context.now, leaf.days),
    signingAlgorithm: algorithm,
    publicKey: leaf.publicKey,
    signingKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([leaf.usage], false),
      new x509.SubjectAlternativeNameExtension(leaf.names, false),
      await x509.SubjectKeyIdentifierExtension.create(leaf.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(root),
    ],
  });
};

const requestedKey = async (signingRequest: Uint8Array): Promise<x509.PublicKey> => {
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

const generateKeys = (): Promise<webcrypto.CryptoKeyPair> => webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);

const privatePem = async (key: webcrypto.CryptoKey): Promise<string> =>
  x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY');

const subjectOf = (commonName: string, organization: string): x509.JsonName => [{ CN: [commonName.slice(0, 64)] }, { O: [organization] }];

const validity = (now: number, days: number): { readonly notBefore: Date; readonly notAfter: Date } => ({
  notBefore: new Date(now - backdateMs),
  notAfter: new Date(now + days * dayMs),
});

/** 127 random bits, never negative, never zero. */
const serialOf = (random: RandomBytes): string => {
  const bytes = Buffer.from(random(16));
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString('hex');
};

const sha256Hex = (bytes: ArrayBuffer): string => createHash('sha256').update(new Uint8Array(bytes)).digest('hex');
