/** Random queries and hosts for tests of the host grammar. Ships nowhere. */
import fc from 'fast-check';
import { hostKeys, hostSigns, isHostKey } from './host-grammar.ts';
import type { HostQuery } from './host-grammar.ts';
import type { HostFacts } from './host-query.ts';

const words = [
  'a',
  'ams1',
  'AMS1',
  'edge-1',
  'edge-*',
  '*',
  'a*a',
  'rack 7',
  'x"y',
  'back\\slash',
  '-x',
  'OR',
  'or',
  '(',
  '6.1',
  'fe80',
  ':1',
  '10',
  '*7',
];
const value = fc.oneof(fc.constantFrom(...words), fc.string({ unit: 'grapheme', minLength: 1, maxLength: 8 }));
const labelKey = fc
  .oneof(fc.constantFrom('site', 'role', 'rack', 'fe80'), fc.stringMatching(/^[a-z][a-z0-9_.-]{0,6}$/))
  .filter((key) => !isHostKey(key));
const textKeys = ['name', 'address', 'label', 'cluster', 'group', 'engine', 'gen'] as const;
const version = fc.constantFrom('6', '6.1', '6.1.0', '6.10', '5.15', '0');

const leaf: fc.Arbitrary<HostQuery> = fc.oneof(
  value.map((text): HostQuery => ({ kind: 'text', value: text })),
  fc.tuple(fc.oneof(labelKey, fc.constantFrom(...textKeys)), value).map(([key, text]): HostQuery => ({ kind: 'field', key, value: text })),
  fc.constantFrom(...hostKeys.state.values).map((state): HostQuery => ({ kind: 'field', key: 'state', value: state })),
  fc
    .tuple(fc.constantFrom('kernel', 'agent'), fc.constantFrom(...hostSigns), version)
    .map(([key, sign, limit]): HostQuery => ({ kind: 'compare', key, sign, value: limit })),
  fc
    .tuple(fc.constantFrom('kernel', 'agent'), fc.constantFrom('amd', '6.*'))
    .map(([key, text]): HostQuery => ({ kind: 'field', key, value: text })),
  fc
    .tuple(
      fc.constantFrom('packets', 'drops', 'cpu', 'flows', 'revision', 'cert'),
      fc.constantFrom(...hostSigns),
      fc.constantFrom('0', '1', '30', '1.5k', '50%', '2m'),
    )
    .map(([key, sign, limit]): HostQuery => ({ kind: 'compare', key, sign, value: limit })),
);

/** Nodes of the same kind are never inside each other: they would read as one. */
const flat = (kind: 'and' | 'or', nodes: readonly HostQuery[]): HostQuery => ({
  kind,
  nodes: nodes.flatMap((node) => (node.kind === kind ? node.nodes : [node])),
});

export const hostQueries: fc.Arbitrary<HostQuery> = fc.oneof(
  fc.constant<HostQuery>({ kind: 'all' }),
  fc.letrec<{ query: HostQuery }>((tie) => ({
    query: fc.oneof(
      { maxDepth: 3 },
      leaf,
      fc.array(tie('query'), { minLength: 2, maxLength: 3 }).map((nodes) => flat('and', nodes)),
      fc.array(tie('query'), { minLength: 2, maxLength: 3 }).map((nodes) => flat('or', nodes)),
      tie('query').map((node): HostQuery => ({ kind: 'not', node })),
    ),
  })).query,
);

const rate = fc.option(fc.constantFrom(0, 0.3, 1, 30, 1_500, 2e6, 3e6), { nil: null });

export const hostFacts: fc.Arbitrary<HostFacts> = fc.record({
  hostId: fc.constantFrom('A', 'B', 'C'),
  name: fc.oneof(fc.constantFrom('edge-1', 'EDGE-10', 'a', 'aba'), value),
  address: fc.constantFrom('198.18.0.7', '2001:db8::1', 'fe80::1'),
  labels: fc.array(
    fc.oneof(
      fc.constantFrom('edge', 'site=ams1', 'site:AMS1', 'role=edge-1', 'rack=rack 7', 'fe80=:1', 'rack 7'),
      fc.tuple(labelKey, value).map(([key, text]) => `${key}=${text}`),
      value,
    ),
    { maxLength: 4 },
  ),
  state: fc.constantFrom('healthy', 'degraded', 'offline', 'connecting'),
  pendingUntil: fc.option(fc.constant(5), { nil: null }),
  cluster: fc.option(fc.constantFrom('a', 'ams1'), { nil: null }),
  kernel: fc.option(fc.constantFrom('6.1.0-13-amd64', '6.10.3', '5.15', '6', 'unknown'), { nil: null }),
  agentVersion: fc.option(fc.constantFrom('0.0.0', '6.1', 'v6.1.2'), { nil: null }),
  engine: fc.option(fc.constantFrom('xdp native', 'observe'), { nil: null }),
  generation: fc.option(fc.constantFrom('9a41', 'aa'), { nil: null }),
  packetsPerSecond: rate,
  dropsPerSecond: rate,
  cpuBusy: fc.option(fc.constantFrom(0, 0.3, 0.5, 1), { nil: null }),
  flows: rate,
  revision: rate,
  certificateEndsAt: fc.option(fc.constantFrom(0, 30 * 86_400_000, 1e12), { nil: null }),
});
