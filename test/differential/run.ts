/**
 * The same packets through all runtimes: the XDP program and the user-space build in nest-differential, WebAssembly and the
 * reference model here on a share. Started by build/test-differential.ts inside network namespaces of its own; prints its
 * seed, shrinks what differs, and stores it as a case that can be run again.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { countsLine } from '../../build/counts.ts';
import { compilePolicy } from '../../native/image/compiler.ts';
import { parsePolicy } from '../../native/image/policy.ts';
import { PacketStream } from '../support/packet-random.ts';
import { Random, randomPolicy } from '../support/random-policy.ts';
import { withRandomTreatments } from '../support/random-treatment.ts';
import { reasonNames } from '../../proto/model/reason.ts';
import { expectedText, outputOf, readPacketFixtures } from '../support/packet-fixtures.ts';
import type { PacketFixture } from '../support/packet-fixtures.ts';
import { actions, compareOthers, fnv1a, openEngine, replyTo, resultBytes, runFixtureByOthers } from './others.ts';
import type { CompiledCase, Others } from './others.ts';
import { readSurroundings } from '../support/differential-surroundings.ts';
import type { Surroundings } from '../support/differential-surroundings.ts';

interface Difference {
  readonly case: number;
  readonly packet: number;
  readonly what: string;
  readonly bytes: string;
  readonly kernel: string;
  readonly user: string;
}

interface Summary {
  readonly cases: number;
  readonly packets: number;
  readonly differences: number;
  readonly seconds: number;
  readonly lanes: number;
  /** Rows of the flow tables that were compared, and equal unless a difference says otherwise. */
  readonly flows: number;
}

/** Policies that share a life of the flow tables, as in nest-differential. */
const casesPerBatch = 8;
const packetBytesMin = 14;
const packetBytesMax = 3000;
const shrinkRunsMax = 60;
const nsPerPacket = 100_000n;

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    seconds: { type: 'string' },
    policies: { type: 'string', default: '100' },
    packets: { type: 'string', default: '1000000' },
    tool: { type: 'string' },
    object: { type: 'string' },
    wasm: { type: 'string' },
    folder: { type: 'string' },
    bpffs: { type: 'string' },
    found: { type: 'string' },
  },
});
const required = (name: 'tool' | 'object' | 'wasm' | 'folder' | 'bpffs' | 'found'): string => {
  const value = values[name];
  if (value === undefined) throw new Error(`--${name} is missing: start this by node build/test-differential.ts`);
  return value;
};

const encode = (cases: readonly CompiledCase[]): string => {
  const path = join(required('folder'), 'cases');
  const file = openSync(path, 'w');
  const word = (value: number): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    return bytes;
  };
  for (const { image, packets } of cases) {
    writeSync(
      file,
      Buffer.concat([word(image.length), image, word(packets.length), ...packets.flatMap((packet) => [word(packet.length), packet])]),
    );
  }
  closeSync(file);
  return path;
};

let runs = 0;

/** `life`: cases until both sides forget their flows. */
const runTool = (
  cases: readonly CompiledCase[],
  around: Surroundings,
  life = casesPerBatch,
): { readonly differences: readonly Difference[]; readonly summary: Summary; readonly results: Buffer } => {
  const input = openSync(encode(cases), 'r');
  const results = join(required('folder'), 'results');
  runs += 1;
  const { stdout, stderr, status } = spawnSync(
    required('tool'),
    [
      '--object',
      required('object'),
      '--pin-path',
      join(required('bpffs'), `d${String(runs)}`),
      '--results',
      results,
      '--life',
      String(life),
      ...around.toolArguments,
    ],
    { stdio: [input, 'pipe', 'pipe'], encoding: 'utf8', maxBuffer: 256 << 20 },
  );
  closeSync(input);
  if (status !== 0 && status !== 1) throw new Error(`nest-differential failed: ${stderr}`);
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Difference | Summary);
  const summary = lines.at(-1) as Summary;
  return { differences: lines.slice(0, -1) as Difference[], summary, results: readFileSync(results) };
};

interface FixtureRun {
  readonly count: number;
  /** Texts of what is not as the file says. */
  readonly problems: readonly string[];
  readonly lanes: number;
}

/** The fixture file through all runtimes. */
const runFixtures = async (module: WebAssembly.Module, around: Surroundings): Promise<FixtureRun> => {
  const { policies, cases } = readPacketFixtures();
  const compiled = cases.map(({ policy, before, packet }) => {
    const document = policies[policy];
    if (document === undefined) throw new Error(`There is no policy ${policy} in the fixture file.`);
    const packets = [...before, packet].map((hex) => Uint8Array.from(Buffer.from(hex, 'hex')));
    return { policy: document, packets, ...compilePolicy(parsePolicy(document)) };
  });
  const { differences, summary, results } = runTool(compiled, around, 1);
  const { lanes } = summary;
  const problems = differences.map((difference) => `fixture ${cases[difference.case]?.name ?? ''}: ${JSON.stringify(difference)}`);
  let row = -1;
  for (const [position, fixture] of cases.entries()) {
    const each = compiled[position];
    if (each === undefined) continue;
    row += each.packets.length;
    const seen = results.subarray(row * resultBytes, (row + 1) * resultBytes);
    if (!isAsFixture(seen, fixture, each.names))
      problems.push(
        `fixture "${fixture.name}": XDP and user space say ${rowText(seen, fixture, each.names)}, expected ${expectedText(fixture)}`,
      );
    problems.push(...(await runFixtureByOthers({ module, around, lanes }, fixture, each)));
  }
  return { count: cases.length, problems, lanes };
};

/** The program sums up the bytes that leave: which they are, WebAssembly says in the next line when they differ. */
const rowText = (row: Buffer, fixture: PacketFixture, names: readonly string[]): string => {
  const mapping = names[row.readUInt16LE(2)] ?? '-';
  const isSame = row.readUInt32LE(8) === fnv1a(Buffer.from(outputOf(fixture), 'hex'));
  return `${actions[row.readUInt8(0)] ?? '?'} ${reasonNames[row.readUInt8(1)] ?? '?'} ${mapping} with ${isSame ? 'these' : 'other'} bytes`;
};

const isAsFixture = (seen: Buffer, { expected, packet }: PacketFixture, names: readonly string[]): boolean =>
  actions[seen.readUInt8(0)] === expected.verdict &&
  reasonNames[seen.readUInt8(1)] === expected.reason &&
  (names[seen.readUInt16LE(2)] ?? null) === expected.mapping &&
  seen.readUInt32LE(8) === fnv1a(Buffer.from(outputOf({ expected, packet }), 'hex'));

/** A random policy and packets that meet it; WebAssembly tells what is sent on, so that some of it is answered. */
const makeCase = async (random: Random, packetCount: number, others: Others): Promise<CompiledCase> => {
  const policy = withRandomTreatments(random, randomPolicy(random, { mappings: random.pick([3, 12, 40, 120]) }));
  const { image, names } = compilePolicy(parsePolicy(policy));
  const stream = new PacketStream(random, policy);
  const engine = await openEngine(others, image);
  const packets: Uint8Array[] = [];
  const add = (packet: Uint8Array): Uint8Array | undefined => {
    if (packet.length < packetBytesMin || packet.length > packetBytesMax) return undefined;
    packets.push(packet);
    const from = { interfaceIndex: others.around.interfaceIndex, nowNs: BigInt(packets.length) * nsPerPacket };
    const { action, output } = engine.judge(packet, from);
    return action === 'drop' || Buffer.compare(output, packet) === 0 ? undefined : output;
  };
  while (packets.length < packetCount) {
    const sent = add(stream.next());
    const reply = sent === undefined || packets.length >= packetCount || !random.chance(0.5) ? undefined : replyTo(sent);
    if (reply !== undefined) add(reply);
  }
  return { policy, image, names, packets };
};

/** The fewest packets, of those up to the difference, that still make the two sides differ. */
const shrink = (failing: CompiledCase, difference: Difference, around: Surroundings): CompiledCase => {
  const differs = (packets: readonly Uint8Array[]): boolean => runTool([{ ...failing, packets }], around).summary.differences > 0;
  let packets = failing.packets.slice(0, difference.packet + 1);
  let left = shrinkRunsMax;
  if (!differs(packets)) return { ...failing, packets };
  for (let size = packets.length >> 1; size >= 1 && left > 0; size >>= 1) {
    for (let start = 0; start < packets.length - 1 && left > 0; left--) {
      const fewer = [...packets.slice(0, start), ...packets.slice(Math.min(start + size, packets.length - 1))];
      if (fewer.length < packets.length && differs(fewer)) packets = fewer;
      else start += size;
    }
  }
  return { ...failing, packets };
};

const store = (failing: CompiledCase, difference: Difference, seed: number): string => {
  mkdirSync(required('found'), { recursive: true });
  const path = join(required('found'), `${String(seed)}-${String(difference.case)}-${String(difference.packet)}.json`);
  const fixture = {
    name: `differs by ${difference.what}`,
    sentence: `found with seed ${String(seed)}: kernel ${difference.kernel}, user ${difference.user}`,
    policy: failing.policy,
    packets: failing.packets.map((packet) => Buffer.from(packet).toString('hex')),
  };
  writeFileSync(path, `${JSON.stringify(fixture, undefined, 2)}\n`);
  return path;
};

const main = async (): Promise<number> => {
  const seed = values.seed === undefined ? Date.now() & 0x7fff_ffff : Number(values.seed);
  const seconds = values.seconds === undefined ? Infinity : Number(values.seconds);
  const policies = Number(values.policies);
  const packetCount = Math.ceil(Number(values.packets) / policies);
  const around = readSurroundings();
  const module = await WebAssembly.compile(readFileSync(required('wasm')));
  const started = performance.now();
  console.log(`seed ${String(seed)}`);
  const fixtures = await runFixtures(module, around);
  const others = { module, around, lanes: fixtures.lanes };
  const failures: string[] = [...fixtures.problems];
  console.log(`fixtures: ${String(fixtures.count)} by each runtime, ${String(failures.length)} problems`);
  const total = { policies: 0, packets: 0, flows: 0, viaWasm: 0, viaModel: 0 };
  while (total.policies < policies && failures.length === 0 && (performance.now() - started) / 1000 < seconds) {
    const batch: CompiledCase[] = [];
    while (batch.length < Math.min(casesPerBatch, policies - total.policies))
      batch.push(await makeCase(new Random(seed + total.policies + batch.length), packetCount, others));
    const { differences, summary, results } = runTool(batch, around);
    const [first] = batch;
    if (first !== undefined && differences.length === 0) {
      const { problems, viaWasm, viaModel } = await compareOthers(others, first, results);
      failures.push(...problems.map((problem) => `policy ${String(total.policies)}: ${problem}`));
      total.viaWasm += viaWasm;
      total.viaModel += viaModel;
    }
    for (const difference of differences.slice(0, 3))
      failures.push(JSON.stringify({ ...difference, policy: total.policies + difference.case }));
    const [difference] = differences;
    const failing = difference === undefined ? undefined : batch[difference.case];
    if (difference !== undefined && failing !== undefined) {
      const small = shrink(failing, difference, around);
      failures.push(`shrunk to ${String(small.packets.length)} packets: ${store(small, difference, seed)}`);
    }
    total.policies += summary.cases;
    total.packets += summary.packets;
    total.flows += summary.flows;
    console.log(
      `${String(total.policies)} policies, ${String(total.packets)} packets, ${summary.seconds.toFixed(1)} s for the last ${String(summary.packets)}`,
    );
  }
  for (const failure of failures) console.log(failure);
  console.log(
    `seed ${String(seed)}: ${String(total.policies)} policies, packets by XDP ${String(total.packets)}, user space ${String(total.packets)}, WebAssembly ${String(total.viaWasm)}, reference model ${String(total.viaModel)}; ${String(total.flows)} flows in both tables`,
  );
  const failed = failures.length === 0 ? 0 : 1;
  console.log(countsLine({ passed: fixtures.count + total.policies - failed, failed, skipped: 0 }));
  return failures.length === 0 ? 0 : 1;
};

process.exitCode = await main();
