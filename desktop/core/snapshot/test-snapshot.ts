/** Small fleets and snapshot files for tests. Ships nowhere. */
import { X509Certificate } from 'node:crypto';
import type { SnapshotHeader } from '../../../proto/model/snapshot.ts';
import { systemRandom } from '../../lib/api.ts';
import { createFleetKeys } from '../authority/fleet-authority.ts';
import type { FleetKeys } from '../authority/fleet-authority.ts';
import { operatorSigner, operatorSubject } from '../authority/operator-signer.ts';
import type { SnapshotReaders } from './snapshot-key.ts';
import { SnapshotWriter } from './snapshot-writer.ts';
import type { SnapshotEntry, SnapshotTitle } from './snapshot-writer.ts';

export const testNow = 1_800_000_000_000;

const letters = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/** Twenty-six letters that end in the number. */
export const testHostId = (index: number): string => {
  let text = '';
  for (let left = index; text.length < 26; left = Math.floor(left / 32)) text = (letters[left % 32] ?? '0') + text;
  return text;
};

export const testFleetKeys = (fleetId = '01j00000000000000000000000', now = testNow): Promise<FleetKeys> =>
  createFleetKeys({ fleetId, fleetName: 'Test fleet', operatorName: 'ada' }, { now, random: systemRandom });

export const testPolicyText = (port = 443): string =>
  JSON.stringify({
    apiVersion: 'nest/v1',
    kind: 'Policy',
    defaultAction: 'deny',
    services: [{ name: 'web', addresses: ['198.19.1.0/24'] }],
    mappings: [
      {
        name: 'to-web',
        sources: ['any'],
        destinations: ['web'],
        protocols: ['tcp'],
        ports: [String(port)],
        action: 'allow',
        priority: 100,
      },
    ],
  });

export const testEntry = (index: number, more: Partial<SnapshotEntry> = {}): SnapshotEntry => ({
  host: {
    row: {
      hostId: testHostId(index),
      name: `edge-${String(index)}`,
      address: `198.18.0.${String(index)}`,
      labels: ['site=ams1'],
      state: 'healthy',
      stateReason: null,
      seenAt: testNow,
      engine: 'xdp native',
      packetsPerSecond: 10,
      dropsPerSecond: 0,
      bytesPerSecond: 1000,
      cpuBusy: 0.1,
      flows: 3,
      revision: 4,
      generation: 'ab'.repeat(32),
      pendingUntil: null,
      agentVersion: '0.0.0',
      kernel: '6.1.0',
    },
    port: 50_051,
    cluster: null,
    fingerprint: 'cd'.repeat(32),
    certificateEndsAt: testNow + 86_400_000,
    enrolledAt: testNow - 86_400_000,
  },
  documents: {},
  policy: null,
  ...more,
});

export const testTitle = (keys: FleetKeys, more: Partial<SnapshotTitle> = {}): SnapshotTitle => ({
  fleetId: keys.fleetId,
  fleetName: keys.fleetName,
  createdAtMs: testNow,
  author: operatorSubject(keys),
  consoleVersion: '0.0.0',
  profile: 'config',
  accessEpoch: 0,
  accessRevision: 0,
  maskKeyId: Buffer.alloc(8, 1),
  fleetRoot: Buffer.from(new X509Certificate(keys.root.certificate).raw),
  ...more,
});

export interface TestFileOptions {
  readonly keys: FleetKeys;
  readonly readers: SnapshotReaders;
  readonly entries?: readonly SnapshotEntry[];
  readonly title?: Partial<SnapshotHeader>;
  readonly imageOf?: (policy: string) => Uint8Array | null;
}

/** A whole file. */
export const testFile = async ({
  keys,
  readers,
  entries = [testEntry(1)],
  title = {},
  imageOf = () => null,
}: TestFileOptions): Promise<Buffer> => {
  const writer = new SnapshotWriter({ random: systemRandom, imageOf });
  for (const entry of entries) await writer.add(entry);
  return writer.finish(
    testTitle(keys, title),
    readers,
    operatorSigner(() => keys),
  );
};
