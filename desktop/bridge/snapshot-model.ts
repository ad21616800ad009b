/** Snapshot files as they cross the bridge. Times: milliseconds since the Unix epoch; null = not measured or not known. */
import type { SnapshotProfile } from '../../proto/model/snapshot-profile.ts';
import type { DiffLine, HostDetail, HostRow } from './model.ts';

export type { SnapshotProfile } from '../../proto/model/snapshot-profile.ts';

/** What the file says of itself, once its signature held. */
export interface SnapshotInfo {
  readonly fleetId: string;
  readonly fleetName: string;
  readonly createdAt: number;
  /** "operator/ada" */
  readonly author: string;
  /** SHA-256 of the key that signed, hex. */
  readonly device: string;
  /** SHA-256 of the fleet's root certificate, hex: what a person compares. */
  readonly rootSha256: string;
  /** "own": the root of this console's fleet. "named": the one that was asked for. "foreign": neither. */
  readonly trust: 'own' | 'named' | 'foreign';
  /** What the access bundle of this console says about its author now; "unknown" without a bundle of that fleet. */
  readonly standing: 'good' | 'unknown' | 'locked' | 'not-allowed';
  readonly profile: SnapshotProfile;
  readonly hosts: number;
  readonly consoleVersion: string;
  /** Of the access bundle its author had; null = none. */
  readonly accessRevision: number | null;
  readonly hasPassphrase: boolean;
  /** Holders of keys who can open it. */
  readonly keyHolders: number;
  /** Whether values were masked, and which key did it. */
  readonly maskKeyId: string | null;
}

/** A file this console holds: coming in, closed or open. */
export interface SnapshotFile {
  readonly snapshotId: string;
  readonly fileName: string;
  readonly bytes: number;
  /** Less than `bytes` while it comes in. */
  readonly received: number;
  /** Null until it was looked at. */
  readonly info: SnapshotInfo | null;
  readonly isOpen: boolean;
  /** What limits left out; null until it is open. */
  readonly left: { readonly flows: number; readonly images: number; readonly documents: number } | null;
}

export interface SnapshotPiece {
  /** Base64. */
  readonly data: string;
  /** Offset of the next piece; null at the end. */
  readonly next: number | null;
}

export interface SnapshotHosts {
  readonly rows: readonly HostRow[];
  /** Of these, `rows` are a part. */
  readonly matched: number;
  readonly total: number;
  /** What of the search was not understood, one sentence each. */
  readonly problems: readonly string[];
}

export interface SnapshotHostDetail extends HostDetail {
  readonly port: number;
  readonly cluster: string | null;
  /** When each kind of document was taken. */
  readonly documents: readonly { readonly kind: string; readonly at: number }[];
  readonly hasPolicy: boolean;
  readonly hasImage: boolean;
}

export interface SnapshotSide {
  /** "live": the fleet of this console now. */
  readonly snapshotId: string;
  readonly title: string;
  readonly at: number;
  readonly hosts: number;
}

export interface SnapshotDifference {
  readonly hostId: string;
  readonly name: string;
  readonly kind: 'added' | 'removed' | 'changed';
  /** "policy" among them when the policies differ; see `snapshot.compare.policy`. */
  readonly fields: readonly { readonly field: string; readonly before: string; readonly after: string }[];
}

export interface SnapshotComparison {
  readonly before: SnapshotSide;
  readonly after: SnapshotSide;
  readonly added: number;
  readonly removed: number;
  readonly changed: number;
  readonly same: number;
  /** At most 1,000; the counts are of all. */
  readonly differences: readonly SnapshotDifference[];
  /** False when the two were masked with different keys: masked fields were then left out. */
  readonly isMaskShared: boolean;
}

export interface SnapshotPolicyDifference {
  readonly lines: readonly DiffLine[];
  readonly hidden: number;
}

export interface SnapshotRecipientEntry {
  readonly name: string;
  /** "nestrcpt1...." */
  readonly recipient: string;
}

export interface SnapshotIdentity {
  readonly recipient: string;
  readonly fileName: string;
  /** Text of the key file; kept nowhere else. */
  readonly file: string;
}

/** Bytes of a file that cross at once. */
export const snapshotPieceBytes = 384 << 10;
