import { describe, expect, it } from 'vitest';
import { createManualClock } from '../../lib/manual-clock.ts';
import { createHost } from './host.ts';
import type { HostSource } from './source.ts';
import { systemSource } from './source.ts';

const gibibyte = 1024 ** 3;

const createFixture = () => {
  const files = new Map<string, string>([
    ['/proc/stat', 'cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 2 3\n'],
    ['/proc/meminfo', 'MemTotal:        8388608 kB\nMemFree:          100 kB\nMemAvailable:    4194304 kB\n'],
    [
      '/proc/mounts',
      '/dev/vda / ext4 rw 0 0\n/dev/vda /mnt/again\\040here ext4 rw 0 0\nproc /proc proc rw 0 0\n/dev/vdb /data\\040disk ext4 rw 0 0\n',
    ],
    ['/etc/os-release', 'NAME=x\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n'],
    ['/sys/class/net/eth0/ifindex', '2\n'],
    ['/sys/class/net/eth0/address', '02:00:00:00:00:01\n'],
    ['/sys/class/net/eth0/mtu', '1500\n'],
    ['/sys/class/net/eth0/flags', '0x1003\n'],
    ['/sys/class/net/eth0/statistics/rx_packets', '18446744073709551615\n'],
    ['/sys/class/net/eth0/statistics/tx_dropped', '7\n'],
    ['/sys/class/net/lan0.120/ifindex', '9\n'],
    ['/sys/class/net/lan0.120/uevent', 'DEVTYPE=vlan\nINTERFACE=lan0.120\n'],
  ]);
  const source: HostSource = {
    ...systemSource,
    platform: 'linux',
    text: (path) => files.get(path),
    names: (path) => (path === '/sys/class/net' ? ['lan0.120', 'gone0', 'eth0'] : []),
    linkTarget: (path) => (path === '/sys/class/net/eth0/device/driver' ? 'virtio_net' : undefined),
    resolved: () => undefined,
    fileSystem: (mountPoint) => ({ totalBytes: 10 * gibibyte, freeBytes: mountPoint === '/data disk' ? gibibyte / 2 : 5 * gibibyte }),
    addresses: () => new Map([['eth0', ['198.18.0.1/24']]]),
    uptimeSeconds: () => 1000,
  };
  return { files, source };
};

describe('host readings', () => {
  it('come from the kernel, with counters beyond 2^53 exact and what is unknown left out', () => {
    const { source } = createFixture();
    const host = createHost({ source, clock: createManualClock() });
    const reading = host.reading();
    expect(reading).toMatchObject({ cpuBusy: null, memoryTotalBytes: 8 * gibibyte, memoryUsedBytes: 4 * gibibyte, uptimeSeconds: 1000 });
    expect(reading.disks.map(({ mountPoint }) => mountPoint)).toEqual(['/', '/data disk']);
    expect(reading.interfaces.map(({ name, driver }) => [name, driver])).toEqual([
      ['eth0', 'virtio_net'],
      ['lan0.120', 'vlan'],
    ]);
    expect(reading.interfaces[0]).toMatchObject({ up: true, mtu: 1500, addresses: ['198.18.0.1/24'] });
    expect(reading.interfaces[0]?.received.packets).toBe(18446744073709551615n);
    expect(reading.interfaces[0]?.sent.drops).toBe(7n);
    expect(host.facts()).toMatchObject({ operatingSystem: 'Debian GNU/Linux 12 (bookworm)', addresses: ['198.18.0.1/24'] });
  });

  it('give the share of busy processor time between two readings', async () => {
    const { files, source } = createFixture();
    const clock = createManualClock();
    const host = createHost({ source, clock });
    const stop = new AbortController();
    host.start(stop.signal);
    const readings = host.watch(stop.signal)[Symbol.asyncIterator]();
    expect((await readings.next()).value?.cpuBusy).toBeNull();
    files.set('/proc/stat', 'cpu  150 0 125 800 125 0 0 0 0 0\n');
    const second = readings.next();
    clock.advance(1000);
    expect((await second).value?.cpuBusy).toBeCloseTo(75 / 200);
    stop.abort();
    expect((await readings.next()).done).toBe(true);
  });

  it('raise a warning for a full disk with its first time, and clear it', () => {
    const { source } = createFixture();
    const clock = createManualClock();
    const host = createHost({ source, clock });
    host.start(new AbortController().signal);
    const [warning] = host.warnings();
    expect(warning).toMatchObject({ code: 'DISK_NEARLY_FULL', severity: 'warning' });
    expect(warning?.message).toContain('/data disk is 95 %');
    clock.advance(5000);
    expect(host.warnings()[0]?.sinceMs).toBe(warning?.sinceMs);
    host.raise('POLICY_STALE', { title: 'x', message: 'y', severity: 'critical' });
    expect(host.warnings()).toHaveLength(2);
    host.raise('POLICY_STALE', null);
    expect(host.warnings()).toHaveLength(1);
  });

  it('work on the machine that runs this test', () => {
    const reading = createHost().reading();
    expect(reading.memoryTotalBytes).toBeGreaterThan(reading.memoryUsedBytes);
    expect(reading.uptimeSeconds).toBeGreaterThan(0);
  });
});
