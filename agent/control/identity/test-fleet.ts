/** A console's side of the identity for tests: a fleet root that issues, join tokens, and the proofs of an enrolment. */
import 'reflect-metadata';
import { createHash, createHmac, createPublicKey, hkdfSync, randomBytes, webcrypto, X509Certificate as NodeCertificate } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Pkcs10CertificateRequest,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
  X509CrlGenerator,
} from '@peculiar/x509';
import type { Extension, JsonGeneralNames, X509Certificate } from '@peculiar/x509';
import { authorityUri } from '../../../proto/model/certificate-path.ts';
import type { AuthorityRole } from '../../../proto/model/certificate-path.ts';
import { proofInput, tokenKeyInfo, tokenPrefix } from '../../../proto/model/enrollment.ts';
import type { ProofLabel, Transcript } from '../../../proto/model/enrollment.ts';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const signing = { name: 'ECDSA', hash: 'SHA-256' } as const;
const day = 86_400_000;
const serverAuthentication = '1.3.6.1.5.5.7.3.1';
const clientAuthentication = '1.3.6.1.5.5.7.3.2';

export interface TestCertificate {
  readonly certificatePem: string;
  readonly certificateDer: Buffer;
  readonly keyPem: string;
  readonly spkiHash: Buffer;
}

export interface IssueOptions {
  readonly uris?: readonly string[];
  readonly dnsNames?: readonly string[];
  readonly notBefore?: number;
  readonly notAfter?: number;
  readonly usages?: readonly string[];
  readonly authority?: boolean;
  /** Signs with another root than its own. */
  readonly issuer?: TestFleet;
  readonly curve?: 'P-256' | 'P-384';
  /** Issued by this authority instead of by the root. */
  readonly under?: AuthorityRole;
}

export interface TestToken {
  readonly text: string;
  readonly id: Buffer;
  readonly key: Buffer;
  readonly rootSpkiHash: Buffer;
}

export interface RevocationListOptions {
  readonly serials?: readonly string[];
  readonly thisUpdate?: number;
  readonly nextUpdate?: number;
}

export interface TestAuthority {
  readonly certificate: X509Certificate;
  readonly keys: webcrypto.CryptoKeyPair;
}

export interface TestFleet {
  readonly fleetId: string;
  readonly root: TestCertificate;
  readonly rootKeys: webcrypto.CryptoKeyPair;
  readonly authorities: Readonly<Record<AuthorityRole, TestAuthority>>;
  operator(name: string, options?: IssueOptions): Promise<TestCertificate>;
  /** Certificates for the key of a signing request (PKCS#10, DER): leaf first, DER each. */
  signAgent(request: Uint8Array, options?: IssueOptions): Promise<Buffer[]>;
  token(): TestToken;
  /** The list of one issuer, DER; `serials` in hex. */
  revocationList(issuer: AuthorityRole | 'root', options?: RevocationListOptions): Promise<Buffer>;
}

export const testAgentId = '01JZ0000000000000000000001';

const createRoot = (fleetId: string, keys: webcrypto.CryptoKeyPair, nowMs: number): Promise<X509Certificate> =>
  X509CertificateGenerator.createSelfSigned({
    serialNumber: randomBytes(8).toString('hex'),
    name: `CN=Nest fleet ${fleetId}`,
    notBefore: new Date(nowMs - day),
    notAfter: new Date(nowMs + 3650 * day),
    signingAlgorithm: signing,
    keys,
    extensions: [
      new BasicConstraintsExtension(true, 1, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    ],
  });

/** Makes a root and issues from it; dates lie around `nowMs`. */
export const createTestFleet = async (fleetId: string, nowMs = Date.now()): Promise<TestFleet> => {
  const rootKeys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const rootCertificate = await createRoot(fleetId, rootKeys, nowMs);
  const authorities = {
    agents: await createAuthority({ fleetId, role: 'agents', nowMs, issuer: { certificate: rootCertificate, keys: rootKeys } }),
    operators: await createAuthority({ fleetId, role: 'operators', nowMs, issuer: { certificate: rootCertificate, keys: rootKeys } }),
  };
  const issue = async (
    publicKey: webcrypto.CryptoKey,
    options: IssueOptions & Required<Pick<IssueOptions, 'uris' | 'usages'>>,
  ): Promise<Buffer> => {
    const names: JsonGeneralNames = [
      ...options.uris.map((value) => ({ type: 'url' as const, value })),
      ...(options.dnsNames ?? []).map((value) => ({ type: 'dns' as const, value })),
    ];
    const extensions: Extension[] = [
      new BasicConstraintsExtension(options.authority ?? false, undefined, true),
      new ExtendedKeyUsageExtension([...options.usages]),
    ];
    if (names.length > 0) extensions.push(new SubjectAlternativeNameExtension(names));
    const certificate = await X509CertificateGenerator.create({
      serialNumber: randomBytes(8).toString('hex'),
      subject: 'CN=nest test',
      issuer: options.under === undefined ? rootCertificate.subject : authorities[options.under].certificate.subject,
      notBefore: new Date(options.notBefore ?? nowMs - day),
      notAfter: new Date(options.notAfter ?? nowMs + 30 * day),
      signingAlgorithm: signing,
      publicKey,
      signingKey: (options.under === undefined ? (options.issuer?.rootKeys ?? rootKeys) : authorities[options.under].keys).privateKey,
      extensions,
    });
    return Buffer.from(certificate.rawData);
  };
  const rootDer = Buffer.from(rootCertificate.rawData);
  const root = await describe(rootDer, rootKeys);
  return {
    fleetId,
    root,
    rootKeys,
    authorities,
    operator: async (name, options = {}) => {
      const keys = await webcrypto.subtle.generateKey({ name: 'ECDSA', namedCurve: options.curve ?? 'P-256' }, true, ['sign', 'verify']);
      return describe(
        await issue(keys.publicKey, { uris: [`spiffe://${fleetId}/operator/${name}`], usages: [clientAuthentication], ...options }),
        keys,
        options.under === undefined ? undefined : authorities[options.under],
      );
    },
    signAgent: async (request, options = {}) => {
      const publicKey = await new Pkcs10CertificateRequest(new Uint8Array(request)).publicKey.export(algorithm, ['verify']);
      return [
        await issue(publicKey, {
          uris: [`spiffe://${fleetId}/agent/${testAgentId}`],
          dnsNames: [`${testAgentId.toLowerCase()}.agent.nest.internal`],
          usages: [serverAuthentication, clientAuthentication],
          ...options,
        }),
        ...(options.under === undefined ? [] : [Buffer.from(authorities[options.under].certificate.rawData)]),
      ];
    },
    token: () => makeToken(root.spkiHash),
    revocationList: (issuer, options = {}) =>
      makeRevocationList(issuer === 'root' ? { certificate: rootCertificate, keys: rootKeys } : authorities[issuer], { nowMs, ...options }),
  };
};

const makeRevocationList = async (
  { certificate, keys }: TestAuthority,
  { serials = [], nowMs, thisUpdate = nowMs - day, nextUpdate = nowMs + 30 * day }: RevocationListOptions & { readonly nowMs: number },
): Promise<Buffer> => {
  const list = await X509CrlGenerator.create({
    issuer: certificate.subject,
    thisUpdate: new Date(thisUpdate),
    nextUpdate: new Date(nextUpdate),
    signingAlgorithm: signing,
    signingKey: keys.privateKey,
    entries: serials.map((serialNumber) => ({ serialNumber, revocationDate: new Date(nowMs) })),
  });
  return Buffer.from(list.rawData);
};

const makeToken = (rootSpkiHash: Buffer): TestToken => {
  const [id, secret] = [randomBytes(16), randomBytes(32)];
  const key = Buffer.from(hkdfSync('sha256', secret, id, tokenKeyInfo, 32));
  return { text: tokenPrefix + Buffer.concat([id, secret, rootSpkiHash]).toString('base64url'), id, key, rootSpkiHash };
};

/** HMAC of a proof as the console computes it. */
export const proofOf = (
  token: TestToken,
  proof: { readonly label: ProofLabel; readonly transcript: Transcript; readonly extra?: readonly Uint8Array[] },
): Buffer =>
  createHmac('sha256', token.key)
    .update(proofInput(proof.label, proof.transcript, proof.extra))
    .digest();

/** SHA-256 of a public key's SPKI. */
export const spkiHash = (key: KeyObject): Buffer =>
  createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest();

/** An authority as the console makes them: its own name, no authorities below it. */
const createAuthority = async (plan: {
  readonly fleetId: string;
  readonly role: AuthorityRole;
  readonly nowMs: number;
  readonly issuer: TestAuthority;
}): Promise<TestAuthority> => {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await X509CertificateGenerator.create({
    serialNumber: randomBytes(8).toString('hex'),
    subject: [{ CN: [plan.role] }, { OU: ['issuing'] }, { O: [plan.fleetId] }],
    issuer: plan.issuer.certificate.subject,
    notBefore: new Date(plan.nowMs - day),
    notAfter: new Date(plan.nowMs + 700 * day),
    signingAlgorithm: signing,
    publicKey: keys.publicKey,
    signingKey: plan.issuer.keys.privateKey,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      new SubjectAlternativeNameExtension([{ type: 'url', value: authorityUri(plan.fleetId, plan.role) }]),
    ],
  });
  return { certificate, keys };
};

const describe = async (der: Buffer, keys: webcrypto.CryptoKeyPair, issuer?: TestAuthority): Promise<TestCertificate> => {
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  const keyPem = `-----BEGIN PRIVATE KEY-----\n${pkcs8.replaceAll(/(.{64})/g, '$1\n')}\n-----END PRIVATE KEY-----\n`;
  const certificatePem = `${new NodeCertificate(der).toString()}${issuer === undefined ? '' : issuer.certificate.toString('pem')}`;
  return { certificatePem, certificateDer: der, keyPem, spkiHash: spkiHash(createPublicKey(keyPem)) };
};
