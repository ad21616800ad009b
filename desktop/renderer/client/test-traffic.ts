/** Invented interfaces, balancers, deny lists, limits and flow sums for tests. Nothing here was measured; nothing here ships. */
import type {
  BackendRow,
  BalancerList,
  DenyListTable,
  FlowRow,
  FlowSums,
  HostCounters,
  HostRow,
  InterfaceRow,
} from '../../bridge/model.ts';

/** Counters begin here. */
const epoch = 1_700_000_000_000;

/** What is kept of an offline host is as old as its last answer. */
export const measuredAt = (host: HostRow, now: number): number => (host.state === 'offline' ? (host.seenAt ?? now) : now);

/** A counter that grows with the clock, so that two readings make a rate. */
const grown = (base: number, perSecond: number, now: number): number => base + Math.floor((perSecond * Math.max(0, now - epoch)) / 1_000);

const count = (packets: number) => ({ packets, bytes: packets * 740, drops: 0, errors: 0 });

const engines = (native: string, afXdp: string, dpdk: string): InterfaceRow['engines'] => [
  { engine: 'xdp-native', available: native === '', reason: native === '' ? 'the driver has native XDP' : native },
  { engine: 'xdp-generic', available: true, reason: 'works on every driver' },
  { engine: 'af_xdp', available: afXdp === '', reason: afXdp === '' ? 'zero copy on 4 queues' : afXdp },
  { engine: 'dpdk', available: dpdk === '', reason: dpdk === '' ? 'the device is on the allow list' : dpdk },
];

const loopback: InterfaceRow = {
  name: 'lo',
  index: 1,
  up: true,
  driver: '',
  macAddress: '00:00:00:00:00:00',
  mtu: 65_536,
  addresses: ['127.0.0.1/8', '::1/128'],
  xdpMode: null,
  xdpProblem: null,
  engineChoice: null,
  engine: null,
  engineReason: 'loopback is never attached',
  engines: [],
  receiveQueues: 1,
  sendQueues: 1,
  numaNode: null,
  speedMbps: null,
  xdpFeatures: null,
  virtualFunctions: null,
  received: count(1_200),
  sent: count(1_200),
};

export const testInterfaces = (now = epoch): readonly InterfaceRow[] => [
  {
    name: 'eth0',
    index: 2,
    up: true,
    driver: 'ixgbe',
    macAddress: '02:00:00:00:00:01',
    mtu: 1500,
    addresses: ['198.18.0.13/24', '2001:db8::13/64'],
    xdpMode: 'native',
    xdpProblem: null,
    engineChoice: 'auto',
    engine: 'xdp-native',
    engineReason: 'auto: the driver has native XDP, and nothing faster was measured here',
    engines: engines('', '', 'no hugepages are reserved: write vm.nr_hugepages, then start the agent again'),
    receiveQueues: 8,
    sendQueues: 8,
    numaNode: 0,
    speedMbps: 10_000,
    xdpFeatures: 'basic, redirect, ndo-xmit, xsk-zerocopy',
    virtualFunctions: { used: 2, max: 63 },
    received: count(grown(918_224_112, 6_402_000, now)),
    sent: count(grown(88_221_000, 90_000, now)),
  },
  {
    name: 'eth1',
    index: 3,
    up: true,
    driver: 'veth',
    macAddress: '02:00:00:00:00:02',
    mtu: 1500,
    addresses: ['198.18.4.1/24'],
    xdpMode: 'generic',
    xdpProblem: 'The driver has no native mode: packets take the slower way.',
    engineChoice: 'xdp',
    engine: 'xdp-generic',
    engineReason: 'xdp was chosen; the driver has no native mode',
    engines: engines('the driver veth has no native XDP with this many queues', 'the driver has no zero copy', 'no PCI device'),
    receiveQueues: 1,
    sendQueues: 1,
    numaNode: null,
    speedMbps: null,
    xdpFeatures: null,
    virtualFunctions: null,
    received: count(grown(88_000_000, 84_000, now)),
    sent: count(grown(910_000_000, 6_300_000, now)),
  },
  loopback,
];

const backend = (part: Partial<BackendRow>, now: number, perSecond: number): BackendRow => ({
  name: 'web-1',
  address: '198.18.9.21',
  port: 8443,
  weight: 10,
  wanted: 'up',
  effective: 'up',
  health: 'up',
  healthDetail: '200 in 1.2 ms',
  healthSince: now - 86_400_000,
  flows: grown(180_400, perSecond, now),
  packets: grown(9_100_000, perSecond * 40, now),
  bytes: grown(6_300_000_000, perSecond * 31_000, now),
  liveFlows: Math.floor(perSecond * 9),
  ...part,
});

export const testBalancers = (host: HostRow, now: number): BalancerList => ({
  at: measuredAt(host, now),
  live: host.state !== 'offline',
  revision: 118,
  balancers: [
    {
      mapping: 'web-vip',
      destinations: ['198.18.7.80', '2001:db8:7::80'],
      protocols: ['tcp'],
      ports: ['443'],
      nat: 'dnat',
      affinity: 'none',
      healthCheck: { kind: 'http', path: '/health', intervalMs: 1_000, timeoutMs: 500, rise: 2, fall: 3 },
      backends: [
        backend({}, now, 50),
        backend({ name: 'web-2', address: '198.18.9.22' }, now, 49),
        backend({ name: 'web-3', address: '198.18.9.23', wanted: 'drain', effective: 'drain', liveFlows: 12 }, now, 0),
        backend(
          {
            name: 'web-4',
            address: '198.18.9.24',
            weight: 5,
            effective: 'down',
            health: 'down',
            healthDetail: 'connection refused by 198.18.9.24:8443',
            healthSince: now - 42_000,
            liveFlows: 0,
          },
          now,
          0,
        ),
      ],
    },
    {
      mapping: 'resolver-vip',
      destinations: ['198.18.7.53'],
      protocols: ['udp'],
      ports: ['53'],
      nat: 'dsr',
      affinity: 'source',
      healthCheck: null,
      backends: [
        backend(
          { name: 'dns-1', address: '2001:db8:9::53', port: null, weight: 1, health: 'unknown', healthDetail: '', healthSince: null },
          now,
          900,
        ),
        backend(
          { name: 'dns-2', address: '2001:db8:9::54', port: null, weight: 1, health: 'unknown', healthDetail: '', healthSince: null },
          now,
          2_700,
        ),
      ],
    },
  ],
});

export type DenyListRow = DenyListTable['lists'][number];

export const testDenyLists = (now: number): readonly DenyListRow[] => [
  {
    name: 'scanners',
    origin: 'policy',
    file: null,
    prefixes: 3,
    firstPrefixes: ['198.18.66.0/24', '198.18.70.9', '2001:db8:66::/48'],
    expiresAt: null,
    expired: false,
    hitPackets: grown(2_204_118, 420, now),
    hitBytes: grown(163_000_000, 31_000, now),
    problem: null,
  },
  {
    name: 'abuse-feed',
    origin: 'policy',
    file: 'abuse-feed.txt',
    prefixes: 0,
    firstPrefixes: [],
    expiresAt: null,
    expired: false,
    hitPackets: 0,
    hitBytes: 0,
    problem: 'The file abuse-feed.txt is not in the folder of deny lists: put it there, the host reads it within 10 s.',
  },
  {
    name: 'incident-41',
    origin: 'host',
    file: null,
    prefixes: 41_208,
    firstPrefixes: Array.from({ length: 100 }, (_, index) => `198.19.${String(index)}.0/24`),
    expiresAt: now + 7_140_000,
    expired: false,
    hitPackets: grown(88_410, 24_918, now),
    hitBytes: grown(6_540_000, 1_843_000, now),
    problem: null,
  },
];

/** What the counters say of mappings, and of the way of packets. */
export const testMappings = (now: number): HostCounters['mappings'] => [
  { mapping: 'payments-db', action: 'allow', packets: grown(918_224_112, 6_100_000, now), bytes: grown(6.1e11, 4e9, now), limit: null },
  {
    mapping: 'registry-in',
    action: 'allow',
    packets: grown(8_120_004, 12_400, now),
    bytes: grown(7.7e9, 9_200_000, now),
    limit: {
      packetsPerSecond: 50_000,
      bytesPerSecond: 12_500_000,
      burst: 5_000,
      per: 'mapping',
      limitedPackets: grown(41_000, 0, now),
      limitedBytes: grown(30_000_000, 0, now),
    },
  },
  {
    mapping: 'api-public',
    action: 'allow',
    packets: grown(44_120_004, 19_800, now),
    bytes: grown(3.2e10, 14_000_000, now),
    limit: {
      packetsPerSecond: 20_000,
      bytesPerSecond: null,
      burst: 2_000,
      per: 'mapping',
      limitedPackets: grown(918_000, 41_207, now),
      limitedBytes: grown(68_000_000, 3_049_000, now),
    },
  },
  {
    mapping: 'resolver-vip',
    action: 'allow',
    packets: grown(1_120_004, 3_600, now),
    bytes: grown(90_000_000, 288_000, now),
    limit: { packetsPerSecond: 200, bytesPerSecond: null, burst: 400, per: 'source', limitedPackets: 0, limitedBytes: 0 },
  },
  { mapping: 'block-legacy-smtp', action: 'deny', packets: 2_204_118, bytes: 1.5e8, limit: null },
];

export const testPath = (now: number, isFlood: boolean): HostCounters['path'] => ({
  judged: grown(10_444_000, 82_000, now),
  forwarded: grown(4_100_000, 19_800, now),
  routedByKernel: grown(20_000, 3, now),
  tooBigAnswered: 12,
  floodMode: isFlood,
  floodSince: isFlood ? now - 95_000 : null,
});

export type SumBy = 'source' | 'destination' | 'mapping' | 'port' | 'reason';

const keyOf = (flow: FlowRow, by: SumBy): string => {
  if (by === 'mapping') return flow.mapping ?? '';
  return by === 'port' ? `${flow.protocol}/${String(flow.destinationPort)}` : flow[by];
};

export const testSums = (flows: readonly FlowRow[], by: SumBy, now: number): FlowSums => {
  const keys = [...new Set(flows.map((flow) => keyOf(flow, by)))];
  const sum = (of: readonly FlowRow[], value: (flow: FlowRow) => number): number => of.reduce((total, flow) => total + value(flow), 0);
  const sums = keys.map((key) => {
    const of = flows.filter((flow) => keyOf(flow, by) === key);
    return {
      key,
      flows: of.length,
      deniedFlows: of.filter(({ allowed }) => !allowed).length,
      packets: sum(of, ({ packets }) => packets),
      bytes: sum(of, ({ bytes }) => bytes),
    };
  });
  return {
    at: now,
    live: true,
    sums: sums.sort((left, right) => right.bytes - left.bytes),
    keys: keys.length,
    flows: flows.length,
    packets: sum(flows, ({ packets }) => packets),
    bytes: sum(flows, ({ bytes }) => bytes),
    recordsLost: 0,
  };
};
