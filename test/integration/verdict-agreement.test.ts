/**
 * Three judges, one verdict: the trace of the loaded program, the very same packet really sent through it, and the slow
 * TypeScript reference host agree for thousands of random packets against a random policy. The seed is printed;
 * NEST_SEED repeats a run.
 */
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { existsSync, rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compilePolicy, loadNative, bpfObjectPath, parsePolicy, type Counters, type DataPath } from '../../native/index.ts';
import { isDropped, reasonName } from '../../proto/model/reason.ts';
import { packetTool } from '../lab/agent-config.ts';
import { command } from '../lab/command.ts';
import { PacketStream } from '../support/packet-random.ts';
import { Random, randomPolicy } from '../support/random-policy.ts';
import { ReferenceHost } from '../support/reference-model.ts';

const packetCount = 10_000;
const mappingCount = 200;
const sender = 'nest-wire-tx';
const receiver = 'nest-wire-rx';
const pinPath = '/sys/fs/bpf/nest-wire';
/** Byte of struct nest_trace that holds the reason. */
const traceReasonOffset = 8;
const ethernetBytes = 14;
const arrivalMs = 2000;

/** Sends one packet through the veth and resolves when the tool has handed it to the kernel. */
const sendPacket = async (packet: Uint8Array): Promise<void> => {
  const child = spawn(packetTool, ['send', '--interface', sender], { stdio: ['pipe', 'ignore', 'inherit'] });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  child.once('error', reject).once('close', (code) => (code === 0 ? resolve() : reject(new Error(`nest-packet ended with ${code}`))));
  const prefix = Buffer.alloc(4);
  prefix.writeUInt32LE(packet.length);
  child.stdin.end(Buffer.concat([prefix, packet]));
  await promise;
};

const reasonsOf = (counters: Counters): BigUint64Array => counters.interfaces.find(({ name }) => name === receiver)?.reasons ?? new BigUint64Array();

/** The one reason whose packets grew by one. Throws when it was none or more. */
const grownReason = (before: BigUint64Array, after: BigUint64Array): string | undefined => {
  const grown: string[] = [];
  for (let reason = 0; reason < after.length / 2; reason += 1) {
    const packets = (after[2 * reason] ?? 0n) - (before[2 * reason] ?? 0n);
    for (let index = 0n; index < packets; index += 1n) grown.push(reasonName(reason));
  }
  if (grown.length > 1) throw new Error(`one packet was counted as ${grown.join(' and ')}`);
  return grown[0];
};

const judgeReally = async (dataPath: DataPath, packet: Uint8Array): Promise<string> => {
  const before = reasonsOf(dataPath.counters());
  await sendPacket(packet);
  const deadline = performance.now() + arrivalMs;
  for (;;) {
    const reason = grownReason(before, reasonsOf(dataPath.counters()));
    if (reason !== undefined) return reason;
    if (performance.now() > deadline) throw new Error(`the packet ${Buffer.from(packet).toString('hex')} never arrived`);
  }
};

/** Packets the receiver's program dropped, as the driver counted them. */
const driverDrops = async (): Promise<number> =>
  [...(await command(['ethtool', '-S', receiver])).matchAll(/rx_queue_\d+_xdp_drops: (\d+)/g)].reduce((sum, [, count]) => sum + Number(count), 0);

let dataPath: DataPath | undefined;
const removeWire = async (): Promise<void> => {
  if (existsSync(`/sys/class/net/${sender}`)) await command(['ip', 'link', 'delete', sender]);
  rmSync(pinPath, { recursive: true, force: true });
};

beforeAll(async () => {
  await removeWire();
  await command(['ip', 'link', 'add', sender, 'type', 'veth', 'peer', 'name', receiver]);
  // No packet but the test's own: no router solicitation, no listener report.
  await command(['sysctl', '-q', '-w', `net.ipv6.conf.${sender}.disable_ipv6=1`, `net.ipv6.conf.${receiver}.disable_ipv6=1`]);
  await command(['ip', 'link', 'set', sender, 'up']);
  await command(['ip', 'link', 'set', receiver, 'up']);
  dataPath = await loadNative().open({ objectPath: bpfObjectPath(), pinPath });
  await dataPath.attach(receiver);
});
afterAll(async () => {
  await dataPath?.remove();
  await removeWire();
});

describe('trace, real packet and reference model', () => {
  it(`agree on verdict and reason for ${packetCount} random packets against a random policy of ${mappingCount} mappings`, { timeout: 600_000 }, async () => {
    if (dataPath === undefined) throw new Error('the data path is not open');
    const seed = Number(process.env['NEST_SEED'] ?? randomInt(2 ** 31));
    console.log(`seed ${seed}`);
    const random = new Random(seed);
    const policy = randomPolicy(random, { mappings: mappingCount });
    const reference = new ReferenceHost(policy);
    await dataPath.swap(compilePolicy(parsePolicy(policy)).image, dataPath.state().sequence + 1);
    const stream = new PacketStream(random, policy);
    const seen = new Map<string, number>();
    const dropsBefore = await driverDrops();
    let dropped = 0;
    for (let done = 0; done < packetCount; ) {
      const packet = stream.next();
      if (packet.length < ethernetBytes) continue; // no wire carries less than an Ethernet header
      const traced = await dataPath.trace(packet, receiver);
      const expected = reference.receive(packet, performance.now());
      const real = await judgeReally(dataPath, packet);
      const tracedReason = reasonName(traced.trace.readUInt8(traceReasonOffset));
      const label = `packet ${done} of seed ${seed}: ${Buffer.from(packet).toString('hex')}`;
      expect({ traced: tracedReason, real }, label).toEqual({ traced: expected.reason, real: expected.reason });
      expect(traced.verdict, label).toBe(expected.verdict);
      expect(isDropped(expected.reason) ? 'drop' : 'pass', label).toBe(expected.verdict);
      if (expected.verdict === 'drop') dropped += 1;
      seen.set(expected.reason, (seen.get(expected.reason) ?? 0) + 1);
      done += 1;
    }
    console.log([...seen].map(([reason, count]) => `${reason} ${count}`).join(', '));
    expect((await driverDrops()) - dropsBefore, 'the driver dropped exactly what was to be dropped').toBe(dropped);
    // A run in which everything has the same fate proves nothing.
    for (const reason of ['FLOW', 'POLICY_ALLOW', 'POLICY_DENY', 'TRUNCATED']) expect(seen.get(reason) ?? 0, reason).toBeGreaterThan(0);
  });
});
