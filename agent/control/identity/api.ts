/**
 * Who this agent is and whom it believes: its key and certificate, the fleet root, the open enrolment. Used by the
 * server and wired by system.ts. Private keys never leave it except into the TLS context.
 */
export interface AgentIdentity {
  readonly agentId: string;
  readonly fleetId: string;
  /** PEM. */
  readonly certificate: string;
  readonly certificateChain: string;
  readonly privateKey: string;
  readonly fleetRoot: string;
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

export type TlsMaterial = { readonly certificate: string; readonly privateKey: string; readonly authorities: string | null };

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
  /** Self-signed while not enrolled. */
  tls(): Promise<TlsMaterial>;
  /** Turns the verified peer certificate (DER) into a caller. Throws CERTIFICATE_INVALID, FLEET_MISMATCH. */
  callerOf(certificate: Uint8Array): Caller;
  /** Called whenever TLS material changes or an enrolment opens or closes; returns the way to stop listening. */
  onChanged(listener: () => void): () => void;
  /** Stops the timer of an open enrolment. Its token stays on disk for the next start, until its time is over. */
  close(): void;
}
