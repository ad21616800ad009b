import type { HostFacts, HostReading } from './api.ts';
import { readDisks } from './disks.ts';
import { readInterfaces } from './interfaces.ts';
import type { HostSource } from './source.ts';

/** Processor time since boot, in whatever unit the system counts. */
export interface CpuTicks {
  readonly busy: number;
  readonly total: number;
}

/** /proc/stat's first line on Linux (proc(5): iowait counts as idle), the runtime's own figures elsewhere. */
export const readCpuTicks = (source: HostSource): CpuTicks => {
  const line = source.platform === 'linux' ? /^cpu +(.*)$/m.exec(source.text('/proc/stat') ?? '')?.[1] : undefined;
  if (line === undefined) {
    const { busyTicks, totalTicks } = source.cpu();
    return { busy: busyTicks, total: totalTicks };
  }
  // user nice system idle iowait irq softirq steal; guest time is part of user already.
  const fields = line.split(' ').slice(0, 8).map(Number);
  const total = fields.reduce((sum, value) => sum + value, 0);
  return { busy: total - (fields[3] ?? 0) - (fields[4] ?? 0), total };
};

/** 0..1, or null when no time has passed between the two. */
export const cpuShare = (before: CpuTicks | undefined, now: CpuTicks): number | null => {
  const total = before === undefined ? 0 : now.total - before.total;
  if (before === undefined || total <= 0) return null;
  return Math.min(1, Math.max(0, (now.busy - before.busy) / total));
};

const readMemory = (source: HostSource): { readonly totalBytes: number; readonly usedBytes: number } => {
  const table = source.platform === 'linux' ? (source.text('/proc/meminfo') ?? '') : '';
  const kilobytes = (key: string): number | undefined => {
    const value = new RegExp(`^${key}: +(\\d+) kB$`, 'm').exec(table)?.[1];
    return value === undefined ? undefined : Number(value);
  };
  const total = kilobytes('MemTotal');
  const available = kilobytes('MemAvailable');
  if (total !== undefined && available !== undefined) return { totalBytes: total * 1024, usedBytes: (total - available) * 1024 };
  const { totalBytes, freeBytes } = source.memory();
  return { totalBytes, usedBytes: totalBytes - freeBytes };
};

/** One reading of everything; `cpuBusy` against the ticks of the reading before. */
export const readHost = (source: HostSource, timeMs: number, cpuBusy: number | null): HostReading => {
  const memory = readMemory(source);
  return {
    timeMs,
    cpuBusy,
    memoryUsedBytes: memory.usedBytes,
    memoryTotalBytes: memory.totalBytes,
    disks: readDisks(source),
    interfaces: readInterfaces(source),
    uptimeSeconds: source.uptimeSeconds(),
  };
};

/** What changes rarely. The boot time is derived from the uptime, so it moves by a second at most. */
export const readFacts = (source: HostSource, timeMs: number): HostFacts => {
  const { hostName, kernel, architecture, systemName } = source.identity();
  const { count, model } = source.cpu();
  const pretty = /^PRETTY_NAME="?([^"\n]+)"?$/m.exec(source.text('/etc/os-release') ?? '')?.[1];
  return {
    hostName,
    operatingSystem: pretty ?? systemName,
    kernel,
    architecture,
    cpuCount: count,
    cpuModel: model,
    memoryBytes: readMemory(source).totalBytes,
    bootedAtSeconds: Math.floor(timeMs / 1000) - source.uptimeSeconds(),
    addresses: [...source.addresses()].filter(([name]) => name !== 'lo').flatMap(([, addresses]) => [...addresses]),
  };
};
