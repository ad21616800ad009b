/** What changes under a loaded policy: backend states, deny lists, flood mode, addresses and ports of interfaces. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DataPath, InterfaceFacts } from '../addon.ts';
import { loadNative } from '../index.ts';
import { addInterface, dumpTable, openDataPath, removeInterface } from './support/data-path.ts';
import type { ImageBackend } from './support/image-builder.ts';
import { buildImage, denySection, l4, match } from './support/image-builder.ts';
import { address } from './support/packets.ts';
import { webPolicy } from './support/policies.ts';

let dataPath: DataPath;
let pinPath: string;

beforeAll(async () => {
  ({ dataPath, pinPath } = await openDataPath());
});

afterAll(async () => {
  await dataPath.remove();
});

const up = 0;
const drain = 1;
const down = 2;
const none = 0xffff;
const ringSize = 65_537;

const backend = (host: number, weight: number): ImageBackend => ({
  address: address(`198.18.3.${String(host)}`),
  port: 80,
  weight,
  seed: host * 7919,
});
const balanced = (backends: readonly ImageBackend[]): Buffer =>
  buildImage({
    sourceClasses: 1,
    destinationClasses: 1,
    pairs: [{ source: 1, destination: 1, l4: l4.tcp, ports: match(0, 10, false) }],
    mappings: [{ name: 'web', priority: 10 }],
    actions: [{ mapping: 0, balancer: 1 }],
    balancers: [{ mapping: 0, nat: 1, backends }],
  });
const load = async (image: Buffer, states?: Uint8Array): Promise<void> => {
  await dataPath.swap(image, dataPath.state().sequence + 1, states);
};

/** The first ring in use: a backend index per position. */
const ring = (): readonly number[] => {
  const [row = ''] = dumpTable(pinPath, 'nest_rings');
  const bytes = Buffer.from(row.split(':')[1] ?? '', 'hex');
  return Array.from({ length: ringSize }, (_, position) => bytes.readUInt16LE(position * 2));
};
const shares = (positions: readonly number[]): readonly number[] =>
  [0, 1, 2].map((index) => positions.filter((each) => each === index).length / ringSize);

describe('backends', () => {
  const backends = [backend(1, 1), backend(2, 1), backend(3, 2)];

  it('share the ring by weight, and one that goes takes only its own part with it', async () => {
    await load(balanced(backends));
    const before = ring();
    for (const [index, share] of [0.25, 0.25, 0.5].entries()) expect(shares(before)[index]).toBeCloseTo(share, 2);
    const { sequence, swapped } = dataPath.state();
    expect(await dataPath.setBackendStates(Uint8Array.of(up, down, up))).toEqual({ sequence: sequence + 2 });
    expect(dataPath.state()).toMatchObject({ sequence: sequence + 2, swapped });
    const after = ring();
    expect(shares(after)[1]).toBe(0);
    const moved = before.filter((each, position) => each !== 1 && each !== after[position]).length / ringSize;
    expect(moved).toBeLessThan(0.02);
    // The same again changes nothing, so that flows are left alone.
    expect(await dataPath.setBackendStates(Uint8Array.of(up, down, up))).toEqual({ sequence: sequence + 2 });
    await dataPath.setBackendStates(Uint8Array.of(up, up, up));
    expect(ring()).toEqual(before);
  });

  it('that drain get no position, and none at all leaves the ring empty', async () => {
    await load(balanced(backends));
    await dataPath.setBackendStates(Uint8Array.of(drain, up, drain));
    expect(shares(ring())).toEqual([0, 1, 0]);
    await dataPath.setBackendStates(Uint8Array.of(down, down, down));
    expect(ring().every((each) => each === none)).toBe(true);
  });

  it('begin with the states given to the swap', async () => {
    await load(balanced(backends), Uint8Array.of(up, down, down));
    expect(shares(ring())).toEqual([1, 0, 0]);
  });

  it('are known to the process that takes over', async () => {
    await load(balanced(backends));
    await dataPath.close();
    ({ dataPath } = await openDataPath(pinPath));
    expect(dataPath.counters().active.backends.length).toBe(9);
    await dataPath.setBackendStates(Uint8Array.of(down, up, down));
    expect(shares(ring())).toEqual([0, 1, 0]);
    await load(balanced([...backends, backend(4, 1)]));
    await load(balanced(backends));
    expect(ring().includes(none)).toBe(false);
  });

  it('are refused states that do not fit', async () => {
    await load(balanced(backends));
    for (const states of [Uint8Array.of(up, up), Uint8Array.of(up, up, up, up), Uint8Array.of(up, up, 3)])
      await expect(dataPath.setBackendStates(states)).rejects.toMatchObject({ code: 'NATIVE_SYSTEM', step: expect.any(String) });
    await expect(dataPath.swap(balanced(backends), dataPath.state().sequence + 1, Uint8Array.of(up))).rejects.toMatchObject({
      code: 'NATIVE_SYSTEM',
    });
  });
});

describe('deny lists', () => {
  const nothing = Buffer.alloc(0);
  const entry = (text: string, length: number, list = 0) => ({ address: address(text), length, list });

  it('take prefixes at run time, exact ones apart, and stamp flows anew only then', async () => {
    await load(buildImage({ denyLists: ['a', 'b'], deny4: [entry('192.0.2.0', 24)] }));
    const { sequence } = dataPath.state();
    const added = await dataPath.updateDeny(4, denySection([entry('198.19.0.0', 16, 1), entry('198.18.0.7', 32)]), nothing);
    await dataPath.updateDeny(6, denySection([entry('2001:db8::7', 128, 1)]), nothing);
    expect([added.sequence, dataPath.state().sequence]).toEqual([sequence + 2, sequence + 4]);
    expect(dumpTable(pinPath, 'nest_deny_pfx4')).toEqual(['10000000c6130000:01000000', '18000000c0000200:00000000']);
    expect(dumpTable(pinPath, 'nest_deny4')).toEqual(['c6120007:00000000']);
    expect(dumpTable(pinPath, 'nest_deny6')).toEqual(['20010db8000000000000000000000007:01000000']);
    const removed = await dataPath.updateDeny(4, nothing, denySection([entry('198.19.0.0', 16), entry('203.0.113.0', 24)]));
    expect(removed.sequence).toBe(sequence + 4);
    expect(dumpTable(pinPath, 'nest_deny_pfx4')).toEqual(['18000000c0000200:00000000']);
  });

  it('refuse what is no prefix', async () => {
    await load(buildImage({ denyLists: ['a'] }));
    const hostile = [
      denySection([entry('198.18.0.7', 31)]),
      denySection([entry('198.18.0.0', 33)]),
      denySection([entry('198.18.0.0', 16, 256)]),
      Buffer.alloc(11),
    ];
    for (const add of hostile) await expect(dataPath.updateDeny(4, add, nothing)).rejects.toMatchObject({ code: 'NATIVE_IMAGE_INVALID' });
    await expect(dataPath.updateDeny(5 as 4, nothing, nothing)).rejects.toMatchObject({ code: 'NATIVE_IMAGE_INVALID' });
    expect(dumpTable(pinPath, 'nest_deny_pfx4')).toEqual([]);
  });

  it('need a policy', async () => {
    const { dataPath: fresh } = await openDataPath();
    await expect(fresh.updateDeny(4, nothing, nothing)).rejects.toMatchObject({ code: 'NATIVE_SYSTEM' });
    await fresh.remove();
  });
});

describe('flood mode', () => {
  it('outlives swaps, stamps and the process', async () => {
    const flood = 8;
    await load(webPolicy());
    dataPath.setFlood(true);
    expect(dataPath.state().flags).toBe(3 | flood);
    await load(webPolicy());
    await dataPath.close();
    ({ dataPath } = await openDataPath(pinPath));
    expect(dataPath.state().flags).toBe(3 | flood);
    dataPath.setFlood(false);
    expect(dataPath.state().flags).toBe(3);
  });
});

describe('interfaces', () => {
  it('have the addresses and the permission to send that were given last', async () => {
    await dataPath.setInterfaceAddresses([
      { index: 7, address4: Uint8Array.of(198, 18, 0, 1), address6: null },
      { index: 8, address4: null, address6: Uint8Array.from(address('2001:db8::8')) },
    ]);
    await dataPath.setInterfaceAddresses([{ index: 8, address4: null, address6: Uint8Array.from(address('2001:db8::9')) }]);
    await dataPath.setTxPorts(Uint32Array.of(3, 9));
    await dataPath.setTxPorts(Uint32Array.of(9));
    await expect(
      dataPath.setInterfaceAddresses(Array.from({ length: 65 }, (_, index) => ({ index: index + 1, address4: null, address6: null }))),
    ).rejects.toMatchObject({ code: 'NATIVE_INTERFACES_EXHAUSTED' });
    expect(dumpTable(pinPath, 'nest_if_addr')).toEqual([`08000000:0000000020010db8${'0'.repeat(22)}09`]);
    expect(dumpTable(pinPath, 'nest_tx_ports').filter((row) => !row.endsWith(':00000000'))).toEqual(['09000000:01000000']);
  });

  it('are described by the kernel', async () => {
    const interfaceFacts = async (name: string): Promise<InterfaceFacts> => await loadNative().interfaceFacts(name);
    addInterface('facts0');
    const facts = await interfaceFacts('v0');
    expect(facts).toMatchObject({ name: 'v0', driver: 'veth', receiveQueues: 1, sendQueues: 1, mtu: 1500, numaNode: null });
    expect(facts.addresses4.map((each) => [...each])).toEqual([[198, 18, 0, 1]]);
    expect(facts.addresses6.map((each) => [...each])).toEqual([[...address('2001:db8::1')]]);
    if (facts.xdpFeatures !== null) expect(facts.xdpFeatures).toEqual(expect.arrayContaining(['basic', 'redirect']));
    expect((await interfaceFacts('facts0')).driver).toBe('bridge');
    await expect(interfaceFacts('nothing0')).rejects.toMatchObject({ code: 'NATIVE_INTERFACE_UNKNOWN' });
    removeInterface('facts0');
  });
});
