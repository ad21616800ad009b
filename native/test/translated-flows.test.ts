/** A translated flow has two entries in the kernel's table and is one flow everywhere else. */
import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DataPath } from '../addon.ts';
import type { Judge } from './support/data-path.ts';
import {
  addInterface,
  decodeRecords,
  dumpTable,
  flowsOf,
  judgeOn,
  openDataPath,
  packetTool,
  recordKinds,
  removeInterface,
} from './support/data-path.ts';
import { buildImage, l4, match } from './support/image-builder.ts';
import { address, frame4, udp } from './support/packets.ts';

const client = '198.18.1.10';
const virtual = '198.18.2.20';
const server = '198.18.3.30';

const balanced = (): Buffer =>
  buildImage({
    sourceClasses: 1,
    destinationClasses: 1,
    identities4: [
      { address: address('198.18.1.0'), length: 24, source: 1 },
      { address: address(virtual), length: 32, destination: 1 },
    ],
    pairs: [{ source: 1, destination: 1, l4: l4.udp, ports: match(0, 10, false) }],
    mappings: [{ name: 'dns', priority: 10 }],
    actions: [{ mapping: 0, balancer: 1 }],
    balancers: [{ mapping: 0, nat: 1, backends: [{ address: address(server), port: 5353, seed: 1 }] }],
  });

let dataPath: DataPath;
let pinPath: string;
let judge: Judge;

beforeAll(async () => {
  ({ dataPath, pinPath } = await openDataPath());
  addInterface('nat0');
  await dataPath.attach('nat0');
  await dataPath.swap(balanced(), 1);
  judge = judgeOn(dataPath, pinPath, 'nat0');
});

afterAll(async () => {
  await dataPath.remove();
  removeInterface('nat0');
});

const request = frame4({ from: client, to: virtual, protocol: 17, payload: udp({ from: 4000, to: 53 }) });
const answer = frame4({ from: server, to: client, protocol: 17, payload: udp({ from: 5353, to: 4000 }) });
const hexOf = (text: string): string => Buffer.from(address(text)).toString('hex');
const age = (seconds: number): void => {
  execFileSync(packetTool, ['age', '--pin-path', pinPath, '--seconds', String(seconds)]);
};

describe('a balanced flow', () => {
  it('is one row, seen from its initiator, with the packets of both directions', async () => {
    judge.sendAll([request, request, answer]);
    expect(dumpTable(pinPath, 'nest_flows4').length).toBe(2);
    const [flow, ...others] = await flowsOf(dataPath);
    expect(others).toEqual([]);
    expect(flow).toMatchObject({ sourcePort: 4000, destinationPort: 53, packets: [2n, 1n], kind: 0 });
    expect([flow?.source, flow?.destination]).toEqual([client, virtual].map((text) => hexOf(text)));
    const rewritten = { source: hexOf(client), destination: hexOf(server), sourcePort: 4000, destinationPort: 5353 };
    expect(flow).toMatchObject({ rewrite: 2, rewritten, backend: 0 });
    expect([...dataPath.counters().active.backends]).toEqual([1n, 3n, BigInt(2 * request.length + answer.length)]);
  });

  it('lives as long as one of its directions', async () => {
    age(50);
    judge.sendAll([answer]);
    age(50);
    expect((await dataPath.sweep(100)).length).toBe(0);
    expect((await flowsOf(dataPath)).length).toBe(1);
  });

  it('ends once, and both entries go', async () => {
    age(100);
    expect(await flowsOf(dataPath)).toEqual([]);
    const ended = decodeRecords(await dataPath.sweep(100));
    expect(ended.map(({ kind, packets }) => [kind, ...packets])).toEqual([[recordKinds.end, 2n, 2n]]);
    expect(ended[0]).toMatchObject({ rewrite: 2, rewritten: { destination: hexOf(server), destinationPort: 5353 }, backend: 0 });
    expect(dumpTable(pinPath, 'nest_flows4')).toEqual([]);
  });
});

describe('a trace', () => {
  it('shows the packet as it leaves, and why', async () => {
    const trace = await dataPath.trace(request, 'nat0');
    const destination = trace.packet.subarray(30, 34);
    expect([...destination, trace.packet.readUInt16BE(36)]).toEqual([...address(server), 5353]);
    // struct nest_trace_more: what was rewritten, and index + 1 of the balancer.
    expect([trace.more.readUInt8(36), trace.more.readUInt32LE(68)]).toEqual([2, 1]);
    expect(trace.packet.length).toBe(request.length);
    expect(dumpTable(pinPath, 'nest_flows4')).toEqual([]);
  });
});
