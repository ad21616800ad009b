/** The operator's end of TLS: one shared secure context, and sessions to resume, kept by agent. */
import { X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import type { SecureContext } from 'node:tls';
import { spkiSha256Of } from './peer-identity.ts';
import { tlsSessionsMax } from './wire-limits.ts';

export interface OperatorIdentity {
  readonly context: SecureContext;
  /** SHA-256 of the SPKI of the operator's certificate. */
  readonly spkiSha256: Uint8Array;
  readonly sessions: TlsSessions;
  /** Distinguished names of the trusted roots. */
  readonly rootNames: readonly string[];
}

/** A ticket carries the identity it was made with: the cache lives and dies with the operator's certificate. */
export interface TlsSessions {
  get(key: string): Buffer | undefined;
  put(key: string, session: Buffer): void;
  drop(key: string): void;
}

const createTlsSessions = (): TlsSessions => {
  const sessions = new Map<string, Buffer>();
  return {
    get: (key) => sessions.get(key),
    put: (key, session) => {
      sessions.delete(key);
      sessions.set(key, session);
      for (const oldest of sessions.keys()) {
        if (sessions.size <= tlsSessionsMax) break;
        sessions.delete(oldest);
      }
    },
    drop: (key) => {
      sessions.delete(key);
    },
  };
};

/** Makes the identity from PEM: the fleet's roots, the operator's certificate with its issuer's, and its private key. A fresh context costs 3 ms of CPU: make one, share it. */
export const createOperatorIdentity = (pem: {
  readonly fleetRoot: string;
  readonly certificate: string;
  readonly privateKey: string;
}): OperatorIdentity => ({
  context: createSecureContext({ ca: pem.fleetRoot, cert: pem.certificate, key: pem.privateKey, minVersion: 'TLSv1.2' }),
  spkiSha256: new Uint8Array(spkiSha256Of(new X509Certificate(pem.certificate))),
  sessions: createTlsSessions(),
  rootNames: pemCertificates(pem.fleetRoot).map((root) => new X509Certificate(root).subject),
});

const pemCertificates = (text: string): readonly string[] =>
  text.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
