/**
 * What nest-fastpathd says of the host, and SR-IOV. There is no SR-IOV device here: the sysfs is a fixture, a folder with
 * the files the kernel has, which shows what is read and written and not what a device makes of it.
 */
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Bench, missing } from './support/fastpathd.ts';

const reason = missing('af_xdp');
let bench: Bench;

beforeAll(() => {
  if (reason === '') bench = new Bench();
});

afterAll(async () => {
  if (reason === '') await bench[Symbol.asyncDispose]();
});

interface Probe {
  readonly engines: readonly { readonly engine: string; readonly available: boolean; readonly reason: string }[];
  readonly interfaces: readonly object[];
}

describe('the probe', () => {
  it('says of both engines whether they can run and why, and what an interface has', (context) => {
    if (reason !== '') context.skip(reason);
    const { engines, interfaces } = bench.run(['--probe', '--interface', 'a1']) as Probe;
    expect(engines.map(({ engine }) => engine)).toEqual(['af_xdp', 'dpdk']);
    expect(engines[0]).toMatchObject({ available: true, reason: expect.stringContaining('kernel') });
    expect(engines[1]?.reason).toMatch(missing('dpdk') === '' ? /DPDK \d+\.\d+.*huge/ : /not installed|does not start/);
    expect(interfaces).toMatchObject([{ name: 'a1', driver: 'veth', queues: expect.any(Number), numaNode: -1, programId: 0, mtu: 1500 }]);
    expect(bench.hasProgram()).toBe(false);
  });

  it('counts the free huge pages of the sysfs it is given', (context) => {
    const dpdkReason = missing('dpdk');
    if (dpdkReason !== '') context.skip(dpdkReason);
    const sysfs = bench.path('pages');
    mkdirSync(join(sysfs, 'kernel/mm/hugepages/hugepages-2048kB'), { recursive: true });
    writeFileSync(join(sysfs, 'kernel/mm/hugepages/hugepages-2048kB/free_hugepages'), '7\n');
    for (const engine of ['af_xdp', 'dpdk'] as const) {
      const { engines } = bench.run(['--probe', '--sysfs', sysfs], engine) as Probe;
      expect(engines[1]).toMatchObject({ engine: 'dpdk', available: true, reason: expect.stringContaining('7 free huge pages of 2048kB') });
    }
  });
});

/** A device with two of four functions switched on: one with a driver and an interface, one without. */
const sysfsFixture = (name: string): { readonly root: string; readonly numvfs: string } => {
  const root = bench.path(name);
  const pci = join(root, 'devices/pci0000:3a');
  const device = join(pci, '0000:3b:00.0');
  mkdirSync(device, { recursive: true });
  for (const [file, text] of [
    ['sriov_totalvfs', '4\n'],
    ['sriov_numvfs', '2\n'],
    ['sriov_drivers_autoprobe', '1\n'],
    ['numa_node', '1\n'],
  ] as const)
    writeFileSync(join(device, file), text);
  mkdirSync(join(root, 'bus/pci/drivers/iavf'), { recursive: true });
  for (const number of [0, 1]) {
    const address = `0000:3b:02.${String(number)}`;
    mkdirSync(join(pci, address));
    symlinkSync(`../${address}`, join(device, `virtfn${String(number)}`));
  }
  mkdirSync(join(pci, '0000:3b:02.0/net/ens1v0'), { recursive: true });
  symlinkSync(join(root, 'bus/pci/drivers/iavf'), join(pci, '0000:3b:02.0/driver'));
  for (const net of ['ens1', 'plain0']) mkdirSync(join(root, 'class/net', net), { recursive: true });
  symlinkSync(device, join(root, 'class/net/ens1/device'));
  return { root, numvfs: join(device, 'sriov_numvfs') };
};

describe('virtual functions (sysfs fixture)', () => {
  it('are read with their addresses, drivers and interfaces', (context) => {
    if (reason !== '') context.skip(reason);
    const { root } = sysfsFixture('read');
    expect(bench.run(['--sysfs', root, '--virtual-functions', 'ens1'])).toEqual({
      device: 'ens1',
      address: '0000:3b:00.0',
      numaNode: 1,
      total: 4,
      enabled: 2,
      automaticDrivers: true,
      functions: [
        { number: 0, address: '0000:3b:02.0', driver: 'iavf', interface: 'ens1v0' },
        { number: 1, address: '0000:3b:02.1', driver: '', interface: '' },
      ],
    });
  });

  it('are set to another number, within what the device has', (context) => {
    if (reason !== '') context.skip(reason);
    const { root, numvfs } = sysfsFixture('set');
    expect(bench.run(['--sysfs', root, '--virtual-functions', 'ens1=4'])).toMatchObject({ enabled: 4 });
    expect(readFileSync(numvfs, 'utf8')).toBe('4\n');
    expect(bench.refusal(['--sysfs', root, '--virtual-functions', 'ens1=5'])).toMatchObject({ code: 2, status: 'USAGE' });
    expect(bench.run(['--sysfs', root, '--virtual-functions', 'ens1=0'])).toMatchObject({ enabled: 0, functions: [] });
    expect(readFileSync(numvfs, 'utf8')).toBe('0\n');
  });

  it('says when there is no such interface, or it has none', (context) => {
    if (reason !== '') context.skip(reason);
    const { root } = sysfsFixture('none');
    expect(bench.refusal(['--sysfs', root, '--virtual-functions', 'plain0'])).toMatchObject({ status: 'UNSUPPORTED' });
    expect(bench.refusal(['--sysfs', root, '--virtual-functions', 'nothing0'])).toMatchObject({ status: 'INTERFACE' });
  });
});
