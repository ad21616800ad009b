import { describe, expect, it } from 'vitest';
import type { FlowList, FlowRow } from '../../bridge/model.ts';
import { parseFlowQuery } from '../../bridge/flow-grammar.ts';
import { Flow_State } from '../../../proto/gen/nest/v1/flow.ts';
import { Reason } from '../../../proto/gen/nest/v1/reason.ts';
import { ListBalancersResponse, ListDenyListsResponse } from '../../../proto/gen/nest/v1/traffic.ts';
import { balancerListOf, denyListTableOf, wireFilterOf } from './balancing-model.ts';
import { filterFlows, sumFlows } from './flow-filter.ts';

const flow = (part: Partial<FlowRow>): FlowRow => ({
  source: '198.18.1.10',
  destination: '198.19.1.10',
  sourcePort: 40_000,
  destinationPort: 443,
  protocol: 'tcp',
  state: 'live',
  allowed: true,
  reason: 'POLICY_ALLOW',
  mapping: 'web',
  interface: 'wan0',
  packets: 10,
  bytes: 1_000,
  firstSeen: 0,
  lastSeen: 1_000_000,
  sourceServices: [],
  destinationServices: [],
  translation: null,
  ...part,
});
const list = (flows: readonly FlowRow[]): FlowList => ({
  at: 1_000_000,
  live: false,
  flows,
  matched: flows.length,
  truncated: false,
  recordsLost: 2,
});
const kept = list([
  flow({}),
  flow({ source: '2001:db8::7', protocol: 'udp', destinationPort: 53, mapping: null, bytes: 9_000, lastSeen: 100_000 }),
  flow({ state: 'denied', allowed: false, reason: 'RATE_LIMIT', interface: 'lan0', bytes: 500 }),
  flow({ protocol: 'icmp', sourcePort: 7, destinationPort: 7, state: 'ended', bytes: 50 }),
]);
const matching = (text: string): readonly number[] =>
  filterFlows(kept, parseFlowQuery(text).query, 100).flows.map((found) => kept.flows.indexOf(found));

describe('flows of a host that is not there', () => {
  it('filters by every term of the grammar as the agent would', () => {
    expect(
      [
        '',
        'src:2001:db8::/32',
        'dst:198.19.0.0/16',
        '198.18.1.10',
        'port:53',
        'proto:udp',
        'mapping:web',
        'verdict:denied',
        'state:ended',
        'reason:rate-limit',
        'if:lan0',
        'last:5m',
      ].map(matching),
    ).toEqual([[0, 1, 2, 3], [1], [0, 1, 2, 3], [0, 2, 3], [1], [1], [0, 2, 3], [2], [3], [2], [2], [0, 2, 3]]);
  });

  it('sums by a property, the most bytes first, and gives ICMP no port', () => {
    const sums = sumFlows(kept, 'port', 2);
    expect(sums.sums.map(({ key, flows, deniedFlows, bytes }) => [key, flows, deniedFlows, bytes])).toEqual([
      ['udp/53', 1, 0, 9_000],
      ['tcp/443', 2, 1, 1_500],
    ]);
    expect(sums).toMatchObject({ live: false, keys: 3, flows: 4, bytes: 10_550, recordsLost: 2 });
    expect(sumFlows(kept, 'mapping', 10).sums.map(({ key }) => key)).toEqual(['', 'web']);
  });

  it('keeps at most the limit and says that there are more', () => {
    expect(filterFlows(kept, {}, 2)).toMatchObject({ matched: 4, truncated: true });
  });
});

describe('the wire', () => {
  it('carries a whole filter, and refuses a reason that does not exist', () => {
    expect(wireFilterOf({ protocol: 0, state: 'cut', reason: 'deny-list', verdict: 'denied' })).toMatchObject({
      protocolPlusOne: 1,
      state: Flow_State.CUT,
      reason: Reason.DENY_LIST,
      verdict: 'denied',
      port: 0,
    });
    expect(() => wireFilterOf({ reason: 'bad-luck' })).toThrow(expect.objectContaining({ code: 'INPUT_INVALID' }));
  });

  it('turns what an agent leaves out into null, never into a number', () => {
    const { balancers } = balancerListOf(
      ListBalancersResponse.fromPartial({ balancers: [{ mapping: 'web', backends: [{ name: 'a' }] }] }),
      5,
    );
    expect(balancers[0]).toMatchObject({ nat: 'dnat', affinity: 'none', healthCheck: null });
    expect(balancers[0]?.backends[0]).toMatchObject({
      port: null,
      healthSince: null,
      liveFlows: null,
      health: 'unknown',
      wanted: 'up',
      effective: 'down',
    });
    expect(denyListTableOf(ListDenyListsResponse.fromPartial({ lists: [{ name: 'x' }] }), 5).lists[0]).toMatchObject({
      origin: 'policy',
      file: null,
      expiresAt: null,
      problem: null,
    });
  });
});
