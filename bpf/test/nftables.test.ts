/**
 * The kernel as judge: random policies, compiled once to tables of the data path and once to rules of nftables, meet the same
 * packets, really sent through two veth pairs; both must let the same ones pass. The seed is printed; NEST_SEED repeats a run,
 * and the seed of a mismatch puts its policy first.
 *
 * Fragments and malformed packets are left out: the kernel's stack drops or joins some of them before nftables sees them, so
 * that its answer would not be that of a rule. Balancing, limits and source NAT have no first packet that is judged alone.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compilePolicy, parsePolicy } from '../../native/index.ts';
import type { DataPath, Policy, PolicyDenyList } from '../../native/index.ts';
import { nameOfReason, openDataPath, packetTool, removeInterface } from '../../native/test/support/data-path.ts';
import { framed } from '../../native/test/support/packets.ts';
import { nftablesOf } from '../../test/support/nftables.ts';
import { Random, randomIpv4, randomIpv6, randomPolicy } from '../../test/support/random-policy.ts';
import { firstPackets, macOf } from './support/first-packets.ts';
import type { FirstPacket } from './support/first-packets.ts';

const policyCount = 20;
const packetCount = 1000;
const mappingCount = 30;
/** Packets on the wire at once: a veth with a program queues 256, and one without 1,000 (net.core.netdev_max_backlog). */
const batchMax = { nest: 200, nftables: 500 };
const arrivalMs = 5000;
const commandMs = 10_000;
const mismatchesShown = 3;
const fairShare = 0.1;

/** `tx` is where the test sends, `rx` where the packets are judged. */
const links = { nest: { tx: 'nft-nest-tx', rx: 'nft-nest-rx' }, nftables: { tx: 'nft-kernel-tx', rx: 'nft-kernel-rx' } } as const;
const [rules, witness] = ['nest_t_rules', 'nest_t_witness'];
/** The first packet of any flow is judged by these. */
const judged = ['POLICY_ALLOW', 'DEFAULT_ALLOW', 'NEIGHBOR_DISCOVERY', 'POLICY_DENY', 'DEFAULT_DENY', 'DENY_LIST'];

const ip = (...args: readonly string[]): void => {
  execFileSync('ip', args, { stdio: ['ignore', 'inherit', 'inherit'], timeout: commandMs });
};
const nft = (args: readonly string[], input = ''): string => {
  const { status, stdout, stderr } = spawnSync('nft', args, { input, encoding: 'utf8', timeout: commandMs, maxBuffer: 16 << 20 });
  if (status !== 0) throw new Error(`nft ${args.join(' ')}: ${stderr.slice(0, 1000)}`);
  return stdout;
};
const hasNft = spawnSync('nft', ['--version']).status === 0;
if (!hasNft) console.log('SKIP nftables: the nft program is not installed (build/setup.ts installs it)');

/**
 * Writes down who came (before the rules) and who was let through (behind them), by Ethernet address, and ends every packet: the
 * kernel answers and forwards nothing. On the data path's link the same chain sees what its program passed.
 */
const witnessTable = `
table inet ${witness} {
  set arrived { type ether_addr; size 65536; flags dynamic; }
  set nftables { type ether_addr; size 65536; flags dynamic; }
  set nest { type ether_addr; size 65536; flags dynamic; }
  chain before {
    type filter hook prerouting priority raw - 10; policy accept;
    iifname "${links.nftables.rx}" add @arrived { ether saddr }
  }
  chain behind {
    type filter hook prerouting priority raw + 10; policy accept;
    iifname "${links.nftables.rx}" add @nftables { ether saddr } drop
    iifname "${links.nest.rx}" add @nest { ether saddr } drop
  }
}
`;

type Witnessed = Readonly<Record<'arrived' | 'nftables' | 'nest', ReadonlySet<string>>>;

const readWitness = (): Witnessed => {
  const { nftables } = JSON.parse(nft(['-j', 'list', 'table', 'inet', witness])) as {
    readonly nftables: readonly { readonly set?: { readonly name: string; readonly elem?: readonly string[] } }[];
  };
  const elements = (name: string): ReadonlySet<string> => new Set(nftables.find(({ set }) => set?.name === name)?.set?.elem);
  return { arrived: elements('arrived'), nftables: elements('nftables'), nest: elements('nest') };
};

let dataPath: DataPath;

const reasons = (): ReadonlyMap<string, number> => {
  const values = dataPath.counters().interfaces.find(({ name }) => name === links.nest.rx)?.reasons ?? new BigUint64Array();
  return new Map(
    Array.from({ length: values.length / 2 }, (_, reason) => [nameOfReason(reason) ?? String(reason), Number(values[2 * reason])]),
  );
};
const reasonsSince = (before: ReadonlyMap<string, number>): ReadonlyMap<string, number> =>
  new Map([...reasons()].map(([name, count]) => [name, count - (before.get(name) ?? 0)]));
const sum = (counts: Iterable<number>): number => [...counts].reduce((total, count) => total + count, 0);

const waitUntil = async (what: string, isSo: () => boolean): Promise<void> => {
  const deadline = performance.now() + arrivalMs;
  while (!isSo()) {
    if (performance.now() > deadline) throw new Error(`after ${String(arrivalMs)} ms not so: ${what}`);
    await sleep(1);
  }
};

const send = (link: string, packets: readonly FirstPacket[]): void => {
  execFileSync(packetTool, ['send', '--interface', link], { input: framed(packets.map(({ bytes }) => bytes)), timeout: commandMs });
};

/** Sends the packets through both links; who passed, and the reasons of the data path. */
const judgeBoth = async (packets: readonly FirstPacket[]): Promise<{ passed: Witnessed; reasons: ReadonlyMap<string, number> }> => {
  const before = reasons();
  for (let done = 0; done < packets.length; done += batchMax.nftables)
    send(links.nftables.tx, packets.slice(done, done + batchMax.nftables));
  for (let done = 0; done < packets.length; done += batchMax.nest) {
    const batch = packets.slice(done, done + batchMax.nest);
    send(links.nest.tx, batch);
    await waitUntil('the data path counted every packet', () => sum(reasonsSince(before).values()) === done + batch.length);
  }
  const counts = reasonsSince(before);
  const allowed = judged.slice(0, 3).reduce((total, name) => total + (counts.get(name) ?? 0), 0);
  let passed = readWitness();
  await waitUntil('every packet came to nftables, and what the data path passed to the stack', () => {
    passed = readWitness();
    return passed.arrived.size === packets.length && passed.nest.size === allowed;
  });
  return { passed, reasons: counts };
};

const withDenyLists = (random: Random, policy: ReturnType<typeof randomPolicy>): Policy => {
  const prefix = (): string => {
    if (random.chance(0.4)) return random.chance(0.5) ? randomIpv6(random) : `2001:db8:${String(random.between(0, 3))}:2::/64`;
    return random.chance(0.7) ? randomIpv4(random) : `198.${String(random.between(18, 19))}.${String(random.between(0, 3))}.0/24`;
  };
  const list = (position: number): PolicyDenyList => ({
    name: `list-${String(position)}`,
    prefixes: Array.from({ length: random.between(0, 6) }, prefix),
  });
  return parsePolicy({ ...policy, denyLists: Array.from({ length: random.between(0, 2) }, (_, position) => list(position)) });
};

const load = async (policy: Policy): Promise<void> => {
  await dataPath.swap(compilePolicy(policy).image, dataPath.state().sequence + 1);
  const fresh = (table: string): string => `add table inet ${table}\ndelete table inet ${table}\n`;
  nft(['-f', '-'], `${fresh(rules)}${fresh(witness)}${nftablesOf(policy, { table: rules, link: links.nftables.rx })}${witnessTable}`);
};

describe.skipIf(!hasNft)('the data path and nftables', () => {
  beforeAll(async () => {
    for (const { tx, rx } of Object.values(links)) {
      ip('link', 'add', tx, 'type', 'veth', 'peer', 'name', rx);
      // The address that the packets are sent to: the stack drops what is for another host.
      ip('link', 'set', rx, 'address', '02:00:00:00:00:02');
      // The sender says nothing of its own, and the receiver must have IPv6 to look at any.
      execFileSync('sysctl', ['-q', '-w', `net.ipv6.conf.${tx}.disable_ipv6=1`, `net.ipv6.conf.${rx}.disable_ipv6=0`]);
      for (const link of [tx, rx]) ip('link', 'set', link, 'up');
    }
    dataPath = (await openDataPath()).dataPath;
    await dataPath.attach(links.nest.rx);
  });
  afterAll(async () => {
    await dataPath.remove();
    for (const table of [rules, witness]) spawnSync('nft', ['delete', 'table', 'inet', table]);
    for (const { tx } of Object.values(links)) removeInterface(tx);
  });

  it(`let the same packets pass: ${String(policyCount)} random policies, ${String(packetCount)} packets each`, async () => {
    const firstSeed = Number(process.env['NEST_SEED'] ?? randomInt(2 ** 31 - policyCount));
    console.log(`seed ${String(firstSeed)}`);
    const totals = new Map<string, number>();
    for (let seed = firstSeed; seed < firstSeed + policyCount; seed += 1) {
      const random = new Random(seed);
      const policy = withDenyLists(random, randomPolicy(random, { mappings: mappingCount }));
      const packets = firstPackets(random, policy, packetCount);
      await load(policy);
      const { passed, reasons: counts } = await judgeBoth(packets);
      const mismatches = packets.flatMap(({ spec, bytes }, number) => {
        const [nest, nftables] = [passed.nest, passed.nftables].map((set) => (set.has(macOf(number)) ? 'accept' : 'drop'));
        return nest === nftables ? [] : [{ nest, nftables, number, spec, bytes: bytes.toString('hex') }];
      });
      if (mismatches.length > 0) console.error(`seed ${String(seed)}, policy ${JSON.stringify(policy)}`);
      expect(mismatches.slice(0, mismatchesShown), `${String(mismatches.length)} mismatches of seed ${String(seed)}`).toEqual([]);
      for (const [name, count] of counts) if (count > 0) totals.set(name, (totals.get(name) ?? 0) + count);
    }
    console.log([...totals].map(([name, count]) => `${name} ${String(count)}`).join(', '));
    // Every packet was judged by itself, and in every way; and neither answer was that of nearly all.
    expect([...totals.keys()].sort()).toEqual(judged.toSorted());
    const dropped = judged.slice(3).reduce((total, name) => total + (totals.get(name) ?? 0), 0) / (policyCount * packetCount);
    expect(Math.min(dropped, 1 - dropped)).toBeGreaterThan(fairShare);
  });
});
