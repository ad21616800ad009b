/**
 * Three judges, one verdict: the trace of the loaded program, the very same packet really sent through it, and the slow
 * TypeScript reference host agree for thousands of random packets against a random policy. The seed is printed;
 * NEST_SEED repeats a run.
 */
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { existsSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compilePolicy, loadNative, bpfObjectPath, parsePolicy, type Counters, type DataPath } from '../../native/index.ts';
import type { PolicyDocument } from '../../native/image/policy-schema.ts';
import { isDropped, reasonName } from '../../proto/model/reason.ts';
import { packetTool } from '../lab/agent-config.ts';
import { command } from '../lab/command.ts';
import { PacketStream } from '../support/packet-random.ts';
import { Random, randomPolicy } from '../support/random-policy.ts';
import { ReferenceHost } from '../support/reference-model.ts';

const packetCount = 10_000;
/**
 * Flows and clocks begin anew after so many: a round lasts a second or two, far less than the shortest idle limit of 10 s, so
 * that no verdict hangs on which of the three judges looked at its clock last.
 */
const roundPackets = 1_000;
const mappingCount = 200;
const sender = 'nest-wire-tx';
const receiver = 'nest-wire-rx';
const pinPath = '/sys/fs/bpf/nest-wire';
/** Byte of struct nest_trace that holds the reason. */
const traceReasonOffset = 8;
const ethernetBytes = 14;
const arrivalMs = 5000;
/** Packets sent together; far less than a veth queue holds. */
const batchMax = 32;
const policiesTriedMax = 500;
const sampleSize = 500;
const fairShare = 0.1;

/** Sends the packets through the veth and resolves when the tool has handed them to the kernel. */
const sendPackets = async (packets: readonly Uint8Array[]): Promise<void> => {
  const child = spawn(packetTool, ['send', '--interface', sender], { stdio: ['pipe', 'ignore', 'inherit'] });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  child.once('error', reject).once('close', (code) => (code === 0 ? resolve() : reject(new Error(`nest-packet ended with ${code}`))));
  for (const packet of packets) {
    const prefix = Buffer.alloc(4);
    prefix.writeUInt32LE(packet.length);
    child.stdin.write(Buffer.concat([prefix, packet]));
  }
  child.stdin.end();
  await promise;
};

/** Packets by reason on the receiver, so far. */
const reasonsOf = (counters: Counters): readonly number[] => {
  const values = counters.interfaces.find(({ name }) => name === receiver)?.reasons ?? new BigUint64Array();
  return Array.from({ length: values.length / 2 }, (_, reason) => Number(values[2 * reason]));
};
const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

/** Reasons the real packets were counted with, sorted. */
const judgeReally = async (dataPath: DataPath, packets: readonly Uint8Array[]): Promise<readonly string[]> => {
  const before = reasonsOf(dataPath.counters());
  await sendPackets(packets);
  const deadline = performance.now() + arrivalMs;
  for (;;) {
    const grown = reasonsOf(dataPath.counters()).map((count, reason) => count - (before[reason] ?? 0));
    if (sum(grown) >= packets.length)
      return grown.flatMap((count, reason) => Array.from({ length: count }, () => reasonName(reason))).sort();
    if (performance.now() > deadline) throw new Error(`${packets.length - sum(grown)} of ${packets.length} packets never arrived`);
    await sleep(1);
  }
};

/**
 * The two addresses of a packet, in one order for both directions; undefined when it has none that could be read. Packets
 * of different pairs share no flow and no datagram, so that their traces do not depend on each other.
 */
const addressPair = (packet: Uint8Array): string | undefined => {
  const bytes = Buffer.from(packet);
  let offset = 12;
  while (offset + 4 <= bytes.length && [0x8100, 0x88a8].includes(bytes.readUInt16BE(offset))) offset += 4;
  if (offset + 2 > bytes.length) return undefined;
  const isIpv4 = bytes.readUInt16BE(offset) === 0x0800;
  const [start, length] = isIpv4 ? [offset + 14, 4] : [offset + 10, 16];
  return [bytes.toString('hex', start, start + length), bytes.toString('hex', start + length, start + 2 * length)].sort().join();
};

/** The next packets of the stream, each of another address pair; what would be a second one is kept for the next turn. */
const nextBatch = (stream: PacketStream, kept: Uint8Array[], most: number): readonly Uint8Array[] => {
  const pairs = new Set<string>();
  const batch: Uint8Array[] = [];
  while (batch.length < Math.min(batchMax, most)) {
    const packet = kept.pop() ?? stream.next();
    if (packet.length < ethernetBytes) continue; // no wire carries less than an Ethernet header
    const pair = addressPair(packet);
    if (pair !== undefined && pairs.has(pair)) {
      kept.push(packet);
      break;
    }
    if (pair !== undefined) pairs.add(pair);
    batch.push(packet);
  }
  return batch;
};

/** The first policy from the seed on that lets a fair share of packets pass and stops a fair share: else flows are not tried. */
const fairPolicy = (firstSeed: number): { readonly seed: number; readonly policy: PolicyDocument } => {
  for (let seed = firstSeed; seed < firstSeed + policiesTriedMax; seed += 1) {
    const random = new Random(seed);
    const policy = randomPolicy(random, { mappings: mappingCount });
    const [reference, stream] = [new ReferenceHost(policy), new PacketStream(random, policy)];
    const verdicts = Array.from({ length: sampleSize }, (_, at) => reference.receive(stream.next(), at).reason);
    const share = (reasons: readonly string[]): number => verdicts.filter((reason) => reasons.includes(reason)).length / sampleSize;
    if (share(['FLOW', 'POLICY_ALLOW']) > fairShare && share(['POLICY_DENY']) > fairShare) return { seed, policy };
  }
  throw new Error(`no policy of ${policiesTriedMax} from seed ${firstSeed} on both allows and denies`);
};

/** Packets the receiver's program dropped, as the driver counted them. */
const driverDrops = async (): Promise<number> =>
  [...(await command(['ethtool', '-S', receiver])).matchAll(/rx_queue_\d+_xdp_drops: (\d+)/g)].reduce(
    (sum, [, count]) => sum + Number(count),
    0,
  );

let dataPath: DataPath | undefined;

/** A data path without flows that enforces the image. */
const openFresh = async (image: Uint8Array): Promise<DataPath> => {
  await dataPath?.remove();
  dataPath = await loadNative().open({ objectPath: bpfObjectPath(), pinPath });
  await dataPath.attach(receiver);
  await dataPath.swap(image, dataPath.state().sequence + 1);
  return dataPath;
};

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
});
afterAll(async () => {
  await dataPath?.remove();
  await removeWire();
});

describe('trace, real packet and reference model', () => {
  it(
    `agree on verdict and reason for ${packetCount} random packets against a random policy of ${mappingCount} mappings`,
    { timeout: 600_000 },
    async () => {
      const { seed, policy } = fairPolicy(Number(process.env['NEST_SEED'] ?? randomInt(2 ** 31)));
      console.log(`seed ${seed}`);
      const { image } = compilePolicy(parsePolicy(policy));
      let reference = new ReferenceHost(policy);
      let judged = await openFresh(image);
      let roundEnd = roundPackets;
      const stream = new PacketStream(new Random(seed), policy);
      const kept: Uint8Array[] = [];
      const seen = new Map<string, number>();
      const dropsBefore = await driverDrops();
      let dropped = 0;
      for (let done = 0; done < packetCount;) {
        if (done >= roundEnd) {
          reference = new ReferenceHost(policy);
          judged = await openFresh(image);
          roundEnd += roundPackets;
        }
        const batch = nextBatch(stream, kept, packetCount - done);
        const expected: string[] = [];
        for (const packet of batch) {
          const label = `packet ${done} of seed ${seed}: ${Buffer.from(packet).toString('hex')}`;
          const traced = await judged.trace(packet, receiver);
          const { verdict, reason } = reference.receive(packet, performance.now());
          expect({ verdict: traced.verdict, reason: reasonName(traced.trace.readUInt8(traceReasonOffset)) }, label).toEqual({
            verdict,
            reason,
          });
          expect(isDropped(reason) ? 'drop' : 'pass', label).toBe(verdict);
          expected.push(reason);
          seen.set(reason, (seen.get(reason) ?? 0) + 1);
          if (verdict === 'drop') dropped += 1;
          done += 1;
        }
        expect(
          await judgeReally(judged, batch),
          `packets up to ${done} of seed ${seed}: ${batch.map((packet) => Buffer.from(packet).toString('hex')).join(' ')}`,
        ).toEqual(expected.sort());
      }
      console.log([...seen].map(([reason, count]) => `${reason} ${count}`).join(', '));
      expect((await driverDrops()) - dropsBefore, 'the driver dropped exactly what was to be dropped').toBe(dropped);
      // A run in which everything has the same fate proves nothing.
      for (const reason of ['FLOW', 'POLICY_ALLOW', 'POLICY_DENY', 'TRUNCATED']) expect(seen.get(reason) ?? 0, reason).toBeGreaterThan(0);
    },
  );
});
