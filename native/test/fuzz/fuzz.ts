/**
 * Builds the fuzz target with ASan and UBSan, seeds its corpus from the packet cases and from random traffic, and runs it for
 * a bounded time. A crash leaves its input in dist/fuzz. Without the sanitizers' runtime there is nothing to run: the reason is returned.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, runIfStale } from '../../../build/stamp.ts';
import { readPacketFixtures } from '../../../test/support/packet-fixtures.ts';
import { PacketStream } from '../../../test/support/packet-random.ts';
import { Random, randomPolicy } from '../../../test/support/random-policy.ts';
import { withRandomTreatments } from '../../../test/support/random-treatment.ts';
import { compilePolicy, parsePolicy } from '../../image/api.ts';

const compiler = 'clang-19';
const folder = join(root, 'dist/fuzz');
const program = 'dist/fuzz/verdict-fuzz';
const randomPackets = 400;
const packetsPerInput = 4;

const flags = [
  '-std=gnu11',
  '-O1',
  '-g',
  '-fsanitize=fuzzer,address,undefined',
  // Headers lie at odd places in a packet; every target of ours reads them there.
  '-fno-sanitize=alignment',
  '-fno-sanitize-recover=undefined',
  '-DNEST_RUNTIME_USER',
  '-isystem',
  'bpf/include',
  '-Ibpf',
  '-Inative/src',
  '-Inative/src/user',
];

const build = (): boolean =>
  runIfStale({
    name: 'fuzz',
    inputs: ['bpf/include', 'bpf/lib', 'native/src/user', 'native/test/fuzz/verdict_fuzz.c', 'native/test/fuzz/fuzz.ts'],
    outputs: [program],
    run: () => {
      mkdirSync(folder, { recursive: true });
      const sources = readdirSync(join(root, 'native/src/user')).filter((name) => name.endsWith('.c'));
      const paths = [...sources.map((name) => join('native/src/user', name)), 'native/test/fuzz/verdict_fuzz.c'];
      execFileSync(compiler, [...flags, ...paths, '-o', program], { cwd: root, stdio: 'inherit' });
    },
  });

const framed = (packet: Uint8Array): Buffer => Buffer.concat([Buffer.from([packet.length & 0xff, packet.length >> 8]), packet]);

/** Inputs of verdict_fuzz.c; returns the path of the image for the well-formed ones. */
const seedCorpus = (corpus: string): string => {
  mkdirSync(corpus, { recursive: true });
  const random = new Random(1);
  const policy = withRandomTreatments(random, randomPolicy(random, { mappings: 30 }));
  const stream = new PacketStream(random, policy);
  const packets = [
    ...readPacketFixtures().cases.flatMap(({ before, packet }) => [...before, packet].map((hex) => Buffer.from(hex, 'hex'))),
    ...Array.from({ length: randomPackets }, () => stream.next()),
  ];
  for (let start = 0; start < packets.length; start += packetsPerInput)
    writeFileSync(
      join(corpus, `packets-${String(start)}`),
      Buffer.concat([Buffer.from([0]), ...packets.slice(start, start + packetsPerInput).map(framed)]),
    );
  for (const [name, document] of Object.entries(readPacketFixtures().policies)) {
    const { image } = compilePolicy(parsePolicy(document));
    const head = Buffer.alloc(5);
    head[0] = 1;
    head.writeUInt32LE(image.length, 1);
    writeFileSync(join(corpus, `image-${name}`), Buffer.concat([head, image, ...packets.slice(0, packetsPerInput).map(framed)]));
  }
  const path = join(folder, 'image');
  writeFileSync(path, compilePolicy(parsePolicy(policy)).image);
  return path;
};

/** Why the target cannot be built here; undefined when it can. */
export const fuzzObstacle = (): string | undefined => {
  const found = spawnSync(compiler, ['-print-file-name=libclang_rt.fuzzer.a'], { encoding: 'utf8' });
  const listed = spawnSync(compiler, ['-print-runtime-dir'], { encoding: 'utf8' });
  if (found.status !== 0 || listed.status !== 0) return `${compiler} is not installed`;
  const result = spawnSync(compiler, ['-fsanitize=fuzzer', '-x', 'c', '-', '-o', '/dev/null'], {
    input: 'int LLVMFuzzerTestOneInput(const unsigned char *d, unsigned long n) { return d && n ? 0 : 0; }',
  });
  return result.status === 0 ? undefined : 'libclang-rt-19-dev is not installed';
};

/** Runs it for that many seconds; the tool's last lines, and whether nothing was found. */
export const fuzz = (seconds: number): { readonly isClean: boolean; readonly runs: number; readonly output: string } => {
  build();
  const corpus = join(folder, 'corpus');
  const image = seedCorpus(corpus);
  const { status, stderr } = spawnSync(
    join(root, program),
    [
      `-max_total_time=${String(seconds)}`,
      '-max_len=20000',
      '-rss_limit_mb=2048',
      '-timeout=20',
      '-print_final_stats=1',
      `-artifact_prefix=${folder}/`,
      corpus,
    ],
    { cwd: folder, encoding: 'utf8', env: { ...process.env, NEST_FUZZ_IMAGE: image }, maxBuffer: 64 << 20 },
  );
  const runs = Number(/number_of_executed_units:\s*(\d+)/.exec(stderr)?.[1] ?? 0);
  return { isClean: status === 0, runs, output: stderr.slice(-4000) };
};
