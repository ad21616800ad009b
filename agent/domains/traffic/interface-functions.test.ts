import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createFakeHost } from './fake-host.ts';
import { readVirtualFunctions } from './interface-functions.ts';
import { createInterfaceWatch } from './interface-watch.ts';

/** A tree as that of the kernel: no machine of the tests has such a device. */
let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'nest-sysfs-'));
});
afterEach(() => rmSync(root, { recursive: true }));

const addInterface = (name: string, files: Readonly<Record<string, string>> | null): void => {
  mkdirSync(join(root, 'class/net', name), { recursive: true });
  if (files === null) return;
  const device = join(root, 'devices/pci0000:3a', name);
  mkdirSync(device, { recursive: true });
  for (const [file, text] of Object.entries(files)) writeFileSync(join(device, file), text);
  symlinkSync(device, join(root, 'class/net', name, 'device'));
};

/** The calls that the watch makes, of a data path on two interfaces. */
const engine = {
  interfaceFacts: async (name: string) => ({ name, addresses4: [], addresses6: [], xdpFeatures: null }),
  setInterfaceAddresses: async () => undefined,
  setTransmitPorts: async () => undefined,
} as never;

const read = async (name: string): Promise<unknown> => await readVirtualFunctions(name, join(root, 'class/net'));

describe('virtual functions of an interface (sysfs fixture)', () => {
  it('are those in use and those possible', async () => {
    addInterface('ens1', { sriov_numvfs: '2\n', sriov_totalvfs: '63\n' });
    expect(await read('ens1')).toEqual({ enabled: 2, total: 63 });
    addInterface('ens2', { sriov_numvfs: '0\n', sriov_totalvfs: '8\n' });
    expect(await read('ens2')).toEqual({ enabled: 0, total: 8 });
  });

  it('are known of the interfaces that the data path is attached to, as of the last look', async () => {
    addInterface('ens1', { sriov_numvfs: '2\n', sriov_totalvfs: '63\n' });
    addInterface('veth0', null);
    const watch = createInterfaceWatch(async (name) => await readVirtualFunctions(name, join(root, 'class/net')));
    const links = ['ens1', 'veth0'].map((name, index) => ({ name, index }));
    await watch.refresh(engine, links);
    expect(links.map(({ name }) => watch.facts(name)?.virtualFunctions)).toEqual([{ enabled: 2, total: 63 }, null]);
    writeFileSync(join(root, 'devices/pci0000:3a/ens1/sriov_numvfs'), '4\n');
    await watch.refresh(engine, links);
    expect(watch.facts('ens1')?.virtualFunctions).toEqual({ enabled: 4, total: 63 });
  });

  it('are part of what a host says of an interface', async () => {
    const host = createFakeHost();
    try {
      const traffic = await host.open();
      expect(traffic.status().interfaces.map(({ name, facts }) => [name, facts?.virtualFunctions])).toEqual([
        ['lan0', null],
        ['wan0', { enabled: 2, total: 8 }],
      ]);
    } finally {
      await host.close();
    }
  });

  it('are none where the device has none, or says so, or there is no device', async () => {
    addInterface('ens3', { vendor: '0x8086\n' });
    addInterface('ens4', { sriov_numvfs: '0\n', sriov_totalvfs: '0\n' });
    addInterface('ens5', { sriov_numvfs: '\n', sriov_totalvfs: 'many\n' });
    addInterface('veth0', null);
    for (const name of ['ens3', 'ens4', 'ens5', 'veth0', 'gone0']) expect(await read(name), name).toBeNull();
  });
});
