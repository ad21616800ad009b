/**
 * The fleet's certificate authority: makes the root, the two issuing authorities, the operator's certificate and the agents'.
 * ECDSA P-256 only (what every TLS library the console may run on can do), random serials, one SPIFFE URI a leaf.
 */
// Decorator metadata is what the X.509 library describes its ASN.1 with; it must be loaded before it.
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { X509Certificate } from 'node:crypto';
import type { AuthorityRole } from '../../../proto/model/certificate-path.ts';
import { NestError } from '../../../proto/model/error.ts';
import {
  derOf,
  generateKeys,
  issueCertificate,
  pemCertificates,
  privatePem,
  requestedKey,
  sha256Hex,
  signingRequestOf,
  subjectOf,
} from './certificate-maker.ts';
import type { FleetKeys } from './fleet-keys.ts';
import type { Authority, AuthorityContext, KeyPair } from './certificate-maker.ts';
import { createAuthorities, createAuthority, createFleetRoot, renewAuthorities } from './issuing-authority.ts';
import { emptyRevocation, refreshRevocation } from './revocation-list.ts';
import { isRootChanging } from './root-change-record.ts';

export type { AuthorityContext } from './certificate-maker.ts';
export type { FleetKeys } from './fleet-keys.ts';

const agentDays = 365;
const operatorDays = 30;
const clientDays = 90;

/** Every vault that was opened has one. */
export const sealOf = ({ seal }: FleetKeys): string => {
  if (seal !== undefined) return seal;
  throw new NestError('STATE_CORRUPT', 'The vault holds no seal for what is kept beside it. Lock the console and unlock it again.');
};

/** A new fleet: root, issuing authorities and first operator. `fleetId` is a lower-case ULID. */
export const createFleetKeys = async (
  names: { readonly fleetId: string; readonly fleetName: string; readonly operatorName: string },
  context: AuthorityContext,
): Promise<FleetKeys> => {
  const root = await createFleetRoot(names, context);
  const authorities = await createAuthorities(names.fleetId, root, context);
  return { ...names, root, authorities, operator: await issueOperator({ ...names, root, authorities }, context) };
};

/**
 * What an unlock does to keys: gives an old fleet its issuing authorities, renews them and the operator's certificate when due, and
 * moves the operator under its authority; a revoked one gets a fresh key, and so
 * does a revoked authority for operators. Returns the same object when nothing was due.
 */
export const refreshFleetKeys = async (keys: FleetKeys, context: AuthorityContext): Promise<FleetKeys> => {
  let next = keys;
  if (next.authorities === undefined && next.root.privateKey !== null)
    next = { ...next, authorities: await createAuthorities(keys.fleetId, keys.root, context) };
  const stolen = next.authorities?.operators;
  let isReplaced = false;
  if (next.authorities !== undefined && stolen !== undefined && next.root.privateKey !== null && isRevoked(next, stolen.certificate)) {
    const operators = await createAuthority({ fleetId: keys.fleetId, role: 'operators', root: keys.root }, context);
    next = { ...next, authorities: { ...next.authorities, operators } };
    isReplaced = true;
  }
  // While the root changes authorities are exchanged as a whole; they hold long enough for that.
  if (next.authorities !== undefined && !isRootChanging(next)) {
    const authorities = await renewAuthorities({ ...next, authorities: next.authorities }, context);
    if (authorities.agents !== next.authorities.agents || authorities.operators !== next.authorities.operators)
      next = { ...next, authorities };
  }
  const canSign = issuerFor(next, 'operators').privateKey !== null;
  if (
    canSign &&
    (isOperatorRenewalDue(next, context.now) || !isUnderAuthority(next) || isReplaced || isRevoked(next, next.operator.certificate))
  )
    next = { ...next, operator: await issueOperator(next, context) };
  const revocation = await refreshRevocation(next, next.revocation ?? emptyRevocation, {
    ...context,
    isChanged: (issuer) => isReplaced && issuer === 'operators',
  });
  return revocation === (next.revocation ?? emptyRevocation) ? next : { ...next, revocation };
};

/** A fresh key and certificate for the operator, 30 days. Raises SCOPE_MISSING when no key that may sign it is here. */
export const issueOperator = async (fleet: Omit<FleetKeys, 'operator'>, context: AuthorityContext): Promise<KeyPair> => {
  const keys = await generateKeys();
  const certificate = await certifyKey(fleet, { name: fleet.operatorName, publicKey: keys.publicKey }, context);
  return { certificate, privateKey: await privatePem(keys.privateKey) };
};

/** The certificate for a device that asks: leaf, then its issuer, PEM. Raises PROOF_INVALID, SCOPE_MISSING. */
export const certifyOperator = async (
  fleet: Omit<FleetKeys, 'operator'>,
  device: { readonly name: string; readonly signingRequest: Uint8Array },
  context: AuthorityContext,
): Promise<string> => certifyKey(fleet, { name: device.name, publicKey: await requestedKey(device.signingRequest) }, context);

/** A signing request (PKCS#10, DER) for the key (PEM), or for a fresh one when there is none. */
export const deviceRequestOf = async (
  privateKey: string | null,
): Promise<{ readonly signingRequest: Uint8Array; readonly privateKey: string }> => {
  const pem = privateKey ?? (await privatePem((await generateKeys()).privateKey));
  return { signingRequest: await signingRequestOf(pem), privateKey: pem };
};

const certifyKey = async (
  fleet: Omit<FleetKeys, 'operator'>,
  device: { readonly name: string; readonly publicKey: x509.PublicKeyType },
  context: AuthorityContext,
): Promise<string> => {
  const issuer = issuerFor(fleet, 'operators');
  const certificate = await issueCertificate(issuer, context, {
    subject: subjectOf(device.name, fleet.fleetId),
    publicKey: device.publicKey,
    days: operatorDays,
    usage: x509.ExtendedKeyUsage.clientAuth,
    names: [{ type: 'url', value: `spiffe://${fleet.fleetId}/operator/${operatorSlug(device.name)}` }],
  });
  return [certificate.toString('pem'), ...(issuer === fleet.root ? [] : [issuer.certificate])].join('\n');
};

/** A fresh key and certificate (leaf, then its issuer, PEM) for a program ("client/backup"), 90 days. Raises SCOPE_MISSING when no key that may sign it is here. */
export const issueClient = async (fleet: FleetKeys, subject: string, context: AuthorityContext): Promise<KeyPair> => {
  const keys = await generateKeys();
  const issuer = issuerFor(fleet, 'operators');
  const certificate = await issueCertificate(issuer, context, {
    subject: subjectOf(subject, fleet.fleetId),
    publicKey: keys.publicKey,
    days: clientDays,
    usage: x509.ExtendedKeyUsage.clientAuth,
    names: [{ type: 'url', value: `spiffe://${fleet.fleetId}/${subject}` }],
  });
  return {
    certificate: [certificate.toString('pem'), ...(issuer === fleet.root ? [] : [issuer.certificate])].join('\n'),
    privateKey: await privatePem(keys.privateKey),
  };
};

/** True when a third of the operator certificate's life is used. */
export const isOperatorRenewalDue = (fleet: Pick<FleetKeys, 'operator'>, now: number): boolean => {
  const { validFromDate, validToDate } = new X509Certificate(fleet.operator.certificate);
  return now - validFromDate.getTime() > (validToDate.getTime() - validFromDate.getTime()) / 3;
};

export interface SignedAgent {
  /** Leaf first, DER, without the root. */
  readonly chain: readonly Uint8Array[];
  readonly fleetRoot: Uint8Array;
  /** Milliseconds since the Unix epoch. */
  readonly endsAt: number;
  /** Lower-case hex. */
  readonly serial: string;
  /** SHA-256 of the public key of the root it leads to. */
  readonly rootSha256: string;
}

/**
 * Signs an agent's request: only its public key is taken from it, every name is ours. Raises PROOF_INVALID when the request is
 * not signed by its own key, is not P-256, or its key is not the one the operator approved (`spkiSha256`, hex), and SCOPE_MISSING
 * when this console does not hold a key that may sign.
 */
export const signAgent = async (
  fleet: Pick<FleetKeys, 'fleetId' | 'root' | 'authorities'>,
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
  const issuer = issuerFor(fleet, 'agents');
  const certificate = await issueCertificate(issuer, context, {
    subject: subjectOf(request.hostName, fleet.fleetId),
    publicKey,
    days: agentDays,
    usage: x509.ExtendedKeyUsage.serverAuth,
    names: [
      { type: 'url', value: `spiffe://${fleet.fleetId}/agent/${request.agentId}` },
      { type: 'dns', value: `${request.agentId.toLowerCase()}.agent.nest.internal` },
    ],
  });
  return {
    chain: [new Uint8Array(certificate.rawData), ...(issuer === fleet.root ? [] : [derOf(issuer.certificate)])],
    fleetRoot: derOf(fleet.root.certificate),
    endsAt: certificate.notAfter.getTime(),
    serial: certificate.serialNumber,
    rootSha256: rootFingerprint(fleet),
  };
};

/** SPKI (DER) of a signing request. Raises PROOF_INVALID unless it is P-256 and signed by its own key. */
export const publicKeyOf = async (signingRequest: Uint8Array): Promise<Uint8Array> =>
  new Uint8Array((await requestedKey(signingRequest)).rawData);

/** Leaf first, DER, without the root: how the operator's device signs envelopes. */
export const operatorChain = ({ operator }: Pick<FleetKeys, 'operator'>): readonly Uint8Array[] =>
  pemCertificates(operator.certificate).map(derOf);

/** SHA-256 of the root's public key: what a token pins. */
export const rootSpkiHash = (fleet: Pick<FleetKeys, 'root'>): Uint8Array =>
  new Uint8Array(Buffer.from(sha256Hex(new x509.X509Certificate(fleet.root.certificate).publicKey.rawData), 'hex'));

/** The same, lower-case hex. */
export const rootFingerprint = ({ root }: Pick<FleetKeys, 'root'>): string => {
  const fingerprint = fingerprints.get(root) ?? Buffer.from(rootSpkiHash({ root })).toString('hex');
  fingerprints.set(root, fingerprint);
  return fingerprint;
};

/** Asked about for every host: each root is read once. */
const fingerprints = new WeakMap<Authority, string>();

/** When the operator's certificate ends, milliseconds since the Unix epoch. */
export const operatorEndsAt = (fleet: Pick<FleetKeys, 'operator'>): number =>
  new X509Certificate(fleet.operator.certificate).validToDate.getTime();

/** The part of a SPIFFE path a person's name becomes: letters, digits, dots, dashes, underscores. */
export const operatorSlug = (name: string): string =>
  name
    .normalize('NFKD')
    .replaceAll(/[^A-Za-z0-9._-]+/g, '-')
    .replaceAll(/^[-.]+|[-.]+$/g, '')
    .toLowerCase() || 'operator';

/** The root signs itself only in fleets that have no authorities yet. */
const issuerFor = (fleet: Pick<FleetKeys, 'root' | 'authorities'>, role: AuthorityRole): Authority =>
  fleet.authorities?.[role] ?? fleet.root;

/** A device whose data were restored after it was lost goes on with a fresh key; the copy that was lost does not. */
const isRevoked = ({ revocation }: FleetKeys, certificate: string): boolean => {
  const serial = new X509Certificate(certificate).serialNumber.toLowerCase();
  return revocation?.revoked.some((entry) => entry.serial === serial) ?? false;
};

const isUnderAuthority = ({ authorities, operator }: FleetKeys): boolean => {
  if (authorities === undefined) return true;
  const [leaf, authority] = [new X509Certificate(operator.certificate), new X509Certificate(authorities.operators.certificate)];
  return leaf.checkIssued(authority) && leaf.verify(authority.publicKey);
};
