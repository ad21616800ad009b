/** Ten thousand hosts into a file and out again, beside the same documents as plain JSON under gzip. */
import { generateKeyPairSync } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { createFleetKeys } from '../../../desktop/core/authority/fleet-authority.ts';
import type { FleetKeys } from '../../../desktop/core/authority/fleet-authority.ts';
import { operatorSigner } from '../../../desktop/core/authority/operator-signer.ts';
import type { FleetCache } from '../../../desktop/core/cache/fleet-cache.ts';
import { HostRoster } from '../../../desktop/core/hosts/host-roster.ts';
import { imageOf } from '../../../desktop/core/policy/policy-check.ts';
import { createRedaction } from '../../../desktop/core/snapshot/redaction.ts';
import { collectEntries } from '../../../desktop/core/snapshot/snapshot-collect.ts';
import { readSnapshotFile } from '../../../desktop/core/snapshot/snapshot-file.ts';
import { collectedOf } from '../../../desktop/core/snapshot/snapshot-maker.ts';
import { SnapshotReader } from '../../../desktop/core/snapshot/snapshot-reader.ts';
import { SnapshotWriter } from '../../../desktop/core/snapshot/snapshot-writer.ts';
import { testTitle } from '../../../desktop/core/snapshot/test-snapshot.ts';
import { deriveKey, kdfCostDefault } from '../../../desktop/core/vault/passphrase-key.ts';
import { systemClock, systemRandom } from '../../../desktop/lib/api.ts';
import type { SnapshotProfile } from '../../../proto/model/snapshot-profile.ts';
import { toRow } from '../report.ts';
import type { Row } from '../report.ts';
import { startGauge } from './gauge.ts';
import { rounds } from './section.ts';
import type { FleetSection } from './section.ts';
import { makeSnapshotFleet } from './snapshot-fleet.ts';

const hosts = 10_000;
const hostsRead = 200;
const megabyte = 1_000_000;

interface Sample {
  readonly megabytes: number;
  /** Documents read from the cache and masked. */
  readonly collectMs: number;
  /** From there to the bytes of the file. */
  readonly writeMs: number;
  readonly blockMs: number;
  readonly openMs: number;
  /** One host, its chunk not yet read. */
  readonly readMs: number;
}

export const snapshotSection: FleetSection = {
  name: 'snapshot',
  run: async ({ signal, progress }) => {
    const now = Date.now();
    progress(`filling a cache with ${String(hosts)} hosts`);
    using fleet = makeSnapshotFleet(hosts, now);
    const keys = await createFleetKeys(
      { fleetId: '01j00000000000000000000000', fleetName: 'Bench', operatorName: 'ada' },
      { now, random: systemRandom },
    );
    const stage = { cache: fleet.cache, roster: rosterOver(fleet.cache), keys, now };
    const rows: Row[] = [];
    for (const profile of ['diagnostic', 'config'] as const) {
      const samples: Sample[] = [];
      for (let round = 0; round < rounds; round += 1) {
        signal.throwIfAborted();
        samples.push(await measure(stage, profile));
        progress(`${profile}, round ${String(round + 1)} of ${String(rounds)}`);
      }
      rows.push(...rowsOf(profile, samples));
    }
    return [...rows, ...plainRows(fleet.cache, stage.roster), await kdfRow()];
  },
};

interface Stage {
  readonly cache: FleetCache;
  readonly roster: HostRoster;
  readonly keys: FleetKeys;
  readonly now: number;
}

const rosterOver = (cache: FleetCache): HostRoster =>
  new HostRoster({ cache, clock: systemClock(), random: systemRandom, consoleVersion: '0.0.0-bench', report: () => undefined });

const measure = async ({ cache, roster, keys, now }: Stage, profile: SnapshotProfile): Promise<Sample> => {
  const holder = generateKeyPairSync('x25519');
  const recipient = holder.publicKey.export({ type: 'spki', format: 'der' }).subarray(-32);
  const finish = startGauge();
  const redaction = createRedaction(profile, systemRandom(32));
  const writer = new SnapshotWriter({ random: systemRandom, imageOf: (policy) => imageOf(policy, now).image });
  const entries = collectEntries(cache, redaction, { profile, hosts: roster.all.map(collectedOf) });
  let collectMs = 0;
  for (;;) {
    const startedMs = performance.now();
    const next = entries.next();
    collectMs += performance.now() - startedMs;
    if (next.done === true) break;
    await writer.add(next.value.entry, next.value.leftFlows);
  }
  const title = testTitle(keys, { createdAtMs: now, profile, maskKeyId: redaction.keyId });
  const file = await writer.finish(
    title,
    { passphrase: null, keys: [recipient] },
    operatorSigner(() => keys),
  );
  const { ms, blockMs } = finish();
  const openedMs = performance.now();
  const reader = await SnapshotReader.open(readSnapshotFile(file, now), { kind: 'identity', key: holder.privateKey });
  const openMs = performance.now() - openedMs;
  if (reader.hosts.length !== hosts) throw new Error(`The file holds ${String(reader.hosts.length)} of ${String(hosts)} hosts.`);
  const readMs = await readSome(reader);
  return { megabytes: file.length / megabyte, collectMs, writeMs: ms - collectMs, blockMs, openMs, readMs };
};

/** Hosts far apart, so that hardly one is in a chunk that was read just now. */
const readSome = async (reader: SnapshotReader): Promise<number> => {
  const started = performance.now();
  for (let index = 0; index < hostsRead; index += 1) {
    const host = reader.hosts[(index * 4_999) % reader.hosts.length];
    if (host === undefined || (await reader.documents(host)).host === undefined) throw new Error('A host cannot be read back.');
  }
  return (performance.now() - started) / hostsRead;
};

const rowsOf = (profile: SnapshotProfile, samples: readonly Sample[]): readonly Row[] => {
  const name = `snapshot of ${String(hosts)} hosts, ${profile}`;
  // The profile that is taken when nobody says otherwise has to meet them; more in a file costs more.
  const limit = (value: number) => (profile === 'config' ? { target: { op: '<=', value } as const } : {});
  return [
    toRow({ figure: `${name}: size`, unit: 'MB', samples: samples.map(({ megabytes }) => megabytes), ...limit(5) }),
    toRow({ figure: `${name}: read from the cache and mask`, unit: 'ms', samples: samples.map(({ collectMs }) => collectMs) }),
    toRow({ figure: `${name}: write`, unit: 'ms', samples: samples.map(({ writeMs }) => writeMs), ...limit(1_500) }),
    toRow({ figure: `${name}: longest block`, unit: 'ms', samples: samples.map(({ blockMs }) => blockMs) }),
    toRow({ figure: `${name}: open without KDF`, unit: 'ms', samples: samples.map(({ openMs }) => openMs), ...limit(500) }),
    toRow({ figure: `${name}: read one host`, unit: 'ms', samples: samples.map(({ readMs }) => readMs) }),
  ];
};

/** The floor: nothing signed, encrypted, masked or found again. */
const plainRows = (cache: FleetCache, roster: HostRoster): readonly Row[] => {
  const started = performance.now();
  const entries = collectEntries(cache, createRedaction('full', Buffer.alloc(32)), { profile: 'full', hosts: roster.all.map(collectedOf) });
  const lines = [...entries].map(({ entry }) => JSON.stringify(entry));
  const packed = gzipSync(Buffer.from(lines.join('\n')));
  return [
    toRow({ figure: 'the same as JSON under gzip: size', unit: 'MB', samples: [packed.length / megabyte] }),
    toRow({ figure: 'the same as JSON under gzip: write', unit: 'ms', samples: [performance.now() - started] }),
  ];
};

const kdfRow = async (): Promise<Row> => {
  const samples: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const started = performance.now();
    await deriveKey('correct horse battery', { name: 'argon2id', salt: Buffer.alloc(16).toString('base64'), ...kdfCostDefault });
    samples.push(performance.now() - started);
  }
  return toRow({ figure: 'KDF of a passphrase', unit: 'ms', samples });
};
