/** What a console holds of a fleet. */
import type { Authority, KeyPair } from './certificate-maker.ts';
import type { Authorities } from './issuing-authority.ts';
import type { RevocationRecord } from './revocation-list.ts';
import type { SsoBinding } from '../sso/sso-binding.ts';
import type { RootChangeRecord } from './root-change-record.ts';

/** Everything secret of a fleet, PEM. Lives in the vault. */
export interface FleetKeys {
  readonly fleetId: string;
  readonly fleetName: string;
  readonly operatorName: string;
  /** Its key may be taken offline. */
  readonly root: Authority;
  /** Certificate of this device, followed by its issuer's. */
  readonly operator: KeyPair;
  /** Missing in fleets from before there were any, until the next unlock with the root's key. */
  readonly authorities?: Authorities | undefined;
  /** What is revoked, and the lists that say so. */
  readonly revocation?: RevocationRecord | undefined;
  /** Devices admitted here beside this one. */
  readonly devices?: readonly Device[] | undefined;
  /** A change of the root under way, or the last one. */
  readonly rootChange?: RootChangeRecord | undefined;
  /** Ed25519, signs access updates; only on consoles of owners. */
  readonly owner?: string | undefined;
  /** Seals what is kept beside the vault, base64. */
  readonly seal?: string | undefined;
  /** Licence key. */
  readonly license?: string | undefined;
  /** Single sign-on that guards this console. */
  readonly sso?: SsoBinding | undefined;
}

/** What is remembered of an operator's device. */
export interface Device {
  readonly name: string;
  readonly serial: string;
  readonly fingerprint: string;
  readonly endsAt: number;
  /** SHA-256 of the root's public key that its certificate leads to; missing in records from before roots could change. */
  readonly rootSha256?: string | undefined;
}
