/** Every packet that was sent is counted once: per mapping, per reason, per interface. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { HostCounters } from '../../desktop/bridge/model.ts';
import { nodePath } from '../lab/agent-config.ts';
import { hosts, Lab } from '../lab/lab.ts';
import { datagramCounters, queueDrops } from '../support/kernel-counters.ts';
import { eventually, LabConsole } from '../support/lab-console.ts';
import { emptyPolicy, labMapping, labPolicy } from '../support/lab-policy.ts';

const lab = Lab.attach();
const host = hosts[0];
if (host === undefined) throw new Error('the lab has a first host');
const generator = join(import.meta.dirname, 'datagrams.ts');
const ratePerSecond = 20_000;

const plan = [
  { address: host.server4, port: 7001, count: 31_000, mapping: 'count-allow' },
  { address: host.server6, port: 7001, count: 19_000, mapping: 'count-allow' },
  { address: host.server4, port: 7002, count: 23_000, mapping: 'count-deny' },
  { address: host.server6, port: 7002, count: 17_000, mapping: 'count-deny' },
  { address: host.server4, port: 7003, count: 6000, mapping: '' },
  { address: host.server6, port: 7003, count: 4000, mapping: '' },
] as const;
const countOf = (mapping: string): number => plan.filter((row) => row.mapping === mapping).reduce((sum, row) => sum + row.count, 0);
const total = plan.reduce((sum, row) => sum + row.count, 0);
const policy = labPolicy([
  labMapping('count-allow', { action: 'allow', protocols: ['udp'], ports: ['7001'] }),
  labMapping('count-deny', { action: 'deny', protocols: ['udp'], ports: ['7002'] }),
]);

const judged = ['FLOW', 'POLICY_ALLOW', 'POLICY_DENY', 'DEFAULT_ALLOW', 'DEFAULT_DENY', 'NO_POLICY'] as const;
type Reasons = Readonly<Record<(typeof judged)[number], number>>;

const reasonsAt = (counters: HostCounters, name: string): Reasons => {
  const rows = counters.interfaces.find((row) => row.name === name)?.reasons ?? [];
  return Object.fromEntries(judged.map((reason) => [reason, rows.find((row) => row.reason === reason)?.packets ?? 0])) as Reasons;
};
const difference = (after: Reasons, before: Reasons): Reasons =>
  Object.fromEntries(judged.map((reason) => [reason, after[reason] - before[reason]])) as Reasons;
const mappingPackets = (counters: HostCounters, name: string): number =>
  counters.mappings.find((row) => row.mapping === name)?.packets ?? 0;

let console_: LabConsole;
beforeAll(async () => {
  console_ = await LabConsole.open();
  await console_.enforce(policy, [host]);
  // A sink takes the datagrams, so that no "port unreachable" comes back.
  lab.spawn('nest-server', 'udp-sink', [
    nodePath,
    '-e',
    "for (const port of [7001, 7002, 7003]) { const socket = require('node:dgram').createSocket('udp6'); socket.on('message', () => {}); socket.bind(port, '::'); }",
  ]);
  await eventually('the sink', 10_000, async () =>
    (await lab.exec('server', ['ss', '-Hlun'])).stdout.match(/:700[123]\b/g)?.length === 3 ? true : undefined,
  );
});
afterAll(async () => {
  await console_.enforce(emptyPolicy, [host]);
  await console_[Symbol.asyncDispose]();
});

describe('counters', () => {
  it(`count ${total} packets, IPv4 and IPv6, allowed and denied mixed, exactly`, async () => {
    const before = {
      counters: await console_.counters(host),
      client: await datagramCounters(lab, 'client'),
      server: await datagramCounters(lab, 'server'),
      drops: await queueDrops(lab, 'client', 'c-1'),
    };
    const { code, stdout, stderr } = await lab.exec(
      'client',
      [nodePath, generator, String(ratePerSecond), ...plan.map(({ address, port, count }) => `${address},${port},${count}`)],
      { timeoutMs: 60_000 },
    );
    expect(code, stderr).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ sent: total });
    expect((await queueDrops(lab, 'client', 'c-1')) - before.drops, 'the generator overran its own link').toBe(0);
    expect((await datagramCounters(lab, 'client')).sent - before.client.sent).toBe(total);

    const expectedMappings = { allow: countOf('count-allow'), deny: countOf('count-deny'), default: countOf('') };
    const mappingsNow = (counters: HostCounters): typeof expectedMappings => ({
      allow: mappingPackets(counters, 'count-allow') - mappingPackets(before.counters, 'count-allow'),
      deny: mappingPackets(counters, 'count-deny') - mappingPackets(before.counters, 'count-deny'),
      default: reasonsAt(counters, 'lan0').DEFAULT_ALLOW - reasonsAt(before.counters, 'lan0').DEFAULT_ALLOW,
    });
    const after = await eventually('a reading with all packets', 5000, async () => {
      const counters = await console_.counters(host);
      return mappingsNow(counters).deny >= expectedMappings.deny ? counters : undefined;
    });
    // Four allowed conversations: the first packet of each is judged, the others belong to its flow.
    expect(difference(reasonsAt(after, 'lan0'), reasonsAt(before.counters, 'lan0'))).toEqual({
      FLOW: expectedMappings.allow + expectedMappings.default - 4,
      POLICY_ALLOW: 2,
      DEFAULT_ALLOW: 2,
      POLICY_DENY: expectedMappings.deny,
      DEFAULT_DENY: 0,
      NO_POLICY: 0,
    });
    expect(mappingsNow(after)).toEqual({ allow: expectedMappings.allow, deny: expectedMappings.deny, default: 2 });
    expect(
      mappingPackets(after, '') - mappingPackets(before.counters, ''),
      'the default action, over all interfaces',
    ).toBeGreaterThanOrEqual(expectedMappings.default);
    expect(difference(reasonsAt(after, 'wan0'), reasonsAt(before.counters, 'wan0')), 'nothing came back').toEqual({
      FLOW: 0,
      POLICY_ALLOW: 0,
      POLICY_DENY: 0,
      DEFAULT_ALLOW: 0,
      DEFAULT_DENY: 0,
      NO_POLICY: 0,
    });
    expect(
      (await datagramCounters(lab, 'server')).arrived - before.server.arrived,
      'what was allowed arrived, what was denied did not',
    ).toBe(expectedMappings.allow + expectedMappings.default);
  });
});
