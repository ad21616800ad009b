import type { HostReading } from './api.ts';
import type { HostSource } from './source.ts';

type Disk = HostReading['disks'][number];

/** More mounts than this are not shown; the root file system always comes first. */
const disksMax = 32;

/** Mount tables escape blanks and backslashes as octal numbers (proc(5)). */
const unescapeMount = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));

/** Real file systems: backed by a device and counted once, however often they are mounted. */
export const readDisks = (source: HostSource): readonly Disk[] => {
  const mounts = source.platform === 'linux' ? mountsOf(source.text('/proc/mounts') ?? '') : ['/'];
  return mounts.slice(0, disksMax).flatMap((mountPoint) => {
    const usage = source.fileSystem(mountPoint);
    if (usage === undefined || usage.totalBytes === 0) return [];
    return [{ mountPoint, totalBytes: usage.totalBytes, usedBytes: usage.totalBytes - usage.freeBytes }];
  });
};

const mountsOf = (table: string): readonly string[] => {
  const byDevice = new Map<string, string>();
  for (const line of table.split('\n')) {
    const [device = '', mountPoint = '', type = ''] = line.split(' ');
    if (!device.startsWith('/dev/') || type === 'squashfs' || type === 'iso9660') continue;
    const path = unescapeMount(mountPoint);
    const known = byDevice.get(device);
    if (known === undefined || path.length < known.length) byDevice.set(device, path);
  }
  return [...byDevice.values()].sort((a, b) => (a < b ? -1 : 1));
};
