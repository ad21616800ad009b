/** Invented hosts, flows, counters and policies for tests. Nothing here was measured; nothing here ships. */
import type {
  FleetPlan,
  FlowList,
  FlowRow,
  HostCounters,
  HostDetail,
  HostPlan,
  HostRow,
  HostSample,
  PolicyRevision,
  Trace,
} from '../../bridge/model.ts';
import { measuredAt, testInterfaces, testMappings, testPath } from './test-traffic.ts';

const generation = '9a41c02e7710b3d45f86aa1093be5c7d21f4e09b8c6d3a5f7e1029384756abcd';

/** A repeatable sequence in [0, 1). */
const sequence = (seed: number) => {
  let state = seed;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return state / 2_147_483_648;
  };
};

const wave = (seed: number, around: number): readonly number[] => {
  const next = sequence(seed);
  let value = around;
  return Array.from({ length: 300 }, () => (value = Math.max(around * 0.3, value + (next() - 0.48) * around * 0.05)));
};

const sites = ['ams1', 'fra2', 'lon1'] as const;
const roles = ['edge', 'core', 'egress'] as const;

/** Hosts of one fleet; the third is degraded, the seventh offline. */
export const testHosts = (now: number, count = 24): readonly HostRow[] => {
  const next = sequence(7);
  return Array.from({ length: count }, (_, index): HostRow => {
    const site = sites[index % 3] ?? 'ams1';
    const state = index === 2 ? 'degraded' : index === 6 ? 'offline' : index === 11 ? 'connecting' : 'healthy';
    const history = wave(index + 3, 1_000_000 + next() * 6_000_000);
    return {
      hostId: `01J${String(index).padStart(23, '0')}`,
      name: `edge-${site.slice(0, 3)}-${String(index + 11).padStart(3, '0')}`,
      address: `198.18.0.${String(index + 11)}`,
      labels: [site, roles[index % 3] ?? 'edge'],
      state,
      stateReason:
        index === 2
          ? 'The flow table is nearly full: 72 % of 262,144. Raise it, or look which flows fill it.'
          : index === 6
            ? 'The agent does not answer since 12 min: look whether it runs.'
            : null,
      seenAt: index === 11 ? null : index === 6 ? now - 720_000 : now - 400,
      engine: index === 11 ? null : index % 4 === 1 ? 'XDP generic' : 'XDP native',
      packetsPerSecond: index === 11 ? null : (history.at(-1) ?? null),
      dropsPerSecond: index === 11 ? null : index === 2 ? 41_207 : Math.floor(next() * 40),
      bytesPerSecond: index === 11 ? null : (history.at(-1) ?? 0) * 740,
      cpuBusy: index === 11 ? null : 0.14 + next() * 0.5,
      flows: index === 11 ? null : Math.floor(next() * 90_000),
      revision: index === 11 ? null : 118,
      generation: index === 11 ? null : generation,
      pendingUntil: null,
      agentVersion: index === 11 ? null : '1.4.2',
      kernel: index === 11 ? null : `6.${String(index % 4)}.0-13-amd64`,
      cluster: null,
      certificateEndsAt: now + 300 * 86_400_000,
      history: index === 11 ? [] : history,
    };
  });
};

const reasons = [
  { reason: 'FLOW', dropped: false, packets: 918_224_112, perSecond: 6_310_000 },
  { reason: 'POLICY_ALLOW', dropped: false, packets: 8_120_004, perSecond: 40_200 },
  { reason: 'DEFAULT_ALLOW', dropped: false, packets: 120_331, perSecond: 612 },
  { reason: 'POLICY_DENY', dropped: true, packets: 2_204_118, perSecond: 41_207 },
  { reason: 'RATE_LIMIT', dropped: true, packets: 918_000, perSecond: 41_207 },
  { reason: 'DENY_LIST', dropped: true, packets: 88_410, perSecond: 24_918 },
  { reason: 'FRAGMENT_UNKNOWN', dropped: true, packets: 83, perSecond: 0 },
] as const;

export const testSample = (host: HostRow, now: number): HostSample => {
  const isLive = host.state !== 'offline';
  const at = isLive ? now : (host.seenAt ?? now);
  return {
    at,
    live: isLive,
    state: host.state,
    stateReason: host.stateReason,
    cpuBusy: host.cpuBusy,
    memoryUsedBytes: 1.3e9,
    memoryTotalBytes: 4.1e9,
    disks: [{ mountPoint: '/', totalBytes: 40e9, usedBytes: 7.2e9 }],
    uptimeSeconds: 3_600 * 24 * 41 + 7_200,
    clockSkewMs: 3,
    warnings:
      host.state === 'degraded'
        ? [
            {
              code: 'FLOW_TABLE_NEARLY_FULL',
              title: 'The flow table is nearly full',
              message: host.stateReason ?? '',
              severity: 'critical',
              since: now - 240_000,
            },
          ]
        : [],
    interfaces: testInterfaces(now),
    policy: { mode: 'enforce', revision: 118, generation, desiredGeneration: generation, pending: null },
    flows: 188_700,
    flowsMax: 262_144,
    allowedPerSecond: 6_350_812,
    deniedPerSecond: host.state === 'degraded' ? 41_207 : 12,
    bytesPerSecond: host.bytesPerSecond,
    reasons,
    history: wave(21, 6_000_000).map((allowed, index) => ({
      at: at - (300 - index) * 1_000,
      allowed,
      denied: wave(5, 900_000)[index] ?? 0,
    })),
  };
};

export const testDetail = (row: HostRow, now: number): HostDetail => ({
  row,
  facts: {
    hostName: row.name,
    operatingSystem: 'Debian GNU/Linux 12',
    kernel: '6.18.44',
    architecture: 'x86_64',
    cpuCount: 8,
    cpuModel: 'Example CPU',
    memoryBytes: 4.1e9,
    bootedAt: now - 3_549_600_000,
    agentStartedAt: now - 3_500_000_000,
    addresses: [row.address],
  },
  engines: [
    { engine: 'XDP native', available: true, reason: '' },
    { engine: 'DPDK', available: false, reason: 'no hugepages are reserved' },
  ],
  certificate: { fingerprint: generation, endsAt: now + 80 * 86_400_000 },
  sample: testSample(row, now),
});

const flow = (part: Partial<FlowRow>, now: number): FlowRow => ({
  source: '198.18.31.17',
  destination: '198.18.9.12',
  sourcePort: 41_812,
  destinationPort: 5432,
  protocol: 'tcp',
  state: 'live',
  allowed: true,
  reason: 'POLICY_ALLOW',
  mapping: 'payments-db',
  interface: 'eth0',
  packets: 918_220,
  bytes: 1.9e9,
  firstSeen: now - 900_000,
  lastSeen: now - 300,
  sourceServices: ['payments'],
  destinationServices: ['ledger-db'],
  translation: null,
  ...part,
});

const allFlows = (now: number): readonly FlowRow[] => [
  flow({}, now),
  flow(
    {
      source: '198.18.31.18',
      destination: '198.18.7.80',
      destinationPort: 443,
      mapping: 'web-vip',
      sourceServices: ['ci-runners'],
      destinationServices: ['web'],
      bytes: 310e6,
      translation: { source: '198.18.31.18', destination: '198.18.9.22', sourcePort: 41_812, destinationPort: 8443, backend: 'web-2' },
    },
    now,
  ),
  flow(
    {
      source: '2001:db8:4::17',
      destination: '2001:db8:9::12',
      destinationPort: 9100,
      mapping: null,
      reason: 'DEFAULT_ALLOW',
      state: 'ended',
      sourceServices: ['monitoring'],
      destinationServices: [],
      bytes: 4e6,
      lastSeen: now - 12_000,
    },
    now,
  ),
  flow(
    {
      source: '198.18.31.20',
      destination: '198.18.9.12',
      sourcePort: 4711,
      destinationPort: 4711,
      protocol: 'icmp',
      mapping: 'ping',
      packets: 40,
      bytes: 3_920,
      sourceServices: ['ci-runners'],
    },
    now,
  ),
  flow(
    {
      source: '198.18.66.6',
      destination: '198.18.9.25',
      destinationPort: 25,
      state: 'denied',
      allowed: false,
      reason: 'POLICY_DENY',
      mapping: 'block-legacy-smtp',
      sourceServices: [],
      destinationServices: ['mail'],
      packets: 83,
      bytes: 5_120,
      lastSeen: now - 40_000,
    },
    now,
  ),
];

export const testFlows = (_host: HostRow, now: number, verdict: 'allowed' | 'denied' | undefined): FlowList => {
  const flows = allFlows(now).filter(({ allowed }) => verdict === undefined || allowed === (verdict === 'allowed'));
  return { at: now, live: _host.state !== 'offline', flows, matched: flows.length, truncated: false, recordsLost: 0 };
};

export const testCounters = (host: HostRow, now: number): HostCounters => ({
  at: measuredAt(host, now),
  live: host.state !== 'offline',
  revision: 118,
  mappings: testMappings(now),
  path: testPath(now, host.name.endsWith('012')),
  reasons: reasons.map(({ reason, dropped, packets }) => ({
    reason,
    dropped,
    packets,
    bytes: packets * 740,
    sentence:
      reason === 'POLICY_DENY'
        ? 'A mapping denies it'
        : reason === 'FRAGMENT_UNKNOWN'
          ? 'Later fragment whose first one was not allowed or not seen'
          : reason === 'RATE_LIMIT'
            ? 'Over the rate limit of its mapping'
            : reason === 'DENY_LIST'
              ? 'Source or destination is on a deny list'
              : 'A mapping allows it',
  })),
  interfaces: [
    {
      name: 'eth0',
      reasons: [
        { reason: 'FLOW', dropped: false, packets: 918_224_112, bytes: 6.1e11 },
        { reason: 'DENY_LIST', dropped: true, packets: 88_410, bytes: 6_540_000 },
      ],
    },
  ],
  recordsLost: 0,
  recordsSuppressed: 0,
  flowsNotInserted: 0,
});

export const testPolicy = JSON.stringify(
  {
    apiVersion: 'nest/v1',
    kind: 'Policy',
    defaultAction: 'allow',
    services: [
      { name: 'payments', addresses: ['198.18.4.0/24', '2001:db8:4::/48'] },
      { name: 'ci-runners', addresses: ['198.18.31.0/26'] },
      { name: 'ledger-db', addresses: ['198.18.9.12'] },
      { name: 'registry', addresses: ['198.18.7.40', '2001:db8:7::40'] },
      { name: 'mail', addresses: ['198.18.9.25'] },
      { name: 'web', addresses: ['198.18.7.80'] },
    ],
    mappings: [
      {
        name: 'payments-db',
        sources: ['payments'],
        destinations: ['ledger-db'],
        protocols: ['tcp'],
        ports: ['5432'],
        action: 'allow',
        priority: 200,
      },
      {
        name: 'registry-in',
        sources: ['ci-runners', 'payments'],
        destinations: ['registry'],
        protocols: ['tcp'],
        ports: ['443', '8000-8100'],
        action: 'allow',
        priority: 200,
      },
      {
        name: 'block-legacy-smtp',
        sources: ['any'],
        destinations: ['mail'],
        protocols: ['tcp'],
        ports: ['25'],
        action: 'deny',
        priority: 500,
      },
      {
        name: 'web-vip',
        sources: ['any'],
        destinations: ['web'],
        protocols: ['tcp'],
        ports: ['443'],
        action: 'balance',
        priority: 150,
        backends: [
          { name: 'web-1', address: '198.18.9.21', port: 8443, weight: 10 },
          { name: 'web-2', address: '198.18.9.22', port: 8443, weight: 10 },
          { name: 'web-3', address: '198.18.9.23', port: 8443, weight: 10, state: 'drain' },
        ],
        healthCheck: { kind: 'http', path: '/health' },
      },
      { name: 'ping', sources: ['any'], destinations: ['any'], protocols: ['icmp'], ports: [], action: 'allow', priority: 10 },
    ],
    denyLists: [{ name: 'scanners', prefixes: ['198.18.66.0/24', '198.18.70.9', '2001:db8:66::/48'] }],
  },
  null,
  2,
);

export const testRevisions = (host: HostRow, now: number): readonly PolicyRevision[] =>
  (['confirmed', 'superseded', 'rolled-back'] as const).map((state, index) => ({
    hostId: host.hostId,
    revision: 118 - index,
    etag: `etag-${String(index)}`,
    policy: '',
    generation: index === 0 ? generation : generation.slice(index * 7) + generation.slice(0, index * 7),
    state,
    author: 'Olga Petrov',
    comment: index === 0 ? 'close the old mail port' : '',
    createdAt: now - index * 86_400_000,
    settledAt: now - index * 86_400_000 + 40_000,
    settledReason: state === 'rolled-back' ? 'not confirmed within 60 s' : '',
    mappingCount: 4,
    serviceCount: 5,
    live: host.state !== 'offline',
    at: now,
  }));

const plannedHost = (host: HostRow, now: number): HostPlan => ({
  hostId: host.hostId,
  hostName: host.name,
  problem: host.state === 'offline' ? { code: 'HOST_OFFLINE', message: 'The host does not answer: plan again when it does.' } : null,
  planHash: '5c1e',
  baseRevision: 118,
  diff: [
    { kind: 'same', text: 'mappings:' },
    { kind: 'added', text: '  - name: deny-db-from-edge' },
    { kind: 'added', text: '    sources: [edge]' },
    { kind: 'added', text: '    destinations: [ledger-db]' },
    { kind: 'added', text: '    action: deny, priority: 500' },
    { kind: 'same', text: '  - name: registry-in' },
    { kind: 'removed', text: '    ports: [443]' },
    { kind: 'added', text: '    ports: [443, 8000-8100]' },
    ...Array.from({ length: 12 }, (_, index) => ({ kind: 'same' as const, text: `  # line ${String(index)}` })),
  ],
  problems: [
    {
      code: 'MAPPING_SHADOWED',
      severity: 'warning',
      path: 'mappings[3]',
      message: 'allow-metrics can never match: deny-db-from-edge has a higher priority and covers it.',
    },
  ],
  impact:
    host.state === 'offline'
      ? null
      : {
          replayed: 40_144,
          unchanged: 39_279,
          cut: 425,
          cutLive: 400,
          newlyAllowed: 440,
          windowSeconds: 900,
          changes: [
            { flow: flow({}, now), allowed: false, mapping: 'deny-db-from-edge' },
            {
              flow: flow({ source: '198.18.2.5', destinationPort: 9100, bytes: 4e6, mapping: null, sourceServices: ['monitoring'] }, now),
              allowed: false,
              mapping: 'deny-db-from-edge',
            },
            {
              flow: flow(
                {
                  source: '198.18.66.6',
                  destinationPort: 8080,
                  allowed: false,
                  state: 'denied',
                  mapping: null,
                  sourceServices: ['ci-runners'],
                  destinationServices: ['registry'],
                },
                now,
              ),
              allowed: true,
              mapping: 'registry-in',
            },
          ],
          changesTruncated: true,
          recordsLost: 0,
        },
  managementReachable: host.state === 'offline' ? null : true,
  canApply: host.state !== 'offline',
  conflict: null,
  cannotApplyReason: host.state === 'offline' ? 'The host does not answer.' : null,
  tables: { identities: 14, pairs: 31, portIntervals: 40, mappings: 5, imageBytes: 18_432, compileMs: 1.8 },
});

export const testPlan = (hosts: readonly HostRow[], now: number): FleetPlan => {
  const planned = hosts.map((host) => plannedHost(host, now));
  const sum = (name: 'replayed' | 'unchanged' | 'cut' | 'cutLive' | 'newlyAllowed'): number =>
    planned.reduce((total, { impact }) => total + (impact?.[name] ?? 0), 0);
  return {
    planId: 'plan-5c1e',
    createdAt: now,
    expiresAt: now + 600_000,
    hosts: planned,
    replayed: sum('replayed'),
    unchanged: sum('unchanged'),
    cut: sum('cut'),
    cutLive: sum('cutLive'),
    newlyAllowed: sum('newlyAllowed'),
  };
};

export const testTrace = (hasDraft: boolean): Trace => ({
  allowed: true,
  reason: 'POLICY_ALLOW',
  sentence: 'A mapping allows it.',
  mapping: 'registry-in',
  priority: 200,
  steps: [
    { stage: 'parse', title: 'Parse', detail: 'Ethernet, 802.1Q 120, IPv4 (no options), TCP SYN, 66 bytes', subject: null },
    { stage: 'flow', title: 'Flow table', detail: 'miss: no entry for this flow, then policy', subject: null },
    { stage: 'deny', title: 'Deny list', detail: 'neither address is in 41,211 prefixes', subject: null },
    {
      stage: 'identity',
      title: 'Identity',
      detail: 'source ci-runners (198.18.31.0/26), destination registry (198.18.7.40/32)',
      subject: null,
    },
    { stage: 'policy', title: 'Policy', detail: 'priority 200, allow; beat the default action. Mapping', subject: 'registry-in' },
    { stage: 'limit', title: 'Rate limit', detail: 'registry-in: 12,400 of 50,000 packets/s used', subject: 'registry-in' },
    { stage: 'balance', title: 'Balancer', detail: 'ring slot 41,007, weight 10, up. Backend', subject: 'web-2' },
    { stage: 'rewrite', title: 'Rewrite', detail: 'destination 198.18.7.40:443 > 198.18.9.22:8443, checksums fixed', subject: null },
    { stage: 'route', title: 'Route', detail: 'out of eth1, next hop 198.18.4.9', subject: null },
    { stage: 'verdict', title: 'Out', detail: 'XDP_REDIRECT to eth1', subject: null },
  ],
  revision: 118,
  generation,
  interface: 'eth0',
  durationNs: 61,
  live: true,
  at: 0,
  hex: '020000000001020000000aaa810000780800450000341c4640004006a10fc6121f11c6120728a35401bb00000000000000008002faf000000000020405b40103030700000000',
  outcome: 'redirect',
  outputHex:
    '020000000009020000000004810000780800450000341c4640003f06a00ec6121f11c6120916a35420fb00000000000000008002dc2e00000000020405b40103030700000000',
  draft: hasDraft ? { allowed: false, reason: 'POLICY_DENY', mapping: 'deny-db-from-edge' } : null,
});
