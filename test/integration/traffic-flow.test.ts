/** Real clients and servers through the enforcing hosts: what flows, what a deny cuts, what undo brings back. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tryCommand } from '../lab/command.ts';
import { hosts, Lab } from '../lab/lab.ts';
import { serverPorts, vlanClient4 } from '../lab/topology.ts';
import { emptyPolicy, labMapping, labPolicy, watchingPolicy } from '../support/lab-policy.ts';
import { eventually, LabConsole } from '../support/lab-console.ts';

const lab = Lab.attach();
let console_: LabConsole;
const [edge1, edge2, edge3] = hosts;
if (edge1 === undefined || edge2 === undefined || edge3 === undefined) throw new Error('the lab has three hosts');

const curl = async (url: string, ...options: string[]): Promise<boolean> =>
  (await lab.exec('client', ['curl', '-sS', '-g', '-o', '/dev/null', '--max-time', '2', ...options, url])).code === 0;
const http4 = (number: number): string => `http://198.19.${number}.10/`;
const http6 = (number: number): string => `http://[2001:db8:2:${number}::10]/`;

beforeAll(async () => {
  console_ = await LabConsole.open();
  await console_.enforce(emptyPolicy, hosts);
});
afterAll(async () => {
  await console_.enforce(emptyPolicy, hosts);
  await console_[Symbol.asyncDispose]();
});

describe('the lab', () => {
  it('carries HTTP over IPv4, IPv6 and the VLAN, ICMP of both families, and bulk TCP', async () => {
    for (const { number } of hosts) {
      expect(await curl(http4(number)), http4(number)).toBe(true);
      expect(await curl(http6(number)), http6(number)).toBe(true);
      expect((await lab.exec('client', ['ping', '-c', '2', '-i', '0.2', '-W', '2', `198.19.${number}.10`])).code).toBe(0);
      expect((await lab.exec('client', ['ping', '-c', '2', '-i', '0.2', '-W', '2', `2001:db8:2:${number}::10`])).code).toBe(0);
    }
    expect(await curl(http4(1), '--interface', vlanClient4)).toBe(true);
    const bulk = await lab.exec('client', ['iperf3', '-c', edge2.server4, '-t', '1', '--json']);
    const report = JSON.parse(bulk.stdout) as { end: { sum_received: { bits_per_second: number } } };
    expect(report.end.sum_received.bits_per_second).toBeGreaterThan(50e6);
  });

  it('puts the VLAN tag on the wire where the packet program sees it', async () => {
    let isCaptured = false;
    const capture = lab
      .exec('edge-1', ['timeout', '10', 'tcpdump', '-c', '1', '-nei', 'lan0', 'vlan', '120', 'and', 'tcp'], { timeoutMs: 15_000 })
      .finally(() => (isCaptured = true));
    await eventually('a tagged packet', 9000, async () => {
      await curl(http4(1), '--interface', vlanClient4);
      return isCaptured ? true : undefined;
    });
    expect((await capture).stdout).toContain('vlan 120');
  });
});

describe('a deny mapping', () => {
  const policy = labPolicy([labMapping('block-web', { action: 'deny', protocols: ['tcp'], ports: [String(serverPorts.http)] })]);

  it('cuts HTTP of both families and the VLAN on three hosts, spares the rest, and undo brings it back', async () => {
    const rollout = await console_.apply(policy, { hosts });
    for (const { number } of hosts) {
      expect(await curl(http4(number)), `${http4(number)} is cut`).toBe(false);
      expect(await curl(http6(number)), `${http6(number)} is cut`).toBe(false);
      expect(await curl(`http://198.19.${number}.10:${serverPorts.httpAlternate}/`), 'the other port is spared').toBe(true);
    }
    expect(await curl(http4(1), '--interface', vlanClient4), 'the VLAN is cut').toBe(false);
    expect((await lab.exec('client', ['ping', '-c', '1', '-W', '2', edge1.server4])).code, 'ICMP is spared').toBe(0);
    await console_.undo(rollout);
    for (const { number } of hosts) {
      expect(await curl(http4(number)), `${http4(number)} is back`).toBe(true);
      expect(await curl(http6(number)), `${http6(number)} is back`).toBe(true);
    }
  });

  it('is named by the counters and by the flows of the host that enforced it', async () => {
    await console_.enforce(policy, [edge2]);
    expect(await curl(http4(2))).toBe(false);
    const mapping = await eventually('the counter of block-web', 5000, async () =>
      (await console_.counters(edge2)).mappings.find((row) => row.mapping === 'block-web' && row.packets > 0),
    );
    expect(mapping.action).toBe('deny');
    const flow = await eventually('the denied flow', 5000, async () =>
      (
        await console_.handlers['host.flows']({ hostId: console_.hostId(edge2), verdict: 'denied', mapping: 'block-web' }, console_.signal)
      ).flows.find((row) => row.destination === edge2.server4),
    );
    expect(flow).toMatchObject({
      source: edge2.client4,
      destinationPort: serverPorts.http,
      allowed: false,
      mapping: 'block-web',
      interface: 'lan0',
    });
    await console_.enforce(emptyPolicy, [edge2]);
  });

  it('cuts a transfer that is under way at its next packet, and the plan named that flow before', async () => {
    await console_.enforce(watchingPolicy, [edge3]);
    const transfer = tryCommand(
      [
        'ip',
        'netns',
        'exec',
        'nest-client',
        'iperf3',
        '-c',
        edge3.server4,
        '-t',
        '8',
        '-b',
        '5M',
        '--connect-timeout',
        '2000',
        '--snd-timeout',
        '2000',
      ],
      { timeoutMs: 12_000 },
    );
    const cutting = labPolicy([labMapping('block-bulk', { action: 'deny', protocols: ['tcp'], ports: [String(serverPorts.iperf)] })]);
    const hostIds = [console_.hostId(edge3)];
    const change = await eventually('the flow in the plan', 7000, async () => {
      const plan = await console_.handlers['policy.plan']({ policy: JSON.stringify(cutting), hostIds }, console_.signal);
      return plan.hosts[0]?.impact?.changes.find(({ flow, allowed }) => !allowed && flow.destinationPort === serverPorts.iperf);
    });
    expect(change).toMatchObject({ mapping: 'block-bulk', flow: { source: edge3.client4, destination: edge3.server4, protocol: 'tcp' } });
    const rollout = await console_.apply(cutting, { hosts: [edge3] });
    expect((await transfer).code, 'iperf3 lost its connection').not.toBe(0);
    await console_.undo(rollout);
  });
});
