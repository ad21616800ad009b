import { existsSync, mkdirSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DataPath } from '../addon.ts';
import { bpfObjectPath, loadNative } from '../index.ts';
import { addInterface, generate, judgeOn, openDataPath, reasonNumber, removeInterface } from './support/data-path.ts';
import { ethernet, frame4, ipv4, tcp, tcpFlag } from './support/packets.ts';
import { client4, mapping, server4, webPolicy } from './support/policies.ts';
import type { Variant } from './support/variant.ts';
import { buildVariant } from './support/variant.ts';

/** Knows one VLAN tag instead of two; its maps are the same. */
let next: Variant;
/** Has smaller flow tables. */
let foreign: Variant;

beforeAll(() => {
  next = buildVariant('include/nest/abi.h', '#define NEST_VLAN_TAGS_MAX           2', '#define NEST_VLAN_TAGS_MAX           1');
  foreign = buildVariant('include/nest/abi.h', 'NEST_FLOWS_MAX     131072u', 'NEST_FLOWS_MAX     65536u');
});

afterAll(() => {
  next[Symbol.dispose]();
  foreign[Symbol.dispose]();
});

const web = { from: client4, to: server4, protocol: 6, payload: tcp({ from: 1, flags: tcpFlag.ack }) };
const twoTags = ethernet(0x0800, ipv4(web), [0x88a8, 0x8100]);
const open = async (objectPath: string, pinPath: string): Promise<DataPath> => await loadNative().open({ objectPath, pinPath });

describe('an upgrade of the packet program', () => {
  it('keeps policy, flows, counters and interfaces, and judges by the new program', async () => {
    addInterface('upgrade0');
    const { dataPath: first, pinPath } = await openDataPath();
    await first.attach('upgrade0');
    await first.swap(webPolicy(), 1);
    const before = judgeOn(first, pinPath, 'upgrade0');
    expect([before.send(frame4(web)).reason, before.send(twoTags).reason]).toEqual(['POLICY_ALLOW', 'FLOW']);
    const { programId, interfaces } = first.state();
    await first.close();

    const second = await open(next.objectPath, pinPath);
    expect(second.state()).toMatchObject({ adopted: true, sequence: 1, interfaces });
    expect(second.state().programId).not.toBe(programId);
    expect(readdirSync(pinPath).sort()).toEqual(['links', 'maps', 'programs']);
    const after = judgeOn(second, pinPath, 'upgrade0');
    expect([after.send(frame4(web)).reason, after.send(twoTags).reason]).toEqual(['FLOW', 'TOO_MANY_TAGS']);
    expect(second.counters().active.values[mapping.allowWeb * 2]).toBe(3n);
    expect((await second.trace(frame4(web), 'upgrade0')).trace.readUInt8(8)).toBe(reasonNumber.FLOW);
    await second.close();

    // And back.
    const third = await open(bpfObjectPath(), pinPath);
    expect(judgeOn(third, pinPath, 'upgrade0').send(twoTags).reason).toBe('FLOW');
    await third.remove();
    expect(existsSync(pinPath)).toBe(false);
    removeInterface('upgrade0');
  });

  it('loses no packet at 50,000 a second, and every one is counted once', async () => {
    const { dataPath: first, pinPath } = await openDataPath();
    await first.attach('v0');
    await first.swap(webPolicy(), 1);
    await first.close();
    const sending = generate(frame4(web), ['--count', '200000', '--rate', '50000', '--vary-offset', '34', '--flows', '256']);
    let dataPath: DataPath | undefined;
    let upgrades = 0;
    for (let isSending = true; isSending; upgrades += 1) {
      await dataPath?.close();
      dataPath = await open(upgrades % 2 === 0 ? next.objectPath : bpfObjectPath(), pinPath);
      isSending = await Promise.race([sending.then(() => false), new Promise<boolean>((resolve) => setImmediate(() => resolve(true)))]);
    }
    const sent = await sending;
    console.log(`${String(upgrades)} upgrades during ${String(sent)} packets`);
    const counters = dataPath?.counters();
    await dataPath?.remove();
    expect(upgrades).toBeGreaterThan(0);
    expect([sent, counters?.active.values[mapping.allowWeb * 2]]).toEqual([200_000, 200_000n]);
  });

  it('is finished by the next process when one dies in between', async () => {
    addInterface('upgrade1');
    const { dataPath: first, pinPath } = await openDataPath();
    await first.attach('upgrade1');
    await first.swap(webPolicy(), 1);
    await first.close();
    const second = await open(next.objectPath, pinPath);
    const { programId } = second.state();
    await second.close();
    // As a process leaves the pins that dies between its two moves: the new programs complete, the old ones moved away.
    renameSync(join(pinPath, 'programs'), join(pinPath, 'upgrade'));
    mkdirSync(join(pinPath, 'replaced'));
    const third = await open(next.objectPath, pinPath);
    expect(third.state()).toMatchObject({ adopted: true, sequence: 1, programId, interfaces: [{ name: 'upgrade1' }] });
    expect(readdirSync(pinPath).sort()).toEqual(['links', 'maps', 'programs']);
    await third.remove();
    removeInterface('upgrade1');
  });

  it('that the verifier rejects, or whose maps differ, leaves everything as it was', async () => {
    const { dataPath: first, pinPath } = await openDataPath();
    await first.swap(webPolicy(), 1);
    const { programId } = first.state();
    await first.close();
    using broken = buildVariant(
      'nest_xdp.bpf.c',
      'struct nest_trace *trace = nest_context_trace(context);',
      'struct nest_trace *trace = (void *)8;',
    );
    await expect(open(broken.objectPath, pinPath)).rejects.toMatchObject({ code: 'NATIVE_VERIFIER_REJECTED' });
    await expect(open(foreign.objectPath, pinPath)).rejects.toMatchObject({
      code: 'NATIVE_PIN_INCOMPATIBLE',
      message: expect.stringContaining('nest_flows4'),
    });
    const { dataPath: again } = await openDataPath(pinPath);
    expect(again.state()).toMatchObject({ adopted: true, sequence: 1, programId });
    await again.remove();
  });
});
