import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Flow, Flow_State, SummarizeFlowsRequest_By, SummarizeFlowsResponse } from '../../proto/gen/nest/v1/flow.ts';
import { HostStatus } from '../../proto/gen/nest/v1/host.ts';
import { Reason } from '../../proto/gen/nest/v1/reason.ts';
import { Backend_Health, Backend_State, DenyList, DenyList_Origin, ListBalancersResponse } from '../../proto/gen/nest/v1/traffic.ts';
import { openTestConsole } from '../../desktop/cli/test-console.ts';
import type { TestConsole } from '../../desktop/cli/test-console.ts';

const feed = '# feed\n198.18.66.0/24 # bad\n2001:DB8:66::/48,spam\n';
let opened: TestConsole;
const nest: TestConsole['nest'] = (args) => opened.nest(args);

beforeEach(async () => {
  opened = await openTestConsole(feed);
  await nest(['fleet', 'init', 'Test']);
  await opened.addHost(['--yes']);
});
afterEach(() => opened.close());

describe('nest balancers', () => {
  it('lists backends with wanted and present state and the last answer of the check', async () => {
    opened.agent.state.balancers = ListBalancersResponse.fromPartial({
      balancers: [
        {
          mapping: 'web-vip',
          destinations: ['198.18.7.80'],
          protocols: ['tcp'],
          ports: ['443'],
          nat: 'dnat',
          affinity: 'source',
          backends: [
            { name: 'web-1', address: '198.18.9.21', port: 8443, weight: 10, wanted: Backend_State.UP, effective: Backend_State.UP },
            {
              name: 'web-2',
              address: '2001:db8::22',
              port: 8443,
              weight: 10,
              wanted: Backend_State.UP,
              effective: Backend_State.DOWN,
              health: Backend_Health.DOWN,
              healthDetail: 'connection refused',
              liveFlows: 3n,
            },
          ],
        },
      ],
    });
    const { code, out } = await nest(['balancers', 'edge-1']);
    expect(code).toBe(0);
    expect(out).toMatch(/^web-vip {2}198\.18\.7\.80 tcp 443 {2}dnat, affinity source\n/);
    expect(out).toMatch(/web-2 +\[2001:db8::22\]:8443 +10 +up +down +0 +3 +0 +0 +down: connection refused/);
    expect(JSON.parse((await nest(['balancers', 'edge-1', '--json'])).out)).toMatchObject({
      live: true,
      balancers: [{ mapping: 'web-vip', backends: [{ effective: 'up' }, { effective: 'down' }] }],
    });
  });
});

describe('nest deny', () => {
  it('adds from arguments and a file, lists, removes and deletes; the policy’s lists stay', async () => {
    opened.agent.state.denyLists = [
      DenyList.fromPartial({ name: 'scanners', origin: DenyList_Origin.POLICY, prefixes: 3n, problem: 'old' }),
    ];
    expect(await nest(['deny', 'add', 'edge-1', 'incident', '198.18.70.9', '--file', '-', '--expires', '2h'])).toMatchObject({
      code: 0,
      out: 'incident: 3 added, 0 removed, 3 prefixes now.',
    });
    expect([...(opened.agent.state.denied.get('incident') ?? [])]).toEqual(['198.18.70.9', '198.18.66.0/24', '2001:db8:66::/48']);
    const inTwoHours = Number(opened.agent.state.denyLists.find(({ name }) => name === 'incident')?.expiresAtMs) - Date.now();
    expect(inTwoHours).toBeGreaterThan(7_100_000);
    const listed = await nest(['deny', 'list', 'edge-1']);
    expect(listed.out).toMatch(/incident +host +- +3 /);
    expect(listed.out).toContain('scanners: old');
    expect(await nest(['deny', 'remove', 'edge-1', 'incident', '198.18.70.9'])).toMatchObject({
      code: 0,
      out: 'incident: 0 added, 1 removed, 2 prefixes now.',
    });
    expect(await nest(['deny', 'delete', 'edge-1', 'incident'])).toMatchObject({ code: 2, notes: expect.stringContaining('--yes') });
    expect(JSON.parse((await nest(['deny', 'delete', 'edge-1', 'incident', '--yes', '--json'])).out)).toEqual({
      added: 0,
      removed: 2,
      prefixes: 0,
    });
    expect(await nest(['deny', 'add', 'edge-1', 'scanners', '198.18.1.1'])).toMatchObject({
      code: 1,
      notes: expect.stringContaining('INPUT_INVALID'),
    });
  });

  it('sends a long file in several calls and counts them together', async () => {
    const lines = Array.from({ length: 12_345 }, (_, index) => `198.18.${String(index >> 8)}.${String(index & 255)}`);
    await writeFile(join(opened.folder, 'long.txt'), lines.join('\n'));
    expect(await nest(['deny', 'add', 'edge-1', 'long', '--file', join(opened.folder, 'long.txt')])).toMatchObject({
      code: 0,
      out: 'long: 12345 added, 0 removed, 12345 prefixes now.',
    });
  });

  it('takes a CSV file with a heading and quotes', async () => {
    await writeFile(join(opened.folder, 'feed.csv'), 'prefix,source\n"198.18.1.0/24",feed\n198.18.2.1;other\n');
    expect(await nest(['deny', 'add', 'edge-1', 'feed', '--file', join(opened.folder, 'feed.csv')])).toMatchObject({
      code: 0,
      out: 'feed: 2 added, 0 removed, 2 prefixes now.',
    });
  });

  it('names the line of what is no prefix, and wants a time to come', async () => {
    await writeFile(join(opened.folder, 'bad.txt'), '198.18.1.1\nevil\n');
    expect(await nest(['deny', 'add', 'edge-1', 'x', '--file', join(opened.folder, 'bad.txt')])).toMatchObject({
      code: 2,
      notes: expect.stringContaining('line 2: “evil” is no address'),
    });
    expect(await nest(['deny', 'add', 'edge-1', 'x'])).toMatchObject({ code: 2, notes: expect.stringContaining('--file') });
    for (const time of ['soon', '2001-01-01T00:00:00Z', '5'])
      expect(await nest(['deny', 'add', 'edge-1', 'x', '198.18.1.1', '--expires', time]), time).toMatchObject({ code: 2 });
  });
});

describe('nest engines', () => {
  it('shows what serves each interface and why not another, and chooses one', async () => {
    opened.agent.state.status = HostStatus.fromPartial({
      ...opened.agent.state.status,
      interfaces: [
        {
          name: 'wan0',
          engineChoice: 'auto',
          engine: 'xdp-native',
          engineReason: 'the driver has it',
          receiveQueues: 8,
          engines: [{ engine: 'dpdk', available: false, reason: 'no hugepages' }],
        },
      ],
    });
    const { out } = await nest(['engines', 'edge-1']);
    expect(out).toMatch(/wan0 +auto +xdp-native +8 +- +- +the driver has it/);
    expect(out).toContain('wan0 dpdk: not available, no hugepages');
    expect(await nest(['engines', 'edge-1', 'set', 'wan0', 'af_xdp'])).toMatchObject({
      code: 0,
      out: 'wan0 is served by af_xdp now: af_xdp was chosen',
    });
    expect(opened.agent.state.engines.get('wan0')).toBe('af_xdp');
    expect((await nest(['engines', 'edge-1', 'set', 'wan0', 'dpdk'])).out).toBe(
      'wan0 is served by dpdk now: dpdk was chosen\nWarning: Engines do not share flows: put the others on dpdk, too.',
    );
  });

  it('takes an engine off only when told yes, and refuses what is none', async () => {
    expect(await nest(['engines', 'edge-1', 'set', 'wan0', 'off'])).toMatchObject({ code: 2, notes: expect.stringContaining('--yes') });
    expect(opened.agent.state.engines.size).toBe(0);
    expect(JSON.parse((await nest(['engines', 'edge-1', 'set', 'wan0', 'off', '--yes', '--json'])).out)).toEqual({
      engine: null,
      reason: 'off was chosen',
      warning: '',
    });
    expect(await nest(['engines', 'edge-1', 'set', 'wan0', 'fast'])).toMatchObject({
      code: 2,
      notes: expect.stringContaining('auto, xdp'),
    });
    expect(await nest(['engines', 'edge-1', 'set'])).toMatchObject({ code: 2, notes: expect.stringContaining('set <interface> <engine>') });
  });
});

describe('nest flows', () => {
  it('asks with the filter grammar and shows where a flow went on to, and no ICMP identifier as a port', async () => {
    opened.agent.state.flows = [
      Flow.fromPartial({
        source: '198.18.1.10',
        destination: '198.18.7.80',
        sourcePort: 40_000,
        destinationPort: 443,
        protocol: 6,
        state: Flow_State.LIVE,
        allowed: true,
        translation: { source: '198.18.1.10', destination: '198.18.9.22', sourcePort: 40_000, destinationPort: 8443, backend: 'web-2' },
      }),
      Flow.fromPartial({ source: '198.18.1.10', destination: '198.18.7.1', sourcePort: 77, destinationPort: 77, protocol: 1 }),
    ];
    const { code, out } = await nest(['flows', 'edge-1', 'src:198.18.0.0/16', 'proto:tcp', 'reason:rate-limit', 'last:5m']);
    expect(code).toBe(0);
    expect(out).toMatch(/198\.18\.7\.80:443 +web-2 198\.18\.9\.22:8443 +tcp/);
    expect(out).not.toContain(':77');
    expect(opened.agent.state.flowsAsked).toMatchObject({
      limit: 50,
      windowSeconds: 300,
      filter: { source: '198.18.0.0/16', protocolPlusOne: 7, reason: Reason.RATE_LIMIT },
    });
  });

  it('sums with --top', async () => {
    opened.agent.state.sums = SummarizeFlowsResponse.fromPartial({
      sums: [{ key: '198.18.1.10', flows: 4n, deniedFlows: 1n, count: { packets: 9n, bytes: 900n } }],
      keys: 7n,
      flows: 20n,
      total: { packets: 50n, bytes: 5000n },
    });
    const { out } = await nest(['flows', 'edge-1', 'port:443 verdict:denied', '--top', 'source', '--limit', '1']);
    expect(out).toBe(
      'SOURCE       FLOWS  DENIED  PACKETS  BYTES\n198.18.1.10      4       1        9    900\n1 of 7, of 20 flows and 5000 bytes in all',
    );
    expect(opened.agent.state.sumsAsked).toMatchObject({
      by: SummarizeFlowsRequest_By.SOURCE,
      limit: 1,
      filter: { port: 443, verdict: 'denied' },
    });
  });

  it('says every problem of a filter, and lists the terms in its help', async () => {
    const wrong = await nest(['flows', 'edge-1', 'port:70000', 'colour:red']);
    expect(wrong).toMatchObject({ code: 2, notes: expect.stringContaining('port:70000: “70000” is no port') });
    expect(wrong.notes).toContain('colour:red: There is no “colour:”');
    expect(await nest(['flows', 'edge-1', '--top', 'colour'])).toMatchObject({
      code: 2,
      notes: expect.stringContaining('--top is one of source'),
    });
    expect((await nest(['flows', '--help'])).out).toContain('reason:rate-limit');
  });
});
