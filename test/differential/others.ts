/**
 * The runtimes beside nest-differential: WebAssembly, held against what the user-space build said of the same packets, and the
 * reference model, held against WebAssembly, bytes included.
 */
import { withChecksums } from '../../bpf/test/support/checksums.ts';
import type { PolicyDocument } from '../../native/image/policy-schema.ts';
import { openVerdict } from '../../native/wasm/index.ts';
import type { Verdict, VerdictEngine } from '../../native/wasm/index.ts';
import { reasonName } from '../../proto/model/reason.ts';
import type { Surroundings } from '../support/differential-surroundings.ts';
import { expectedText } from '../support/packet-fixtures.ts';
import type { PacketFixture } from '../support/packet-fixtures.ts';
import { parsePacket } from '../support/reference-model-parser.ts';
import type { ParsedPacket } from '../support/reference-model-parser.ts';
import { notModelled, ReferenceHost } from '../support/reference-model.ts';
import type { ReferenceResult } from '../support/reference-model.ts';

export interface CompiledCase {
  readonly policy: PolicyDocument;
  readonly image: Uint8Array;
  /** Of the mappings, by index. */
  readonly names: readonly string[];
  readonly packets: readonly Uint8Array[];
}

export interface Others {
  readonly module: WebAssembly.Module;
  readonly around: Surroundings;
  /** CPUs that share the ports of source NAT. */
  readonly lanes: number;
}

/** What nest-differential writes per packet. */
export const resultBytes = 20;
export const actions = ['pass', 'drop', 'transmit', 'redirect'] as const;

const flowsMax = 100_000;
/** The model reads the whole document for each packet. */
const modelPacketsMax = 3000;

/** As nest-differential sums up the bytes that leave. */
export const fnv1a = (bytes: Uint8Array): number => bytes.reduce((hash, byte) => Math.imul(hash ^ byte, 0x0100_0193) >>> 0, 0x811c_9dc5);

/** A WebAssembly engine that stands where the other runtimes stand. */
export const openEngine = ({ module, around, lanes }: Others, image: Uint8Array): Promise<VerdictEngine> =>
  openVerdict(module, image, { flows: flowsMax, lanes, interfaces: around.interfaces, routes: around.routes });

export interface OthersOutcome {
  /** Texts of what differs; packets behind a first difference are not looked at, as flow tables differ then. */
  readonly problems: readonly string[];
  readonly viaWasm: number;
  readonly viaModel: number;
}

/** A case that began with empty tables, through WebAssembly and the model; `results` are the rows of nest-differential. */
export const compareOthers = async (others: Others, each: CompiledCase, results: Buffer): Promise<OthersOutcome> => {
  const engine = await openEngine(others, each.image);
  const { interfaceIndex } = others.around;
  const model = new ReferenceHost(each.policy, { ...others.around, lanes: others.lanes });
  let viaModel = 0;
  for (const [position, packet] of each.packets.entries()) {
    const row = results.subarray(position * resultBytes, (position + 1) * resultBytes);
    const nowNs = row.readBigUInt64LE(12);
    const seen = engine.judge(packet, { interfaceIndex, nowNs });
    const told = `packet ${String(position)} ${Buffer.from(packet).toString('hex')}: wasm ${textOf(seen, each.names)}`;
    if (!isRow(row, seen)) return { problems: [`${told}, user space ${row.toString('hex')}`], viaWasm: position, viaModel };
    if (position >= modelPacketsMax) continue;
    const expected = processOnce(model, packet, nowNs);
    if (expected === undefined || notModelled.has(reasonName(seen.reason))) continue;
    viaModel += 1;
    if (!isExpected(seen, expected, { packet, names: each.names }))
      return { problems: [`${told}, model ${modelText(expected)}`], viaWasm: position, viaModel };
  }
  return { problems: [], viaWasm: each.packets.length, viaModel };
};

/** Undefined: the model does not speak of it. */
const processOnce = (model: ReferenceHost, packet: Uint8Array, nowNs: bigint): ReferenceResult | undefined => {
  try {
    return model.process(packet, Number(nowNs) / 1e6, nowNs);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
};

const isRow = (row: Buffer, seen: Verdict): boolean =>
  actions[row.readUInt8(0)] === seen.action &&
  row.readUInt8(1) === seen.reason &&
  (row.readUInt16LE(2) === 0xffff ? undefined : row.readUInt16LE(2)) === seen.mapping &&
  row.readUInt32LE(4) === seen.output.length &&
  row.readUInt32LE(8) === fnv1a(seen.output);

const isExpected = (
  seen: Verdict,
  expected: ReferenceResult,
  { packet, names }: { readonly packet: Uint8Array; readonly names: readonly string[] },
): boolean =>
  seen.action === expected.verdict &&
  reasonName(seen.reason) === expected.reason &&
  (seen.mapping === undefined ? undefined : names[seen.mapping]) === expected.mapping &&
  (expected.verdict === 'drop' || isSameOutput(packet, seen.output, expected.output));

/** The data path keeps a checksum as wrong as it came; the model makes it right: such packets are compared without. */
const isSameOutput = (packet: Uint8Array, seen: Uint8Array, expected: Uint8Array): boolean => {
  if (Buffer.compare(seen, expected) === 0) return true;
  const input = Buffer.from(packet);
  if (withChecksums(input).equals(input)) return false;
  return withChecksums(Buffer.from(seen)).equals(withChecksums(Buffer.from(expected)));
};

const textOf = (seen: Verdict, names: readonly string[]): string =>
  `${seen.action} ${reasonName(seen.reason)} ${seen.mapping === undefined ? '-' : (names[seen.mapping] ?? '-')} ${Buffer.from(seen.output).toString('hex')}`;

const modelText = ({ verdict, reason, mapping, output }: ReferenceResult): string =>
  `${verdict} ${reason} ${mapping ?? '-'} ${Buffer.from(output).toString('hex')}`;

/** The last packet of a fixture through WebAssembly and the model; texts of what is not as it says. */
export const runFixtureByOthers = async (
  others: Others,
  { expected, ...fixture }: PacketFixture,
  each: CompiledCase,
): Promise<readonly string[]> => {
  const engine = await openEngine(others, each.image);
  const model = new ReferenceHost(each.policy, { ...others.around, lanes: others.lanes });
  const wanted = expectedText({ ...fixture, expected });
  let wasmSaid = '';
  let modelSaid: string | undefined = '';
  for (const [position, packet] of each.packets.entries()) {
    const nowNs = BigInt(position + 1) * 1_000_000n;
    wasmSaid = textOf(engine.judge(packet, { interfaceIndex: others.around.interfaceIndex, nowNs }), each.names);
    const result = processOnce(model, packet, nowNs);
    modelSaid = result === undefined ? undefined : modelText(result);
  }
  const problems = wasmSaid === wanted ? [] : [`fixture "${fixture.name}": WebAssembly says ${wasmSaid}, expected ${wanted}`];
  const isSilent = modelSaid === undefined || notModelled.has(expected.reason);
  return isSilent || modelSaid === wanted
    ? problems
    : [...problems, `fixture "${fixture.name}": the model says ${modelSaid ?? ''}, expected ${wanted}`];
};

/** What the other end answers to a packet that was sent to it; undefined: nothing that belongs to a flow. */
export const replyTo = (output: Uint8Array): Uint8Array | undefined => {
  const packet = readOrNot(output);
  if (packet?.hasFlow !== true || packet.transport === 'other' || packet.transport === undefined) return undefined;
  const reply = output.slice();
  const l3 = [14, 18, 22].find((offset) => sameAt(output, offset + (packet.family === 4 ? 12 : 8), packet.source)) ?? 14;
  reply.set([...packet.destination, ...packet.source], l3 + (packet.family === 4 ? 12 : 8));
  if (packet.transport === 'icmp') return reply;
  const ports = output.subarray(packet.transportOffset, packet.transportOffset + 4);
  reply.set([...ports.subarray(2, 4), ...ports.subarray(0, 2)], packet.transportOffset);
  return reply;
};

const sameAt = (bytes: Uint8Array, offset: number, wanted: Uint8Array): boolean =>
  wanted.every((byte, position) => bytes[offset + position] === byte);

const readOrNot = (packet: Uint8Array): ParsedPacket | undefined => {
  try {
    return parsePacket(packet);
  } catch {
    return undefined;
  }
};
