/**
 * Who edits the policy of this host now: leases of a minute, held in memory and shown to every console. Used by the server and wired by
 * system.ts. They are advice: nothing is refused because of one.
 */

export interface EditLease {
  readonly leaseId: string;
  readonly subject: string;
  /** SHA-256 of the public key of the certificate that holds it, hex. */
  readonly device: string;
  readonly sinceMs: number;
  readonly expiresAtMs: number;
}

export interface LeaseHolder {
  readonly leaseId: string;
  readonly subject: string;
  readonly device: string;
}

export interface LeaseControl {
  /** Begins a lease, or goes on with the holder's own. Raises LIMIT_REACHED. */
  hold(holder: LeaseHolder): void;
  /** Ends the holder's own; nothing happens when there is none. */
  release(holder: LeaseHolder): void;
  /** Those that are held now, the longest first. */
  list(): readonly EditLease[];
}
