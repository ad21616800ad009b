/**
 * Who this agent is and whom it believes: its key and certificate, the fleet root, the open enrolment. Used by the
 * server and wired by system.ts. Private keys never leave it except into the TLS context.
 */
import type { X509Certificate } from 'node:crypto';
import type { RootStep, SignedEnvelope } from '../../../proto/model/root-change.ts';
export { createAgentSigner } from './agent-signer.ts';
export type { SigningIdentity } from './agent-signer.ts';

export interface AgentIdentity {
  readonly agentId: string;
  readonly fleetId: string;
  /** PEM. */
  readonly certificate: string;
  readonly certificateChain: string;
  readonly privateKey: string;
  /** Trusted roots: two while the fleet changes its root. */
  readonly fleetRoot: string;
  /** The last step of a change of the root that was taken. */
  readonly rootStep: RootStep | null;
  readonly endsAtMs: number;
  /** SHA-256 of the public key (SPKI), lower-case hex. */
  readonly fingerprint: string;
}

/** Who calls, from the client certificate that the TLS layer has verified against the fleet root. */
export interface Caller {
  /** spiffe://<fleet>/operator/<name> */
  readonly subject: string;
  readonly kind: 'operator' | 'client';
  readonly name: string;
}

export interface TlsMaterial {
  readonly certificate: string;
  readonly privateKey: string;
  readonly authorities: string | null;
  /** PEM; null when handshakes are not judged by lists of revoked certificates. */
  readonly revocationLists: readonly string[] | null;
  /** Names the authorities that a root has revoked: when it changes, every peer has to show its chain again. */
  readonly revokedAuthorities: string;
}

/** What the agent knows about revoked certificates. */
export interface RevocationReport {
  /** Whether handshakes are judged by the lists. */
  readonly isChecked: boolean;
  readonly isKnown: boolean;
  /** Issuers whose list is missing or over, while others are there. */
  readonly missing: readonly string[];
  /** When the first list ends; null without any. */
  readonly endsAtMs: number | null;
  readonly lists: readonly {
    readonly issuer: string;
    readonly sha256: Buffer;
    readonly thisUpdateMs: number;
    readonly nextUpdateMs: number;
    readonly revoked: number;
  }[];
}

/** A lasting condition of certificates, for the health of the host. */
export interface IdentityProblem {
  readonly title: string;
  readonly message: string;
  readonly severity: 'warning' | 'critical';
}

/** Codes raised: TOKEN_INVALID, TOKEN_EXPIRED, TOKEN_USED, PROOF_INVALID, ENROLLMENT_CLOSED, ALREADY_ENROLLED, NOT_ENROLLED, CERTIFICATE_INVALID, FLEET_MISMATCH. */
export interface IdentityControl {
  /** null until enrolled. */
  identity(): AgentIdentity | null;
  /** SHA-256 of this agent's public key (SPKI), lower-case hex; the same before and after enrolment. */
  fingerprint(): string;
  /** Stores the token that the operator typed on the host and opens enrolment for its ten minutes. Throws TOKEN_*. */
  openEnrollment(token: string): Promise<{ readonly fingerprint: string; readonly expiresAtMs: number }>;
  enrollment(): { readonly fingerprint: string; readonly expiresAtMs: number; readonly attemptsLeft: number } | null;
  begin(request: {
    readonly tokenId: Uint8Array;
    readonly consoleNonce: Uint8Array;
    readonly consoleSpkiHash: Uint8Array;
  }): Promise<{ readonly agentNonce: Uint8Array; readonly agentProof: Uint8Array }>;
  prove(request: {
    readonly tokenId: Uint8Array;
    readonly consoleProof: Uint8Array;
    readonly consoleSpkiHash: Uint8Array;
  }): Promise<{ readonly signingRequest: Uint8Array }>;
  complete(request: {
    readonly tokenId: Uint8Array;
    readonly certificateChain: readonly Uint8Array[];
    readonly fleetRoot: Uint8Array;
    readonly fleetId: string;
    readonly mac: Uint8Array;
    readonly consoleSpkiHash: Uint8Array;
  }): Promise<AgentIdentity>;
  /**
   * A request (PKCS#10, DER) for the present key, or for a fresh one that the present key has signed for; the signature is empty for
   * the present key. Throws NOT_ENROLLED.
   */
  renewalRequest(hasFreshKey: boolean): Promise<{ readonly signingRequest: Uint8Array; readonly presentKeySignature: Uint8Array }>;
  /** Takes the certificate that follows the present one; both keys of a change are good for it. Throws CERTIFICATE_INVALID, IDENTITY_MISMATCH, NOT_ENROLLED. */
  installCertificate(certificateChain: readonly Uint8Array[]): Promise<AgentIdentity>;
  /** Takes newer lists of revoked certificates; returns how many. Throws CERTIFICATE_INVALID, LIMIT_REACHED, NOT_ENROLLED. */
  installRevocationLists(offer: { readonly lists: readonly Uint8Array[]; readonly authorities: readonly Uint8Array[] }): Promise<number>;
  /**
   * Takes the next step of a change of the root. Throws CERTIFICATE_INVALID (also for an older step, and for one that would strand this
   * agent), FLEET_MISMATCH, INPUT_INVALID, NOT_ENROLLED.
   */
  takeRootChange(envelope: SignedEnvelope): Promise<AgentIdentity>;
  /** The last step as it was signed; null without one. */
  rootChange(): SignedEnvelope | null;
  revocation(): RevocationReport;
  /** By issuer (distinguished name) and serial number (hex) of a certificate. */
  isCertificateRevoked(certificate: { readonly issuer: string; readonly serial: string }): boolean;
  /**
   * The whole judgement over a client's chain (leaf first, DER) without OpenSSL, for when its lists are not complete. Authorities that
   * the agent knows need not be in it. Throws CERTIFICATE_INVALID, FLEET_MISMATCH.
   */
  judgeClient(certificateChain: readonly Uint8Array[]): void;
  /** What will keep somebody out soon, or does not protect; null when all is well. */
  problem(): IdentityProblem | null;
  /** Leaves the fleet: forgets certificate, roots and key. Throws NOT_ENROLLED. */
  leave(): Promise<void>;
  /** Self-signed while not enrolled. */
  tls(): Promise<TlsMaterial>;
  /** Turns the verified peer certificate (parsed, or DER) into a caller. Throws CERTIFICATE_INVALID, FLEET_MISMATCH. */
  callerOf(certificate: Uint8Array | X509Certificate): Caller;
  /** Called whenever TLS material changes or an enrolment opens or closes; returns the way to stop listening. */
  onChanged(listener: () => void): () => void;
  /** Stops the timer of an open enrolment. Its token stays on disk for the next start, until its time is over. */
  close(): void;
}
