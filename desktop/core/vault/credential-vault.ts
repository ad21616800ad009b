/** Where the fleet's keys rest. Every implementation encrypts; none ever writes a secret in plain text. */

/** What may be known while the vault is locked. Authenticated with the secret, not encrypted. */
export interface VaultHeader {
  readonly fleetId: string;
  readonly fleetName: string;
  readonly operatorName: string;
  /** Milliseconds since the Unix epoch. */
  readonly operatorCertificateEndsAt: number;
}

export interface VaultProbe {
  readonly available: boolean;
  /** One sentence: why not, with the next step; or where keys go. */
  readonly reason: string;
}

export interface CredentialVault {
  readonly storage: 'keychain' | 'passphrase';
  /** Whether it works on this machine now. Never raises. */
  probe(signal: AbortSignal): Promise<VaultProbe>;
  /** Header of what is stored; null when this vault holds nothing. */
  header(): Promise<VaultHeader | null>;
  /** Stores a first secret and leaves the vault open. Raises FLEET_EXISTS, PASSPHRASE_WEAK, VAULT_UNAVAILABLE. */
  create(content: { readonly header: VaultHeader; readonly secret: Uint8Array; readonly passphrase: string | undefined }): Promise<void>;
  /** Opens it and returns the secret. Raises FLEET_MISSING, PASSPHRASE_WRONG, LIMIT_REACHED (pause after wrong ones), VAULT_UNAVAILABLE, STATE_CORRUPT. */
  open(passphrase: string | undefined): Promise<Uint8Array>;
  /** The secret of an open vault as it is stored now: another process of this console may have replaced it. Raises FLEET_LOCKED, FLEET_MISSING. */
  reread(): Promise<Uint8Array>;
  /** Replaces the secret of an open vault. Raises FLEET_LOCKED. */
  replace(header: VaultHeader, secret: Uint8Array): Promise<void>;
  /** Forgets the key. */
  close(): void;
}
