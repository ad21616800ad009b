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
