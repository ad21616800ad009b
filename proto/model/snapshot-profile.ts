/** How much of a fleet a snapshot holds, from little to all; docs/operations/snapshot.md says what exactly. */
export const snapshotProfiles = ['inventory', 'config', 'diagnostic', 'full'] as const;
export type SnapshotProfile = (typeof snapshotProfiles)[number];
