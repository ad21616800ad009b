import { readFileSync, readdirSync, readlinkSync, realpathSync, statfsSync } from 'node:fs';
import * as os from 'node:os';

/** Port to what the operating system tells, so that tests feed fixtures. Missing files are undefined, never errors. */
export interface HostSource {
  readonly platform: NodeJS.Platform;
  text(path: string): string | undefined;
  /** Names in a folder, empty when it is absent. */
  names(path: string): readonly string[];
  /** Last part of where a symbolic link leads. */
  linkTarget(path: string): string | undefined;
  /** Absolute path after resolving links. */
  resolved(path: string): string | undefined;
  fileSystem(mountPoint: string): { readonly totalBytes: number; readonly freeBytes: number } | undefined;
  /** Addresses in CIDR form by interface name. */
  addresses(): ReadonlyMap<string, readonly string[]>;
  memory(): { readonly totalBytes: number; readonly freeBytes: number };
  cpu(): { readonly count: number; readonly model: string; readonly busyTicks: number; readonly totalTicks: number };
  uptimeSeconds(): number;
  identity(): { readonly hostName: string; readonly kernel: string; readonly architecture: string; readonly systemName: string };
}

const attempt = <T>(read: () => T): T | undefined => {
  try {
    return read();
  } catch {
    return undefined;
  }
};

const lastPart = (path: string): string => path.slice(path.lastIndexOf('/') + 1);

/** The machine this process runs on, as its network namespace sees it. */
export const systemSource: HostSource = {
  platform: process.platform,
  text: (path) => attempt(() => readFileSync(path, 'utf8')),
  names: (path) => attempt(() => readdirSync(path)) ?? [],
  linkTarget: (path) => attempt(() => lastPart(readlinkSync(path))),
  resolved: (path) => attempt(() => realpathSync(path)),
  fileSystem: (mountPoint) =>
    attempt(() => {
      const { bsize, blocks, bavail } = statfsSync(mountPoint);
      return { totalBytes: blocks * bsize, freeBytes: bavail * bsize };
    }),
  addresses: () =>
    new Map(
      Object.entries(os.networkInterfaces()).map(([name, entries]) => [name, (entries ?? []).map(({ address, cidr }) => cidr ?? address)]),
    ),
  memory: () => ({ totalBytes: os.totalmem(), freeBytes: os.freemem() }),
  cpu: () => {
    const cpus = os.cpus();
    const sum = (pick: (times: os.CpuInfo['times']) => number): number => cpus.reduce((total, { times }) => total + pick(times), 0);
    const idleTicks = sum(({ idle }) => idle);
    const totalTicks = sum(({ user, nice, sys, idle, irq }) => user + nice + sys + idle + irq);
    return { count: cpus.length, model: cpus[0]?.model.trim() ?? '', busyTicks: totalTicks - idleTicks, totalTicks };
  },
  uptimeSeconds: () => Math.floor(os.uptime()),
  identity: () => ({
    hostName: os.hostname(),
    kernel: os.release(),
    architecture: os.machine(),
    systemName: `${os.type()} ${os.release()}`,
  }),
};
