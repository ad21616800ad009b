import { webcrypto } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import type { AgentKey } from './agent-key.ts';
import { Pkcs10CertificateRequestGenerator, X509CertificateGenerator } from './x509.ts';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const signing = { name: 'ECDSA', hash: 'SHA-256' } as const;
/** The name says nothing: trust comes from the token, not from the subject. */
const subject = 'CN=nest-agent';
/** Clocks of both ends may differ; the certificate is pinned by key, its dates protect nothing. */
const skewMs = 86_400_000;
const lifeMs = 30 * 86_400_000;

const toWebKeys = async (key: AgentKey): Promise<webcrypto.CryptoKeyPair> => {
  const der = (part: KeyObject, type: 'pkcs8' | 'spki'): Buffer => part.export({ type, format: 'der' } as { type: 'spki'; format: 'der' });
  return {
    privateKey: await webcrypto.subtle.importKey('pkcs8', der(key.privateKey, 'pkcs8'), algorithm, false, ['sign']),
    publicKey: await webcrypto.subtle.importKey('spki', der(key.publicKey, 'spki'), algorithm, true, ['verify']),
  };
};

/** Self-signed certificate, PEM, that carries the agent's key through TLS until a fleet signs it. */
export const createBootstrapCertificate = async (
  key: AgentKey,
  clock: { readonly nowMs: number; readonly serial: Uint8Array },
): Promise<string> => {
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: Buffer.from(clock.serial).toString('hex'),
    name: subject,
    notBefore: new Date(clock.nowMs - skewMs),
    notAfter: new Date(clock.nowMs + lifeMs),
    signingAlgorithm: signing,
    keys: await toWebKeys(key),
  });
  return certificate.toString('pem');
};

/** PKCS#10 request for the agent's key, DER. */
export const createSigningRequest = async (key: AgentKey): Promise<Uint8Array> => {
  const request = await Pkcs10CertificateRequestGenerator.create({ name: subject, keys: await toWebKeys(key), signingAlgorithm: signing });
  return new Uint8Array(request.rawData);
};
