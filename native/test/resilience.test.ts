/** What becomes of the data path when the world around it changes, on real interfaces; agents that die are in adopt.test.ts. */
import { execFileSync, spawnSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DataPath } from '../addon.ts';
import {
  addInterface,
  dumpTable,
  generate,
  onPeer,
  openDataPath,
  packetTool,
  reasonNumber,
  recordBytes,
  removeInterface,
  suite,
} from './support/data-path.ts';
import { frame4, framed, tcp, tcpFlag } from './support/packets.ts';
import { mapping, server4, webPolicy } from './support/policies.ts';

let dataPath: DataPath;
let pinPath: string;

beforeAll(async () => {
  ({ dataPath, pinPath } = await openDataPath());
});

afterAll(async () => {
  await dataPath.remove();
});

const ip = (...args: readonly string[]): string => execFileSync('ip', args, { encoding: 'utf8' });
const web = (from: string): Buffer => frame4({ from, to: server4, protocol: 6, payload: tcp({ from: 1, to: 443, flags: tcpFlag.ack }) });
const load = async (): Promise<void> => {
  await dataPath.swap(webPolicy(), dataPath.state().sequence + 1);
};
const counted = (): bigint => dataPath.counters().active.values[mapping.allowWeb * 2] ?? 0n;

describe('an interface', () => {
  it('that goes down and comes up again keeps its policy and its counters', async () => {
    await dataPath.attach('v0');
    await load();
    const send = (): void => {
      onPeer(packetTool, ['send', '--interface', 'v1', '--count', '100'], framed([web('198.18.1.1')]));
    };
    send();
    ip('link', 'set', 'v0', 'down');
    ip('link', 'set', 'v0', 'up');
    // Going down takes the IPv6 addresses away.
    ip('addr', 'add', '2001:db8::1/64', 'dev', 'v0', 'nodad');
    // The other end has its carrier back when it can send again.
    for (let attempt = 0; attempt < 100 && !onPeer('cat', ['/sys/class/net/v1/carrier']).toString().startsWith('1'); attempt += 1)
      await new Promise((resolve) => setTimeout(resolve, 10));
    send();
    expect(dataPath.state().interfaces.map(({ name }) => name)).toEqual(['v0']);
    expect(counted()).toBe(200n);
    await dataPath.detach('v0');
  });

  it('that moves to another network namespace keeps its policy there until it is detached', async () => {
    ip('link', 'add', 'move0', 'type', 'veth', 'peer', 'name', 'move1');
    await dataPath.attach('move0');
    ip('link', 'set', 'move0', 'netns', suite.peer());
    const there = (): string => ip('-n', suite.peer(), 'link', 'show', 'move0');
    expect(there()).toContain(`id ${String(dataPath.state().programId)}`);
    await expect(dataPath.attach('move0')).rejects.toMatchObject({ code: 'NATIVE_INTERFACE_UNKNOWN' });
    expect(await dataPath.detach('move0')).toBe(true);
    expect(there()).not.toContain('xdp');
    ip('-n', suite.peer(), 'link', 'del', 'move0');
  });

  it('that moved away is let go by the process that takes over', async () => {
    ip('link', 'add', 'move0', 'type', 'veth', 'peer', 'name', 'move1');
    addInterface('stay0');
    await dataPath.attach('move0');
    await dataPath.attach('stay0');
    ip('link', 'set', 'move0', 'netns', suite.peer());
    await dataPath.close();
    ({ dataPath } = await openDataPath(pinPath));
    expect(dataPath.state().interfaces.map(({ name }) => name)).toEqual(['stay0']);
    expect(ip('-n', suite.peer(), 'link', 'show', 'move0')).not.toContain('xdp');
    spawnSync('ip', ['-n', suite.peer(), 'link', 'del', 'move0']);
    await dataPath.detach('stay0');
    removeInterface('stay0');
  });
});

describe('more flows than the table holds', () => {
  it('are all judged right: the oldest give way, and what is not known is judged anew', { timeout: 120_000 }, async () => {
    await dataPath.attach('v0');
    await load();
    const before = dataPath.counters();
    const perSource = 65_536;
    const sources = 4;
    for (let source = 1; source <= sources; source += 1) {
      const sent = await generate(web(`198.18.1.${String(source)}`), [
        '--count',
        String(perSource),
        '--rate',
        '60000',
        '--vary-offset',
        '34',
        '--flows',
        String(perSource),
      ]);
      expect(sent).toBe(perSource);
      dataPath.takeRecords(1_000_000);
    }
    const after = dataPath.counters();
    const grown = (name: keyof typeof reasonNumber): bigint => {
      const at = (counters: typeof after): bigint =>
        counters.interfaces.find((each) => each.name === 'v0')?.reasons[reasonNumber[name] * 2] ?? 0n;
      return at(after) - at(before);
    };
    expect(grown('POLICY_ALLOW') + grown('FLOW')).toBe(BigInt(perSource * sources));
    expect(counted()).toBe(BigInt(perSource * sources));
    const live = (await dataPath.flows(1_000_000)).rows.length / recordBytes;
    console.log(`${String(live)} of ${String(perSource * sources)} flows kept; not inserted: ${String(after.losses[2])}`);
    expect(live).toBeLessThanOrEqual(131_072);
    expect(live + Number(after.losses[2])).toBeGreaterThan(50_000);
    // A flow that gave way goes on: judged anew, and still allowed.
    onPeer(packetTool, ['send', '--interface', 'v1', '--count', '10'], framed([web('198.18.1.1')]));
    expect(counted()).toBe(BigInt(perSource * sources + 10));
    await dataPath.detach('v0');
  });

  it('leave the tables of the policy alone', () => {
    expect(dumpTable(pinPath, 'nest_pairs').length).toBe(4);
  });
});
