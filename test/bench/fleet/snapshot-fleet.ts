/** The cache of a console that knows many hosts: documents as agents give them, forty mappings and about seventy numbers of each. */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openFleetCache } from '../../../desktop/core/cache/sqlite-fleet-cache.ts';
import type { FleetCache } from '../../../desktop/core/cache/fleet-cache.ts';
import { systemRandom, ulidOf } from '../../../desktop/lib/api.ts';

const mappings = 40;
const interfaces = 4;
/** Of those, with a cable in them. */
const busyInterfaces = 2;
/** Mappings of a host that see traffic. */
const busyMappings = 10;
/** Flows kept of each host. */
const flows = 20;
/** Points of history, as a console keeps them. */
const history = 300;
/** Kinds of hosts: those of one kind have one policy. */
const roles = 64;
const reasons = ['FLOW', 'POLICY_ALLOW', 'POLICY_DENY', 'DEFAULT_DENY', 'DENY_LIST', 'RATE_LIMIT', 'MALFORMED', 'NOT_IP', 'FRAGMENT'];

export interface SnapshotFleet extends Disposable {
  readonly cache: FleetCache;
}

/** A small generator of our own: every run measures the same fleet. */
const createNumbers = (seed: number): ((below: number) => number) => {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
};

/** Fills a cache in a temporary folder. */
export const makeSnapshotFleet = (hosts: number, now: number): SnapshotFleet => {
  const folder = mkdtempSync(join(tmpdir(), 'nest-bench-snapshot-'));
  const { cache } = openFleetCache(join(folder, 'fleet.sqlite'), now);
  const number = createNumbers(7);
  const policies = Array.from({ length: roles }, (_, role) => {
    const policy = policyOf(role);
    return { policy, generation: createHash('sha256').update(policy).digest('hex') };
  });
  for (let index = 0; index < hosts; index += 1) {
    const hostId = ulidOf(now + index, systemRandom);
    const address = `198.${String(18 + (index >> 16))}.${String((index >> 8) & 255)}.${String(index & 255)}`;
    cache.putHost({
      hostId,
      name: `edge-${String(index).padStart(5, '0')}`,
      address,
      port: 50_051,
      labels: [`site=site${String(index % 20)}`, `role=role${String(index % roles)}`],
      spkiSha256: Buffer.from(systemRandom(32)).toString('hex'),
      certificateEndsAt: now + number(86_400_000),
      enrolledAt: now - number(86_400_000),
    });
    cache.putDocuments(
      documentsOf({
        hostId,
        ...(policies[index % roles] ?? { policy: '', generation: '' }),
        counts: reasons.map(() => number(1e10)),
        now,
        number,
      }),
    );
  }
  return {
    cache,
    [Symbol.dispose]: () => {
      cache.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
};

const policyOf = (role: number): string =>
  JSON.stringify({
    apiVersion: 'nest/v1',
    kind: 'Policy',
    defaultAction: 'deny',
    services: Array.from({ length: mappings }, (_, index) => ({
      name: `service-${String(index)}`,
      addresses: [`198.19.${String(role)}.${String(index)}`],
    })),
    mappings: Array.from({ length: mappings }, (_, index) => ({
      name: `mapping-${String(index)}`,
      sources: ['any'],
      destinations: [`service-${String(index)}`],
      protocols: ['tcp'],
      ports: [String(1_000 + role + index)],
      action: 'allow',
      priority: 100,
    })),
  });

const idle = { packets: 0, bytes: 0, drops: 0, errors: 0 };

interface HostSeed {
  readonly hostId: string;
  readonly policy: string;
  /** Hosts of one policy have one generation of tables. */
  readonly generation: string;
  /** Packets by reason: the last status and the counters say the same. */
  readonly counts: readonly number[];
  readonly now: number;
  readonly number: (below: number) => number;
}

const documentsOf = (seed: HostSeed): Parameters<FleetCache['putDocuments']>[0] => {
  const { hostId, policy, generation, now, number } = seed;
  const revision = {
    hostId,
    revision: 1 + number(50),
    etag: 'e',
    policy,
    generation,
    state: 'confirmed',
    author: 'ada',
    comment: 'a change',
    createdAt: now - number(1e9),
    settledAt: now,
    settledReason: 'confirmed by ada',
    mappingCount: mappings,
    serviceCount: mappings,
    live: true,
    at: now,
  };
  const engines = [{ engine: 'xdp', available: true, reason: '' }];
  const facts = {
    hostName: hostId.toLowerCase(),
    operatingSystem: 'Debian GNU/Linux 12',
    kernel: '6.1.0-26-amd64',
    architecture: 'x64',
    cpuCount: 8,
    cpuModel: 'a processor',
    memoryBytes: 16e9,
    bootedAt: now - number(1e9),
    agentStartedAt: now - number(1e8),
    addresses: [`198.18.${String(number(256))}.${String(number(256))}`],
  };
  return [
    { hostId, kind: 'host', at: now, content: { facts, engines, agentVersion: '0.0.0' } },
    { hostId, kind: 'sample', at: now, content: sampleOf(seed) },
    { hostId, kind: 'policy', at: now, content: revision },
    {
      hostId,
      kind: 'revisions',
      at: now,
      content: Array.from({ length: 5 }, (_, index) => ({ ...revision, revision: index, policy: '' })),
    },
    { hostId, kind: 'counters', at: now, content: countersOf(seed) },
    { hostId, kind: 'flows', at: now, content: flowsOf(seed) },
  ];
};

const sampleOf = ({ counts, generation, now, number }: HostSeed): object => ({
  at: now,
  cpuBusy: number(1_000) / 1_000,
  memoryUsedBytes: number(16e9),
  memoryTotalBytes: 16e9,
  disks: [{ mountPoint: '/', totalBytes: 1e11, usedBytes: number(1e11) }],
  uptimeSeconds: number(1e6),
  warnings: [],
  interfaces: Array.from({ length: interfaces }, (_, index) => ({
    name: `eth${String(index)}`,
    index,
    up: true,
    driver: 'ice',
    macAddress: `52:54:00:${[0, 0, 0].map(() => number(256).toString(16).padStart(2, '0')).join(':')}`,
    mtu: 1_500,
    addresses: [`198.18.${String(number(256))}.${String(number(256))}/24`],
    xdpMode: 'native',
    xdpProblem: null,
    engineChoice: 'auto',
    engine: 'xdp-native',
    engineReason: 'the driver can do it',
    engines: [{ engine: 'xdp', available: true, reason: '' }],
    receiveQueues: 8,
    sendQueues: 8,
    numaNode: 0,
    speedMbps: 10_000,
    xdpFeatures: 'basic, redirect',
    virtualFunctions: null,
    received: index < busyInterfaces ? { packets: number(1e10), bytes: number(1e13), drops: number(100), errors: 0 } : idle,
    sent: index < busyInterfaces ? { packets: number(1e10), bytes: number(1e13), drops: 0, errors: 0 } : idle,
  })),
  policy: { mode: 'enforce', revision: 4, generation, desiredGeneration: generation, pending: null },
  flows: number(1e5),
  flowsMax: 1e6,
  allowedPerSecond: number(1e6),
  deniedPerSecond: number(1e3),
  bytesPerSecond: number(1e9),
  packetsPerSecond: number(1e6),
  reasons: reasons.map((reason, index) => ({
    reason,
    dropped: reason.includes('DENY'),
    packets: counts[index] ?? 0,
    perSecond: number(1e5),
  })),
  history: Array.from({ length: history }, (_, index) => ({ at: now - index * 1_000, allowed: number(1e6), denied: number(1e3) })),
  packetsHistory: [],
  pendingTransactionId: '',
  pendingRemainingMs: 0,
});

const countersOf = ({ counts, now, number }: HostSeed): object => ({
  at: now,
  live: true,
  revision: 4,
  mappings: Array.from({ length: mappings }, (_, index) => ({
    mapping: `mapping-${String(index)}`,
    action: 'allow',
    packets: index < busyMappings ? number(1e9) : 0,
    bytes: index < busyMappings ? number(1e12) : 0,
    limit: null,
  })),
  path: { judged: number(1e12), forwarded: 0, routedByKernel: 0, tooBigAnswered: 0, floodMode: false, floodSince: null },
  reasons: reasons.map((reason, index) => ({
    reason,
    sentence: `What ${reason} means.`,
    dropped: false,
    packets: counts[index] ?? 0,
    bytes: (counts[index] ?? 0) * (60 + number(1_000)),
  })),
  interfaces: [],
  recordsLost: 0,
  recordsSuppressed: 0,
  flowsNotInserted: 0,
});

const flowsOf = ({ now, number }: HostSeed): object => ({
  at: now,
  live: true,
  matched: flows,
  truncated: false,
  recordsLost: 0,
  flows: Array.from({ length: flows }, () => ({
    source: `198.18.${String(number(256))}.${String(number(256))}`,
    destination: `198.19.1.${String(number(256))}`,
    sourcePort: 32_768 + number(28_000),
    destinationPort: 443,
    protocol: 'tcp',
    state: 'live',
    allowed: true,
    reason: 'FLOW',
    mapping: `mapping-${String(number(mappings))}`,
    interface: 'eth0',
    packets: number(1e6),
    bytes: number(1e9),
    firstSeen: now - number(1e7),
    lastSeen: now - number(1e6),
    sourceServices: [],
    destinationServices: ['service-1'],
    translation: null,
  })),
});
