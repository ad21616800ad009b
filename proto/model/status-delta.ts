/** What changes in the status of a host all the time, apart from what hardly ever does: agents send the one, consoles put it onto the other. */
import type { PacketCount } from '../gen/nest/v1/common.ts';
import type { HostStatus, InterfaceDelta, InterfaceStatus, StatusDelta } from '../gen/nest/v1/host.ts';

/** In the order in which deltas carry their growth. */
const counterNames = [
  'receivedPackets',
  'receivedBytes',
  'receivedDrops',
  'receivedErrors',
  'sentPackets',
  'sentBytes',
  'sentDrops',
  'sentErrors',
] as const;

/** Named by a delta; all else must be equal for there to be one. */
const statusChanging: ReadonlySet<string> = new Set([
  'timeMs',
  'cpuBusy',
  'memoryUsedBytes',
  'uptimeSeconds',
  'flows',
  'disks',
  'interfaces',
]);
const diskChanging: ReadonlySet<string> = new Set(['usedBytes']);
const interfaceChanging: ReadonlySet<string> = new Set([...counterNames, 'reasons']);
const none: ReadonlySet<string> = new Set();

/** From one whole state to the next; null when the next must be sent whole. */
export const deltaBetween = (before: HostStatus, after: HostStatus): StatusDelta | null => {
  if (!isSameBut(before, after, statusChanging)) return null;
  if (!areSameBut(before.disks, after.disks, diskChanging) || !areSameBut(before.interfaces, after.interfaces, interfaceChanging))
    return null;
  const interfaces: InterfaceDelta[] = [];
  for (const [position, now] of after.interfaces.entries()) {
    const last = before.interfaces[position];
    const grown = last === undefined ? null : interfaceDelta(last, now, position);
    if (grown === null) return null;
    if (grown.counters.length > 0 || Object.keys(grown.reasons).length > 0) interfaces.push(grown);
  }
  return {
    timeMs: after.timeMs,
    cpuBusy: after.cpuBusy,
    memoryUsedBytes: after.memoryUsedBytes,
    uptimeSeconds: after.uptimeSeconds,
    flows: after.flows,
    disksUsedBytes: areSameBut(before.disks, after.disks, none) ? [] : after.disks.map(({ usedBytes }) => usedBytes),
    interfaces,
  };
};

/** The state after a delta; what did not change is shared with the state before. */
export const withDelta = (before: HostStatus, delta: StatusDelta): HostStatus => {
  const { disksUsedBytes } = delta;
  let interfaces = before.interfaces;
  if (delta.interfaces.length > 0) {
    interfaces = [...before.interfaces];
    for (const grown of delta.interfaces) {
      const last = interfaces[grown.position];
      if (last !== undefined) interfaces[grown.position] = grownInterface(last, grown);
    }
  }
  return {
    ...before,
    timeMs: delta.timeMs,
    cpuBusy: delta.cpuBusy,
    memoryUsedBytes: delta.memoryUsedBytes,
    uptimeSeconds: delta.uptimeSeconds,
    flows: delta.flows,
    disks:
      disksUsedBytes.length === 0
        ? before.disks
        : before.disks.map((disk, position) => ({ ...disk, usedBytes: disksUsedBytes[position] ?? disk.usedBytes })),
    interfaces,
  };
};

/** True when a delta says nothing that an operator would wait for: only clocks, and load and memory within the noise. */
export const isQuiet = (before: HostStatus, delta: StatusDelta): boolean =>
  delta.interfaces.length === 0 &&
  delta.disksUsedBytes.length === 0 &&
  delta.flows === before.flows &&
  Math.abs((delta.cpuBusy ?? 0) - (before.cpuBusy ?? 0)) < quietCpuShare &&
  Math.abs(Number(delta.memoryUsedBytes - before.memoryUsedBytes)) < Number(before.memoryTotalBytes) * quietMemoryShare;

/** Changes below these shares of the whole are noise. */
const quietCpuShare = 0.02;
const quietMemoryShare = 0.01;

/** Null when a counter went back. */
const interfaceDelta = (last: InterfaceStatus, now: InterfaceStatus, position: number): InterfaceDelta | null => {
  const counters: bigint[] = [];
  let used = 0;
  for (const name of counterNames) {
    const growth = now[name] - last[name];
    if (growth < 0n) return null;
    counters.push(growth);
    if (growth > 0n) used = counters.length;
  }
  const reasons: Record<number, PacketCount> = {};
  for (const key of Object.keys(last.reasons)) if (!(key in now.reasons)) return null;
  for (const [key, count] of Object.entries(now.reasons)) {
    const number = Number(key);
    const before = last.reasons[number];
    const packets = count.packets - (before?.packets ?? 0n);
    const bytes = count.bytes - (before?.bytes ?? 0n);
    if (packets < 0n || bytes < 0n) return null;
    if (packets > 0n || bytes > 0n || before === undefined) reasons[number] = { packets, bytes };
  }
  return { position, counters: counters.slice(0, used), reasons };
};

const grownInterface = (last: InterfaceStatus, { counters, reasons }: InterfaceDelta): InterfaceStatus => {
  const next = { ...last };
  for (const [position, growth] of counters.entries()) {
    const name = counterNames[position];
    if (name !== undefined) next[name] += growth;
  }
  const keys = Object.keys(reasons);
  if (keys.length > 0) {
    next.reasons = { ...last.reasons };
    for (const key of keys) {
      const number = Number(key);
      const growth = reasons[number];
      const before = last.reasons[number];
      if (growth !== undefined)
        next.reasons[number] = { packets: (before?.packets ?? 0n) + growth.packets, bytes: (before?.bytes ?? 0n) + growth.bytes };
    }
  }
  return next;
};

const areSameBut = (before: readonly unknown[], after: readonly unknown[], changing: ReadonlySet<string>): boolean =>
  before.length === after.length && before.every((entry, position) => isSameBut(entry, after[position], changing));

/** Whether two messages are equal, apart from these fields of the outermost one. */
const isSameBut = (before: unknown, after: unknown, changing: ReadonlySet<string>): boolean => {
  if (before === after) return true;
  if (typeof before !== 'object' || typeof after !== 'object' || before === null || after === null) return false;
  if (Array.isArray(before)) return Array.isArray(after) && areSameBut(before, after, none);
  const [one, other] = [before as Record<string, unknown>, after as Record<string, unknown>];
  for (const key in one) if (!changing.has(key) && !isSameBut(one[key], other[key], none)) return false;
  for (const key in other) if (!changing.has(key) && !(key in one) && other[key] !== undefined) return false;
  return true;
};
