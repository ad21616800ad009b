/** A second operator or device joins by two signed files, as they cross the bridge. */

export interface DeviceFile {
  readonly fileName: string;
  /** Text of the file; a request holds nothing secret, a grant is of use to the device that asked alone. */
  readonly file: string;
  /** SHA-256 of the device's public key, lower-case hex: compare it with what the other side shows. */
  readonly fingerprint: string;
}

/** What a file says, before anything is done with it. Its signature holds. */
export interface DeviceFileContent {
  readonly kind: 'request' | 'grant';
  readonly operatorName: string;
  readonly fingerprint: string;
  /** Of a grant. */
  readonly fleet: { readonly fleetId: string; readonly fleetName: string; readonly rootFingerprint: string; readonly hosts: number } | null;
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
}
