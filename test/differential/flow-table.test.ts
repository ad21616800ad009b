/** The flow table outside the kernel lets go of nothing while it has room: each translated flow takes two places at once. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { root } from '../../build/stamp.ts';
import { buildWasm, wasmTools } from '../../build/wasm.ts';
import { compilePolicy } from '../../native/image/compiler.ts';
import { parsePolicy } from '../../native/image/policy.ts';
import { openVerdict } from '../../native/wasm/index.ts';
import { reasonName } from '../../proto/model/reason.ts';
import { addressBytes, buildPacket } from '../support/packet.ts';

const missing = Object.keys(wasmTools).filter((tool) => spawnSync(tool, ['--version']).status !== 0);
if (missing.length > 0) console.log(`SKIP test/differential: ${missing.join(', ')} not installed`);

const buildTimeoutMs = 180_000;
const flowCount = 20_000;
const interfaceIndex = 3;
const nsPerPacket = 1000n;

const { image } = compilePolicy(
  parsePolicy({
    apiVersion: 'nest/v1',
    kind: 'Policy',
    defaultAction: 'deny',
    services: [],
    mappings: [
      { name: 'out', sources: ['any'], destinations: ['any'], protocols: ['udp'], action: 'allow', priority: 1, sourceNat: '192.0.2.77' },
    ],
  }),
);

/** The first packet of a flow of its own. */
const packetOf = (flow: number): Uint8Array =>
  buildPacket({
    source: `198.18.${String(flow >> 8)}.${String(flow & 255)}`,
    destination: '198.19.0.1',
    transport: { kind: 'udp', sourcePort: 1024 + flow, destinationPort: 53 },
  });

it.skipIf(missing.length > 0)(
  'keeps every flow in a table that is half empty',
  async () => {
    buildWasm();
    const module = await WebAssembly.compile(readFileSync(join(root, 'dist/wasm/nest-verdict.wasm')));
    const [address4, address6] = [addressBytes('192.0.2.1'), new Uint8Array(16)];
    const interfaces = [{ index: interfaceIndex, canTransmit: false, address4, address6 }];
    const engine = await openVerdict(module, image, { flows: 4 * flowCount, interfaces });
    let nowNs = 1_000_000_000n;
    const reasonOf = (flow: number): string =>
      reasonName(engine.judge(packetOf(flow), { interfaceIndex, nowNs: (nowNs += nsPerPacket) }).reason);
    const flows = Array.from({ length: flowCount }, (_, flow) => flow);
    const begun = flows.filter((flow) => reasonOf(flow) === 'POLICY_ALLOW');
    expect(begun.length).toBeGreaterThan(flowCount / 2);
    expect(begun.filter((flow) => reasonOf(flow) !== 'FLOW')).toEqual([]);
  },
  buildTimeoutMs,
);
