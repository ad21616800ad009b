/** The agent dies under load: packets go on, policy holds, counters continue, and the next agent takes over what it finds. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { agentArgv } from '../lab/agent-config.ts';
import { command } from '../lab/command.ts';
import { hosts, Lab } from '../lab/lab.ts';
import { serverPorts } from '../lab/topology.ts';
import { datagramCounters, queueDrops } from '../support/kernel-counters.ts';
import { eventually, LabConsole } from '../support/lab-console.ts';
import { emptyPolicy, labMapping, labPolicy } from '../support/lab-policy.ts';

const lab = Lab.attach();
const host = hosts[1];
if (host === undefined) throw new Error('the lab has a second host');
const packetsPerSecond = 50_000;
const payloadBytes = 64;
const loadSeconds = 8;
/** The generator shares two cores with everything else: below this share of its rate the run says nothing. */
const rateShareMin = 0.5;
const policy = labPolicy([
  labMapping('allow-load', { action: 'allow', protocols: ['udp'], ports: [String(serverPorts.iperf)] }),
  labMapping('deny-web', { action: 'deny', protocols: ['tcp'], ports: [String(serverPorts.http)] }),
]);

interface LinkReport {
  readonly xdp?: { readonly prog?: { readonly id: number } };
}
/** Number of the program on each interface of the host. */
const programs = async (): Promise<readonly (number | undefined)[]> =>
  Promise.all(
    ['lan0', 'wan0', 'mgmt0'].map(
      async (name) =>
        (JSON.parse(await command(['ip', '-n', host.namespace, '-json', '-details', 'link', 'show', name])) as LinkReport[])[0]?.xdp?.prog
          ?.id,
    ),
  );

/** Every queue a datagram passes on its way, in order. */
const queues = [
  ['client', 'c-2'],
  [host.name, 'lan0'],
  [host.name, 'wan0'],
  ['server', 's-2'],
] as const;
const dropsAlong = (): Promise<readonly number[]> => Promise.all(queues.map(([place, link]) => queueDrops(lab, place, link)));

/**
 * Datagrams that reached the server's IP layer. The UDP counters would not do: the kernel counts a datagram as received
 * when the program reads it, so that what is still in the buffer when iperf3 closes its socket is in no counter.
 */
const countArrivals = async (): Promise<void> => {
  const rules =
    'add table inet nest_test; add chain inet nest_test input { type filter hook input priority 0; }; add rule inet nest_test input meta l4proto udp counter';
  const { code, stderr } = await lab.exec('server', ['nft', rules]);
  if (code !== 0) throw new Error(`nft: ${stderr}`);
};
const arrivals = async (): Promise<number> => {
  const { stdout } = await lab.exec('server', ['nft', 'list', 'table', 'inet', 'nest_test']);
  const packets = /counter packets (\d+)/.exec(stdout)?.[1];
  if (packets === undefined) throw new Error(`nft shows no counter: ${stdout}`);
  return Number(packets);
};

const canFetch = async (port: number): Promise<boolean> =>
  (await lab.exec('client', ['curl', '-s', '-o', '/dev/null', '--max-time', '1', `http://${host.server4}:${port}/`])).code === 0;
const loadCount = async (console_: LabConsole): Promise<number> =>
  (await console_.counters(host)).mappings.find((row) => row.mapping === 'allow-load')?.packets ?? 0;
const generationOf = async (console_: LabConsole): Promise<string> =>
  (await console_.handlers['policy.get']({ hostId: console_.hostId(host) }, console_.signal)).generation;

let console_: LabConsole;
beforeAll(async () => {
  console_ = await LabConsole.open();
  await console_.enforce(policy, [host]);
  await countArrivals();
});
afterAll(async () => {
  await console_.enforce(emptyPolicy, [host]);
  await console_[Symbol.asyncDispose]();
});

describe('kill -9 of the agent', () => {
  it(`loses no packet of ${packetsPerSecond} a second, keeps the policy and the counters, and the next agent adopts`, async () => {
    const before = {
      client: await datagramCounters(lab, 'client'),
      server: await datagramCounters(lab, 'server'),
      drops: await dropsAlong(),
      arrived: await arrivals(),
      counted: await loadCount(console_),
      programs: await programs(),
      generation: await generationOf(console_),
    };
    expect(
      before.programs.every((id) => id !== undefined),
      'a program is attached everywhere',
    ).toBe(true);
    const bits = packetsPerSecond * payloadBytes * 8;
    const load = lab.exec(
      'client',
      ['iperf3', '-c', host.server4, '-u', '-b', String(bits), '-l', String(payloadBytes), '-t', String(loadSeconds), '--json'],
      { timeoutMs: 40_000 },
    );

    await sleep(2000);
    const killed = lab.agentProcess(host);
    await lab.stopAgent(host, 'kill');
    expect(lab.agentProcess(host), 'the agent is dead').toBeUndefined();
    expect(await canFetch(serverPorts.http), 'what was denied stays denied').toBe(false);
    expect(await canFetch(serverPorts.httpAlternate), 'what was allowed stays allowed').toBe(true);
    expect(await programs()).toEqual(before.programs);
    const started = await lab.startAgent(host, AbortSignal.timeout(30_000));
    expect(started.pid).not.toBe(killed?.pid);
    expect(await programs(), 'the same programs after the restart').toEqual(before.programs);

    const report = JSON.parse((await load).stdout) as { end: { sum: { packets: number; seconds: number } } };
    const { client, server, drops } = {
      client: await datagramCounters(lab, 'client'),
      server: await datagramCounters(lab, 'server'),
      drops: await dropsAlong(),
    };
    const sent = client.sent - before.client.sent;
    const lost = drops.map((count, at) => count - (before.drops[at] ?? 0));
    const named = queues.map(([place, link], at) => `${place} ${link} ${lost[at] ?? 0}`).join(', ');
    const arrived = (await arrivals()) - before.arrived;
    const read = server.arrived - before.server.arrived;
    console.log(
      `sent ${sent} datagrams, ${Math.round(sent / loadSeconds)} a second, ${arrived} arrived, ${read} read by iperf3; dropped by overrun queues: ${named}`,
    );
    expect(report.end.sum.packets / loadSeconds).toBeGreaterThan(packetsPerSecond * rateShareMin);

    await console_.connected([host]);
    // The program of lan0 sees what the queues before it let through.
    const expected = before.counted + sent - (lost[0] ?? 0) - (lost[1] ?? 0) + (server.sent - before.server.sent);
    const counted = await eventually('the counters after the restart', 10_000, async () => {
      const now = await loadCount(console_);
      return now >= expected ? now : undefined;
    });
    expect(counted, 'counted by both agents together').toBe(expected);
    // A queue that overflows on a busy machine is the kernel's loss, and the kernel counts it; any other is the product's.
    expect(arrived, `dropped by overrun queues: ${named}`).toBe(sent - lost.reduce((total, count) => total + count, 0));
    expect(await generationOf(console_)).toBe(before.generation);
  });

  it('says in its status that it adopted the data path', async () => {
    await lab.stopAgent(host, 'kill');
    const before = await programs();
    await lab.startAgent(host, AbortSignal.timeout(30_000));
    const status = await command(agentArgv(host, ['status', '--json']));
    expect(JSON.parse(status)).toMatchObject({ traffic: { adopted: true } });
    expect(await programs()).toEqual(before);
    await console_.connected([host]);
  });
});
