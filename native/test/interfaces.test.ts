import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DataPath } from '../addon.ts';
import { loadNative } from '../index.ts';
import { addInterface, judgeOn, openDataPath, removeInterface } from './support/data-path.ts';
import { ethernet } from './support/packets.ts';

let dataPath: DataPath;
let pinPath: string;

beforeAll(async () => {
  ({ dataPath, pinPath } = await openDataPath());
});

afterAll(async () => {
  await dataPath.remove();
});

const link = (name: string): string => execFileSync('ip', ['link', 'show', name], { encoding: 'utf8' });
const packet = ethernet(0x88cc, Buffer.alloc(20));

describe('attaching', () => {
  it('takes driver mode where the driver has it', async () => {
    expect(await dataPath.attach('v0')).toMatchObject({ name: 'v0', mode: 'native' });
    expect(link('v0')).toMatch(new RegExp(`xdp.*id ${String(dataPath.state().programId)}`, 's'));
    expect(await dataPath.detach('v0')).toBe(true);
    expect(link('v0')).not.toContain('xdp');
  });

  it('falls back to generic mode', async () => {
    addInterface('generic0');
    expect(await dataPath.attach('generic0')).toMatchObject({ mode: 'generic' });
    expect(link('generic0')).toContain('xdpgeneric');
    await dataPath.detach('generic0');
    removeInterface('generic0');
  });

  it('is idempotent, and detaching what is not attached says so', async () => {
    const first = await dataPath.attach('v0');
    expect(await dataPath.attach('v0')).toEqual(first);
    expect([await dataPath.detach('v0'), await dataPath.detach('v0'), await dataPath.detach('nothing0')]).toEqual([true, false, false]);
  });

  it('refuses an interface that does not exist', async () => {
    await expect(dataPath.attach('nothing0')).rejects.toMatchObject({ code: 'NATIVE_INTERFACE_UNKNOWN', step: expect.any(String) });
  });

  it('never replaces a foreign program, in neither mode', async () => {
    const object = fileURLToPath(new URL('../../dist/bpf/foreign.bpf.o', import.meta.url));
    addInterface('foreign0');
    for (const [name, mode] of [
      ['v0', 'xdpdrv'],
      ['foreign0', 'xdpgeneric'],
    ] as const) {
      execFileSync('ip', ['link', 'set', 'dev', name, mode, 'obj', object, 'sec', 'xdp']);
      const before = link(name);
      await expect(dataPath.attach(name)).rejects.toMatchObject({
        code: 'NATIVE_INTERFACE_FOREIGN_PROGRAM',
        step: expect.stringContaining(name),
      });
      expect(link(name)).toBe(before);
      execFileSync('ip', ['link', 'set', 'dev', name, mode, 'off']);
      expect((await dataPath.attach(name)).name).toBe(name);
      await dataPath.detach(name);
    }
    removeInterface('foreign0');
  });

  it('works with a dot in the name, as VLAN interfaces have it', async () => {
    addInterface('eth0.100');
    await dataPath.attach('eth0.100');
    await dataPath.close();
    ({ dataPath, pinPath } = await openDataPath(pinPath));
    expect(dataPath.state().interfaces.map(({ name }) => name)).toEqual(['eth0.100']);
    expect(await dataPath.detach('eth0.100')).toBe(true);
    removeInterface('eth0.100');
  });

  it('follows an interface that was made anew under its name, with counters from zero', async () => {
    addInterface('again0');
    const first = await dataPath.attach('again0');
    judgeOn(dataPath, pinPath, 'again0').send(packet);
    removeInterface('again0');
    addInterface('again0');
    const second = await dataPath.attach('again0');
    expect(second.index).not.toBe(first.index);
    expect(
      dataPath
        .counters()
        .interfaces.flatMap(({ reasons }) => [...reasons])
        .every((value) => value === 0n),
    ).toBe(true);
    await dataPath.detach('again0');
    removeInterface('again0');
  });

  it('keeps the counters of 64 interfaces apart and refuses the next', async () => {
    const names = Array.from({ length: 65 }, (_, index) => `many${String(index)}`);
    for (const name of names) addInterface(name);
    for (const name of names.slice(0, 64)) await dataPath.attach(name);
    expect(new Set(dataPath.state().interfaces.map(({ slot }) => slot)).size).toBe(64);
    judgeOn(dataPath, pinPath, 'many63').send(packet);
    expect(
      dataPath
        .counters()
        .interfaces.filter(({ reasons }) => reasons.some((value) => value > 0n))
        .map(({ name }) => name),
    ).toEqual(['many63']);
    await expect(dataPath.attach('many64')).rejects.toMatchObject({ code: 'NATIVE_INTERFACES_EXHAUSTED' });
    for (const name of names) {
      await dataPath.detach(name);
      removeInterface(name);
    }
  });
});

describe('probing', () => {
  it('says of each engine whether it can run, and why', async () => {
    const probes = await loadNative().probe();
    expect(probes.map(({ engine, available }) => [engine, available])).toEqual([
      ['xdp-native', true],
      ['xdp-generic', true],
    ]);
    expect(probes.every(({ reason }) => reason.length > 10)).toBe(true);
  });
});
