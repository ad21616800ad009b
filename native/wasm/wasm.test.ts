import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { root } from '../../build/stamp.ts';
import { buildWasm, wasmBytesMax, wasmTools } from '../../build/wasm.ts';
import { isDropped, reasonName } from '../../proto/model/reason.ts';
import { buildPacket } from '../../test/support/packet.ts';
import { PacketStream } from '../../test/support/packet-random.ts';
import { Random, randomPolicy } from '../../test/support/random-policy.ts';
import { ReferenceHost } from '../../test/support/reference-model.ts';
import { compilePolicy } from '../image/api.ts';
import { decodeImage } from '../image/image-decoder.ts';
import type { PolicyDocument } from '../image/policy-schema.ts';
import { parsePolicy } from '../image/policy.ts';
import { openVerdict } from './index.ts';
import type { VerdictEngine } from './index.ts';

const missing = Object.keys(wasmTools).filter((tool) => spawnSync(tool, ['--version']).status !== 0);
if (missing.length > 0) console.log(`SKIP native/wasm: ${missing.join(', ')} not installed`);

const interfaceIndex = 3;
const seed = Number(process.env['NEST_SEED'] ?? Date.now() & 0x7fff_ffff);
/** A cold build on a busy machine. */
const buildTimeoutMs = 180_000;
let program: WebAssembly.Module;
let size = 0;

const compile = (document: PolicyDocument): ReturnType<typeof compilePolicy> => compilePolicy(parsePolicy(document));
const open = (image: Uint8Array): Promise<VerdictEngine> => openVerdict(program, image);

const base: PolicyDocument = { apiVersion: 'nest/v1', kind: 'Policy', defaultAction: 'deny', services: [], mappings: [] };
const tcp = { kind: 'tcp', sourcePort: 40_000, destinationPort: 443, flags: 2 } as const;
const syn = buildPacket({ source: '198.18.0.1', destination: '198.18.64.2', transport: tcp });

describe.skipIf(missing.length > 0)('the verdict in WebAssembly', () => {
  beforeAll(async () => {
    buildWasm();
    const bytes = readFileSync(join(root, 'dist/wasm/nest-verdict.wasm'));
    size = bytes.length;
    program = await WebAssembly.compile(bytes);
  }, buildTimeoutMs);

  it('stands alone and is small enough for a page', () => {
    expect(WebAssembly.Module.imports(program)).toEqual([]);
    expect(size).toBeLessThan(wasmBytesMax);
  });

  it('says what the reference model says of every packet of a stream', async () => {
    for (let round = 0; round < 6; round++) {
      const random = new Random(seed + round);
      const policy = randomPolicy(random, { mappings: 40 });
      const { image, names } = compile(policy);
      const [engine, reference, stream] = [await open(image), new ReferenceHost(policy), new PacketStream(random, policy)];
      for (let count = 0; count < 1500; count++) {
        const packet = stream.next();
        const from = { interfaceIndex, nowNs: 1_000_000_000n + BigInt(count) * 1_000_000n };
        const { action, reason, mapping, output } = engine.judge(packet, from);
        const expected = reference.receive(packet, count);
        const seen = {
          verdict: action,
          reason: reasonName(reason),
          mapping: mapping === undefined ? undefined : names[mapping],
        };
        const context = `seed ${String(seed + round)}, packet ${String(count)}: ${Buffer.from(packet).toString('hex')}`;
        expect(seen, context).toEqual({ ...expected, mapping: expected.mapping });
        expect(output, context).toEqual(packet);
      }
    }
  });

  it('explains a packet without changing what happens to it', async () => {
    const mapping = {
      name: 'web',
      sources: ['any'],
      destinations: ['any'],
      protocols: ['tcp' as const],
      ports: ['443'],
      action: 'allow' as const,
      priority: 1,
    };
    const engine = await open(compile({ ...base, mappings: [mapping] }).image);
    const from = { interfaceIndex, nowNs: 5_000_000_000n };
    const first = engine.trace(syn, from);
    expect({ ...first, output: first.output.length }).toMatchObject({ action: 'pass', mapping: 0, output: syn.length });
    expect(first.explanation).toMatchObject({
      family: 4,
      l4: 1,
      flow: 1,
      l4Offset: 34,
      denyList: undefined,
      balancer: undefined,
      rewrite: 0,
    });
    expect(reasonName(engine.trace(syn, from).reason)).toBe('POLICY_ALLOW');
    expect(reasonName(engine.judge(syn, from).reason)).toBe('POLICY_ALLOW');
    expect(
      reasonName(
        engine.judge(
          buildPacket({
            source: '198.18.64.2',
            destination: '198.18.0.1',
            transport: { ...tcp, sourcePort: 443, destinationPort: 40_000, flags: 18 },
          }),
          from,
        ).reason,
      ),
    ).toBe('FLOW');
  });

  it('drops what is on a deny list before policy is asked', async () => {
    const engine = await open(
      compile({ ...base, defaultAction: 'allow', denyLists: [{ name: 'bad', prefixes: ['198.18.0.0/31'] }] }).image,
    );
    const { action, reason, mapping } = engine.judge(syn, { interfaceIndex, nowNs: 1n });
    expect({ action, reason: reasonName(reason), mapping }).toEqual({ action: 'drop', reason: 'DENY_LIST', mapping: undefined });
  });

  it('refuses a damaged image wherever the decoder refuses its tables, and survives what it takes', async () => {
    const random = new Random(seed);
    const { image } = compile(randomPolicy(random, { mappings: 12 }));
    let refused = 0;
    let accepted = 0;
    for (let round = 0; round < 400; round++) {
      const damaged = image.slice(0, random.chance(0.1) ? random.between(0, image.length) : image.length);
      const end = image.length - new DataView(image.buffer).getUint32(40, true);
      for (let count = random.between(1, 4); count > 0 && damaged.length > 0; count--)
        damaged[random.between(0, Math.min(damaged.length, end) - 1)] = random.pick([0, 1, 4, 6, 0x7f, 0xff, random.between(0, 255)]);
      const isRefused = await open(damaged).then(
        (engine) => {
          for (let count = 0; count < 20; count++) engine.judge(syn, { interfaceIndex, nowNs: BigInt(count) });
          return false;
        },
        () => true,
      );
      const context = `seed ${String(seed)}, round ${String(round)}`;
      const decoder = whatIsWrong(damaged);
      if (isRefused) refused++;
      else accepted++;
      // The decoder also reads the texts, which the data path never looks at.
      if (decoder !== undefined && !/explanation|UTF-8|name/i.test(decoder)) expect(isRefused, `${context}: ${decoder}`).toBe(true);
    }
    expect(Math.min(refused, accepted)).toBeGreaterThan(5);
  });

  it('drops exactly the reasons that drop', async () => {
    const engine = await open(compile(base).image);
    const { action, reason } = engine.judge(new Uint8Array(3), { interfaceIndex, nowNs: 1n });
    expect({ action, dropped: isDropped(reasonName(reason)) }).toEqual({ action: 'drop', dropped: true });
  });
});

const whatIsWrong = (image: Uint8Array): string | undefined => {
  try {
    decodeImage(image);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
};
