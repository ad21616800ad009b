/** The loaded data path under test: opened in the suite's bpffs, packets judged by it, what they changed read back. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { bpfObjectPath, loadNative } from '../../index.ts';
import type { DataPath } from '../../addon.ts';
import { framed } from './packets.ts';

export const reasonNumber = {
  NO_POLICY: 1,
  FLOW: 2,
  POLICY_ALLOW: 3,
  DEFAULT_ALLOW: 4,
  ARP: 5,
  NEIGHBOR_DISCOVERY: 6,
  NOT_IP: 7,
  FRAGMENT: 8,
  POLICY_DENY: 9,
  DEFAULT_DENY: 10,
  TRUNCATED: 11,
  MALFORMED: 12,
  TOO_MANY_TAGS: 13,
  TOO_MANY_HEADERS: 14,
  FRAGMENT_UNKNOWN: 15,
  TABLE_MISSING: 16,
  FLOW_RELATED: 17,
  DENY_LIST: 18,
  RATE_LIMIT: 19,
  NO_BACKEND: 20,
  NAT_EXHAUSTED: 21,
  NOT_TRANSLATABLE: 22,
  NO_ROUTE: 23,
  TOO_BIG: 24,
} as const;
export type ReasonName = keyof typeof reasonNumber;

const reasonNames = Object.keys(reasonNumber) as readonly ReasonName[];
export const nameOfReason = (number: number): ReasonName | undefined => reasonNames.find((name) => reasonNumber[name] === number);

export const defaultMapping = 16384;
export const recordKinds = { start: 1, end: 2, deny: 3, rejudged: 4 } as const;

const environment = (name: string): string => {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set: run this suite by npm run test:native or npm run test:bpf`);
  return value;
};

export const suite = {
  /** A bpffs of the suite's own. */
  bpffs: () => environment('NEST_TEST_BPFFS'),
  /** The namespace at the other end of v0: v1. */
  peer: () => environment('NEST_TEST_PEER'),
};

export const packetTool = fileURLToPath(new URL('../../../dist/native/nest-packet', import.meta.url));

export const newPinPath = (): string => `${suite.bpffs()}/t${randomBytes(6).toString('hex')}`;

export const openDataPath = async (pinPath = newPinPath()): Promise<{ readonly dataPath: DataPath; readonly pinPath: string }> => ({
  dataPath: await loadNative().open({ objectPath: bpfObjectPath(), pinPath }),
  pinPath,
});

/** Creates an interface of the given kind that carries no traffic of its own. */
export const addInterface = (name: string, kind = 'bridge'): void => {
  execFileSync('ip', ['link', 'add', name, 'type', kind]);
};

export const removeInterface = (name: string): void => {
  spawnSync('ip', ['link', 'del', name]);
};

export interface Outcome {
  readonly verdict: string;
  readonly reason: ReasonName | undefined;
  /** Mapping whose counters moved; undefined when none did. */
  readonly mapping: number | undefined;
}

const counted = (values: BigUint64Array, before: BigUint64Array): readonly number[] =>
  [...values].flatMap((value, index) => (index % 2 === 0 && value !== before[index] ? [index / 2] : []));

export interface Judge {
  /** Runs one packet for real; fails unless it was counted exactly once. */
  readonly send: (packet: Buffer) => Outcome;
  /** Runs many, without a look at what happens to each. */
  readonly sendAll: (packets: readonly Buffer[]) => void;
}

/** Judges packets as if they came in on `interfaceName`, which must be attached. */
export const judgeOn = (dataPath: DataPath, pinPath: string, interfaceName: string): Judge => ({
  sendAll: (packets) => {
    execFileSync(packetTool, ['judge', '--pin-path', pinPath, '--interface', interfaceName], {
      input: framed(packets),
      maxBuffer: 16 << 20,
    });
  },
  send: (packet) => {
    const before = dataPath.counters();
    const output = execFileSync(packetTool, ['judge', '--pin-path', pinPath, '--interface', interfaceName], { input: framed([packet]) });
    const after = dataPath.counters();
    const at = (counters: typeof before): BigUint64Array =>
      counters.interfaces.find(({ name }) => name === interfaceName)?.reasons ?? new BigUint64Array(0);
    const reasons = counted(at(after), at(before));
    const mappings = counted(after.active.values, before.active.values);
    const [reason, ...others] = reasons;
    if (reason === undefined || others.length > 0 || mappings.length > 1)
      throw new Error(`one packet moved the reasons ${String(reasons)} and mappings ${String(mappings)}`);
    if (at(after)[reason * 2] !== (at(before)[reason * 2] ?? 0n) + 1n) throw new Error('one packet was counted more than once');
    if (at(after)[reason * 2 + 1] !== (at(before)[reason * 2 + 1] ?? 0n) + BigInt(packet.length))
      throw new Error('the bytes counted are not those of the packet');
    const [verdict = ''] = JSON.parse(output.toString('utf8')) as readonly string[];
    return { verdict, reason: nameOfReason(reason), mapping: mappings[0] };
  },
});

export interface FlowRecord {
  readonly kind: number;
  readonly reason: ReasonName | undefined;
  readonly mapping: number;
  readonly family: number;
  readonly protocol: number;
  readonly sequence: number;
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly packets: readonly [bigint, bigint];
  readonly bytes: readonly [bigint, bigint];
  readonly ageMs: number;
  /** Ends after the rewrite; undefined when the flow has none. */
  readonly rewritten:
    { readonly source: string; readonly destination: string; readonly sourcePort: number; readonly destinationPort: number } | undefined;
  /** NEST_REWRITE_* that change or choose where the flow goes. */
  readonly rewrite: number;
  /** 65535: none. */
  readonly backend: number;
}

export const recordBytes = 136;

/** Packed struct nest_record. */
export const decodeRecords = (buffer: Buffer): readonly FlowRecord[] =>
  Array.from({ length: buffer.length / recordBytes }, (_, index) => {
    const row = buffer.subarray(index * recordBytes, (index + 1) * recordBytes);
    const family = row.readUInt8(52);
    const bytes = family === 4 ? 4 : 16;
    return {
      packets: [row.readBigUInt64LE(8), row.readBigUInt64LE(16)],
      bytes: [row.readBigUInt64LE(24), row.readBigUInt64LE(32)],
      sequence: row.readUInt32LE(44),
      mapping: row.readUInt16LE(48),
      kind: row.readUInt8(50),
      reason: nameOfReason(row.readUInt8(51)),
      family,
      protocol: row.readUInt8(53),
      sourcePort: row.readUInt16LE(56),
      destinationPort: row.readUInt16LE(58),
      source: row.subarray(60, 60 + bytes).toString('hex'),
      destination: row.subarray(76, 76 + bytes).toString('hex'),
      ageMs: row.readUInt32LE(92),
      rewrite: row.readUInt8(55),
      rewritten:
        row.readUInt8(55) === 0
          ? undefined
          : {
              source: row.subarray(96, 96 + bytes).toString('hex'),
              destination: row.subarray(112, 112 + bytes).toString('hex'),
              sourcePort: row.readUInt16LE(128),
              destinationPort: row.readUInt16LE(130),
            },
      backend: row.readUInt16LE(132),
    };
  });

/** Throws away the records gathered so far. */
export const forgetRecords = async (dataPath: DataPath): Promise<void> => {
  // Twice the time the reader sleeps between two looks.
  await new Promise((resolve) => setTimeout(resolve, 50));
  dataPath.takeRecords(100_000);
};

/** Polls until `count` records are there or two seconds are over. */
export const waitForRecords = async (dataPath: DataPath, count: number): Promise<readonly FlowRecord[]> => {
  const records: FlowRecord[] = [];
  for (let attempt = 0; attempt < 100 && records.length < count; attempt += 1) {
    records.push(...decodeRecords(dataPath.takeRecords(1000).records));
    if (records.length < count) await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return records;
};

export const flowsOf = async (dataPath: DataPath): Promise<readonly FlowRecord[]> => decodeRecords((await dataPath.flows(100_000)).rows);

/** Runs a command in the peer namespace. */
export const onPeer = (command: string, args: readonly string[], input?: Buffer): Buffer =>
  execFileSync('ip', ['netns', 'exec', suite.peer(), command, ...args], input === undefined ? {} : { input });

const generator = fileURLToPath(new URL('../../../dist/bpf/bench_generator.bpf.o', import.meta.url));

/** Sends live frames from the peer to v0; the number really sent. `options` as of `nest-packet generate`. */
export const generate = async (packet: Buffer, options: readonly string[]): Promise<number> => {
  const child = spawn(
    'ip',
    [
      'netns',
      'exec',
      suite.peer(),
      packetTool,
      'generate',
      '--object',
      generator,
      '--interface',
      'v1',
      '--template',
      packet.toString('hex'),
      ...options,
    ],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString('utf8')));
  await once(child, 'close');
  return (JSON.parse(output) as { readonly sent: number }).sent;
};

/** Takes the current policy's table of that name away, as only a broken kernel or a foreign hand could. */
export const loseTable = (pinPath: string, table: string): void => {
  execFileSync(packetTool, ['lose', '--pin-path', pinPath, '--table', table]);
};

/** What the map of that name, or the current policy's table, holds: "key:value" in hexadecimal, sorted. */
export const dumpTable = (pinPath: string, table: string): readonly string[] => {
  const output = execFileSync(packetTool, ['dump', '--pin-path', pinPath, '--table', table], { maxBuffer: 256 << 20 });
  return JSON.parse(output.toString('utf8')) as readonly string[];
};
