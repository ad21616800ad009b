/** Plain objects in place of the domains, for tests of the network side. */
import type { AuditControl, AuditFact } from '../control/audit/api.ts';
import type { IntentControl } from '../control/intent/api.ts';
import type { Revision, RevisionControl } from '../control/revisions/api.ts';
import type { RolloutControl } from '../control/rollout/api.ts';
import type { HealthWarning, Host, HostReading } from '../domains/host/api.ts';
import type { Balancer, Plan, PlanRequest, Traffic, TrafficStatus } from '../domains/traffic/api.ts';
import type { AccessControl } from '../control/access/api.ts';
import type { SessionControl } from '../control/session/api.ts';
import { createBroadcast } from '../lib/broadcast.ts';
import { NestError } from '../../proto/model/error.ts';
import { createFakeAccess } from './fake-access.ts';
import { createFakeSessions } from './fake-sessions.ts';

const fakeRevision: Revision = {
  revision: 3,
  etag: 'etag-3',
  policyJson: '{"kind":"Policy"}',
  generation: 'ab'.repeat(32),
  state: 'confirmed',
  author: 'spiffe://fleet/operator/ada',
  comment: 'first',
  createdAtMs: 1_767_225_600_000,
  settledAtMs: 1_767_225_660_000,
  settledReason: '',
  mappingCount: 2,
  serviceCount: 4,
};

const fakePlan: Plan = {
  planHash: 'cd'.repeat(32),
  baseRevision: 3,
  baseEtag: 'etag-3',
  generation: 'ef'.repeat(32),
  diff: [{ kind: 'added', text: 'mapping "web"' }],
  problems: [{ code: 'MAPPING_SHADOWED', severity: 'warning', path: 'mappings[1]', message: 'Another mapping always wins.' }],
  impact: null,
  expiresAtMs: 1_767_226_200_000,
  managementReachable: true,
  tables: null,
  canApply: true,
  cannotApplyReason: '',
  mappingCount: 3,
  serviceCount: 5,
};

const fakeStatus: TrafficStatus = {
  mode: 'enforce',
  observeReason: '',
  generation: 'ab'.repeat(32),
  desiredGeneration: 'ab'.repeat(32),
  withheld: [],
  adopted: false,
  flows: 7,
  flowsMax: 1000,
  engines: [{ engine: 'xdp-native', available: true, reason: 'The kernel has it.' }],
  interfaces: [
    {
      name: 'lan0',
      mode: 'native',
      problem: '',
      choice: 'auto',
      engine: 'xdp-native',
      reason: 'Chosen by itself.',
      engines: [{ engine: 'xdp-native', available: true, reason: 'The kernel has it.' }],
      facts: {
        receiveQueues: 4,
        sendQueues: 2,
        numaNode: 0,
        speedMbps: 10_000,
        xdpFeatures: ['basic', 'ndo-xmit'],
        virtualFunctions: { enabled: 2, total: 8 },
      },
    },
  ],
};

const fakeReading = (timeMs: number): HostReading => ({
  timeMs,
  cpuBusy: 0.25,
  memoryUsedBytes: 1 << 20,
  memoryTotalBytes: 1 << 30,
  disks: [],
  interfaces: [
    {
      name: 'lan0',
      index: 2,
      driver: 'veth',
      macAddress: '02:00:00:00:00:01',
      mtu: 1500,
      up: true,
      addresses: ['198.18.1.1/24'],
      received: { packets: 10n, bytes: 1000n, drops: 0n, errors: 0n },
      sent: { packets: 20n, bytes: 2000n, drops: 0n, errors: 0n },
    },
  ],
  uptimeSeconds: 100,
});

export interface FakeDomains {
  readonly audit: FakeAudit;
  readonly host: Host;
  readonly traffic: Traffic;
  readonly revisions: RevisionControl;
  readonly access: AccessControl;
  readonly sessions: SessionControl;
  readonly rollouts: RolloutControl;
  readonly intents: IntentControl;
  /** Plans asked for, the latest last. */
  readonly planned: PlanRequest[];
  /** Publishes one reading to everybody who watches. */
  tick(): void;
}

/** An audit log in memory. */
export interface FakeAudit extends AuditControl {
  /** In the order in which they were appended. */
  readonly facts: AuditFact[];
  /** What the next entries are refused with. */
  failure: NestError | null;
}

const createFakeAudit = (): FakeAudit => {
  const facts: AuditFact[] = [];
  const none = (): Promise<never> => Promise.reject(new NestError('NOT_FOUND', 'The test keeps no log.'));
  const audit: FakeAudit = {
    facts,
    failure: null,
    append: async (fact) => {
      if (audit.failure !== null) throw audit.failure;
      return facts.push(fact);
    },
    refused: async (fact) => {
      await audit.append(fact);
    },
    note: (fact) => void facts.push(fact),
    head: none,
    extent: () => ({ first: 0, last: 0 }),
    end: () => ({ number: 0, hash: new Uint8Array(0) }),
    broken: () => null,
    entries: async function* entries() {},
    verify: none,
    close: async () => undefined,
  };
  return audit;
};

/** Domains that answer at once with fixed values; a packet of one byte makes the tracer fail unexpectedly. */
export const createFakeDomains = (): FakeDomains => {
  const readings = createBroadcast<HostReading>(4);
  const warnings = new Map<string, HealthWarning>();
  const planned: PlanRequest[] = [];
  let timeMs = 1_767_225_700_000;
  const host: Host = {
    facts: () => ({
      hostName: 'edge-1',
      operatingSystem: 'Debian',
      kernel: '6.18',
      architecture: 'x64',
      cpuCount: 2,
      cpuModel: 'test',
      memoryBytes: 1 << 30,
      bootedAtSeconds: 1_767_000_000,
      addresses: ['198.18.1.1'],
    }),
    reading: () => fakeReading(timeMs),
    watch: async function* watch(signal) {
      for await (const { value } of readings.subscribe(signal)) yield value;
    },
    warnings: () => [...warnings.values()],
    raise: (code, warning) => void (warning === null ? warnings.delete(code) : warnings.set(code, { ...warning, code, sinceMs: timeMs })),
    start: () => undefined,
    close: async () => readings.close(),
  };
  return {
    audit: createFakeAudit(),
    host,
    traffic: createFakeTraffic(planned),
    revisions: createFakeRevisions(),
    access: createFakeAccess(),
    sessions: createFakeSessions(),
    rollouts: { put: () => undefined, records: () => [], admit: () => undefined, covers: () => false, close: () => undefined },
    intents: {
      take: () => {
        throw new NestError('INTENT_EXPIRED', 'The intent has expired.');
      },
      close: () => undefined,
    },
    planned,
    tick: () => readings.publish(fakeReading(++timeMs)),
  };
};

const fakeBalancer: Balancer = {
  mapping: 'shop',
  destinations: ['198.19.1.100'],
  protocols: ['tcp'],
  ports: ['80'],
  nat: 'dnat',
  affinity: 'none',
  healthCheck: { kind: 'tcp', path: '', intervalMs: 1000, timeoutMs: 500, rise: 2, fall: 3 },
  backends: [
    {
      name: 'web-1',
      address: '198.19.1.21',
      port: 8000,
      weight: 1,
      wanted: 'up',
      effective: 'down',
      health: 'down',
      healthDetail: 'The connection was refused: nothing listens there.',
      healthSinceMs: 1_767_225_600_000,
      flows: 5n,
      liveFlows: 2,
      count: { packets: 50n, bytes: 5000n },
    },
  ],
};

const createFakeTraffic = (planned: PlanRequest[]): Traffic => ({
  start: async () => undefined,
  status: () => fakeStatus,
  plan: async (request) => {
    planned.push(request);
    return fakePlan;
  },
  checkApprovals: () => undefined,
  approve: ({ policyJson }) => policyJson,
  inspect: async () => [],
  heal: async () => undefined,
  takePlan: async (planHash) => {
    if (planHash !== fakePlan.planHash) throw new NestError('PLAN_EXPIRED', 'The plan is too old. Plan again.');
    return fakePlan;
  },
  activate: async () => ({ generation: fakePlan.generation, loadMs: 1, flipMs: 0.1 }),
  setRevision: () => undefined,
  counters: () => ({
    mappings: [
      {
        mapping: 'web',
        allow: false,
        count: { packets: 2n ** 40n, bytes: 5n },
        limited: { packets: 7n, bytes: 700n },
        limit: { packetsPerSecond: 1000, bytesPerSecond: null, burst: 100, perSource: true },
      },
    ],
    path: { judged: 9n, forwarded: 8n, routedByKernel: 7n, tooBigAnswered: 6n, isFlood: true, floodSinceMs: 1_767_225_600_000 },
    reasons: [{ reason: 'POLICY_DENY', dropped: true, count: { packets: 12n, bytes: 1200n } }],
    interfaces: [{ name: 'lan0', index: 2, reasons: [{ reason: 'POLICY_DENY', dropped: true, count: { packets: 12n, bytes: 1200n } }] }],
    recordsLost: 1n,
    recordsSuppressed: 2n,
    flowsNotInserted: 3n,
  }),
  flows: async () => ({ flows: [], matched: 0, truncated: false, recordsLost: 0 }),
  sumFlows: async ({ by }) => ({
    sums: [{ key: by, flows: 3, deniedFlows: 1, count: { packets: 30n, bytes: 3000n } }],
    keys: 1,
    flows: 3,
    total: { packets: 30n, bytes: 3000n },
    recordsLost: 2,
  }),
  balancers: () => [fakeBalancer],
  denyLists: (prefixes) => [
    {
      name: 'scanners',
      origin: 'host',
      file: '',
      prefixes: 2,
      firstPrefixes: ['198.18.4.7', '198.18.5.0/24'].slice(0, prefixes),
      expiresAtMs: null,
      isExpired: false,
      hits: { packets: 4n, bytes: 400n },
      problem: '',
    },
  ],
  updateDenyList: async ({ add, remove }) => ({ added: add.length, removed: remove.length, prefixes: 2 }),
  setInterfaceEngine: async (_name, engine) => ({
    engine: engine === 'off' ? '' : 'xdp-native',
    reason: `It was told ${engine}.`,
    warning: '',
  }),
  watchFlows: async function* watchFlows() {},
  trace: async ({ packet }) => {
    if (packet.length === 1) throw new Error('a secret about the inside');
    throw new NestError('PACKET_INVALID', 'The packet is shorter than an Ethernet header. Send at least 14 bytes.');
  },
  close: async () => undefined,
});

const createFakeRevisions = (): RevisionControl => ({
  start: async () => undefined,
  current: () => fakeRevision,
  pending: () => null,
  list: () => [fakeRevision],
  get: (revision) => {
    throw new NestError('REVISION_UNKNOWN', `There is no revision ${revision}. List the revisions.`);
  },
  repeated: async () => null,
  apply: async ({ policyJson, author, comment, transactionId, confirmWithinSeconds }) => ({
    revision: { ...fakeRevision, policyJson, revision: 4, state: 'pending', author, comment: `${comment} ${transactionId}` },
    rollbackAtMs: 1_767_225_760_000,
    remainingMs: confirmWithinSeconds * 1000,
    loadMs: 1,
    flipMs: 0.1,
  }),
  confirm: async () => {
    throw new NestError('NOTHING_TO_CONFIRM', 'No revision waits. Apply one first.');
  },
  rollback: async () => fakeRevision,
  returnTo: async ({ toRevision, confirmWithinSeconds }) => ({
    revision: { ...fakeRevision, revision: 4, state: 'pending', comment: `back to ${toRevision}` },
    rollbackAtMs: 1_767_225_760_000,
    remainingMs: confirmWithinSeconds * 1000,
    loadMs: 1,
    flipMs: 0.1,
  }),
  watch: async function* watch() {
    yield { revision: fakeRevision, pending: null };
  },
  close: async () => undefined,
});
