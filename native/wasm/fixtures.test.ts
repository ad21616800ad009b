import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { root } from '../../build/stamp.ts';
import { buildWasm, wasmTools } from '../../build/wasm.ts';
import { reasonName } from '../../proto/model/reason.ts';
import { surroundingsFor } from '../../test/support/differential-surroundings.ts';
import { readPacketFixtures } from '../../test/support/packet-fixtures.ts';
import { compilePolicy, parsePolicy } from '../image/api.ts';
import { openVerdict } from './index.ts';

const missing = Object.keys(wasmTools).filter((tool) => spawnSync(tool, ['--version']).status !== 0);
if (missing.length > 0) console.log(`SKIP native/wasm: ${missing.join(', ')} not installed`);

const { policies, cases } = readPacketFixtures();
const around = surroundingsFor((name) =>
  name === 'v0' ? { ifindex: 3, address: '02:00:00:00:0a:01' } : { ifindex: 4, address: '02:00:00:00:0b:01' },
);
const bytesOf = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'));
/** A cold build on a busy machine. */
const buildTimeoutMs = 180_000;
let program: WebAssembly.Module;

describe.skipIf(missing.length > 0)('the packet cases in WebAssembly', () => {
  beforeAll(async () => {
    buildWasm();
    program = await WebAssembly.compile(readFileSync(join(root, 'dist/wasm/nest-verdict.wasm')));
  }, buildTimeoutMs);

  it.each(cases)('$name: $sentence', async ({ policy, before, packet, expected }) => {
    const document = policies[policy];
    if (document === undefined) throw new Error(`There is no policy ${policy} in the fixture file.`);
    const { image, names } = compilePolicy(parsePolicy(document));
    const engine = await openVerdict(program, image, { interfaces: around.interfaces, routes: around.routes });
    const from = { interfaceIndex: around.interfaceIndex, nowNs: 1_000_000_000n };
    for (const each of before) engine.judge(bytesOf(each), from);
    const traced = engine.trace(bytesOf(packet), from);
    const judged = engine.judge(bytesOf(packet), from);
    const output = expected.output === 'same' ? packet : expected.output;
    const seen = {
      verdict: judged.action,
      reason: reasonName(judged.reason),
      mapping: judged.mapping === undefined ? null : (names[judged.mapping] ?? null),
      output: Buffer.from(judged.output).toString('hex'),
    };
    expect(seen).toEqual({ ...expected, output });
    expect({ action: traced.action, reason: traced.reason, output: traced.output }).toEqual({
      action: judged.action,
      reason: judged.reason,
      output: judged.output,
    });
  });
});
