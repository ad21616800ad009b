/** Certificates and the fleet root, as they cross the bridge. */

export interface RootFile {
  readonly fileName: string;
  /** Text of the file; worth nothing without its passphrase. */
  readonly file: string;
}

export interface RootState {
  /** Whether the key of the root is on this console. */
  readonly isHere: boolean;
  /** SHA-256 of the root's public key, lower-case hex. */
  readonly fingerprint: string;
  /** Milliseconds since the Unix epoch. */
  readonly endsAt: number;
}

/** 'client', 'client-key': what programs connect with. 'access-bundle': who may do what, signed for 30 days. */
export type CertificateKind = 'root' | 'authority' | 'operator' | 'agent' | 'client' | 'client-key' | 'access-bundle' | 'revocation-list';

export interface CertificateRow {
  readonly kind: CertificateKind;
  /** Of the host, the operator's device, the authority, the program. */
  readonly name: string;
  readonly hostId: string | null;
  /** Lower-case hex; null when this console never saw the certificate. */
  readonly serial: string | null;
  /** SHA-256 of the public key, lower-case hex; null for lists, bundles and API keys. */
  readonly fingerprint: string | null;
  /** Milliseconds since the Unix epoch. */
  readonly endsAt: number;
  /** How near the end is: at most 30, 7 or 1 days, or over. Operators and access bundles live 30 days: theirs begin at 7. */
  readonly alert: 'none' | 'month' | 'week' | 'day' | 'ended';
  readonly isRevoked: boolean;
  /** Who renews it, or why nobody did; one sentence with the next step. */
  readonly note: string;
}

export interface CertificateList {
  readonly at: number;
  readonly root: RootState;
  /** What ends first comes first. */
  readonly rows: readonly CertificateRow[];
}
