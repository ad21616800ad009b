/** Words for what a snapshot is. */
import type { SnapshotInfo, SnapshotProfile } from '../../../bridge/snapshot-model.ts';

export const profileWords: Readonly<Record<SnapshotProfile, string>> = {
  inventory: 'Inventory: hosts, versions, health',
  config: 'Configuration: the inventory, and policies with their tables',
  diagnostic: 'Diagnostic: the configuration, and counters, flows, balancers',
  full: 'Full: as the diagnostic, nothing masked; owners only',
};

export const trustWords: Readonly<Record<SnapshotInfo['trust'], string>> = {
  own: 'of this fleet',
  named: 'of the fleet you named',
  foreign: 'of a fleet this console does not know',
};

/** Null when there is nothing to say. */
export const standingWords: Readonly<Record<SnapshotInfo['standing'], string | null>> = {
  good: null,
  unknown: null,
  locked: 'Its author, or the device, was locked since: it may be forged.',
  'not-allowed': 'Its author may not make such snapshots now.',
};

/** The page of an open file. */
export const snapshotLink = (snapshotId: string, hostId?: string): string =>
  hostId === undefined ? `/snapshots/${snapshotId}` : `/snapshots/${snapshotId}?host=${hostId}`;
