/** The operator's end of TLS: one shared secure context, and sessions to resume, kept by agent. */
import { X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import type { SecureContext } from 'node:tls';
import { spkiSha256Of } from './peer-identity.ts';
import { tlsSessionsMax } from './wire-limits.ts';
import type { StepUpEvidence } from './wire-session.ts';

export interface OperatorIdentity {
  readonly context: SecureContext;
  /** SHA-256 of the SPKI of the operator's certificate. */
  readonly spkiSha256: Uint8Array;
  readonly sessions: TlsSessions;
  /** Distinguished names of the trusted roots. */
  readonly rootNames: readonly string[];
  /** What it was made of, or renewed with. */
  readonly material: OperatorMaterial;
  /** New connections are made with this from now on; those that live go on. */
  renew(material: OperatorMaterial): void;
  /** What the operator has proven with a second factor; null when nothing, or when it is over. */
  readonly evidence: StepUpEvidence | null;
  /** Shown to agents that ask for it, from now on. */
  show(evidence: StepUpEvidence | null): void;
  /** Calls `listener` after each renewal, and when there is something else to show, until the returned function is called. */
  onChanged(listener: () => void): () => void;
}

/** A ticket carries the identity it was made with: the cache lives and dies with the operator's certificate. */
export interface TlsSessions {
  get(key: string): Buffer | undefined;
  put(key: string, session: Buffer): void;
  drop(key: string): void;
  clear(): void;
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
    clear: () => {
      sessions.clear();
    },
  };
};

/** PEM: the fleet's roots, the operator's certificate with its issuer's, its private key, and lists of revoked agents. */
export interface OperatorMaterial {
  readonly fleetRoot: string;
  readonly certificate: string;
  readonly privateKey: string;
  /** Must be complete or absent: OpenSSL refuses everybody whose issuer has none. */
  readonly revocationLists?: readonly string[];
}

/** Makes the identity. A fresh context costs 3 ms of CPU: make one, share it. */
export const createOperatorIdentity = (material: OperatorMaterial): OperatorIdentity => {
  let present = partsOf(material);
  let evidence: StepUpEvidence | null = null;
  const sessions = createTlsSessions();
  const listeners = new Set<() => void>();
  return {
    get context() {
      return present.context;
    },
    get spkiSha256() {
      return present.spkiSha256;
    },
    get rootNames() {
      return present.rootNames;
    },
    get material() {
      return present.material;
    },
    sessions,
    get evidence() {
      return evidence;
    },
    show: (next) => {
      evidence = next;
      for (const listener of listeners) listener();
    },
    renew: (next) => {
      if (JSON.stringify(next) === JSON.stringify(present.material)) return;
      present = partsOf(next);
      sessions.clear();
      for (const listener of listeners) listener();
    },
    onChanged: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
};

const partsOf = (
  material: OperatorMaterial,
): Pick<OperatorIdentity, 'context' | 'spkiSha256' | 'rootNames'> & { readonly material: OperatorMaterial } => {
  const { fleetRoot, certificate, privateKey, revocationLists = [] } = material;
  const lists = revocationLists.length === 0 ? {} : { crl: [...revocationLists] };
  return {
    material,
    context: createSecureContext({ ca: fleetRoot, cert: certificate, key: privateKey, minVersion: 'TLSv1.2', ...lists }),
    spkiSha256: new Uint8Array(spkiSha256Of(new X509Certificate(certificate))),
    rootNames: pemCertificates(fleetRoot).map((root) => new X509Certificate(root).subject),
  };
};

const pemCertificates = (text: string): readonly string[] =>
  text.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
