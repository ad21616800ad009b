/** What changes in the status of a host all the time, apart from what hardly ever does: agents send the one, consoles put it onto the other. */
import type { PacketCount } from '../gen/nest/v1/common.ts';
import { DiskUsage, HostStatus, InterfaceStatus } from '../gen/nest/v1/host.ts';
import type { InterfaceDelta, StatusDelta } from '../gen/nest/v1/host.ts';

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
const statusChanging = ['timeMs', 'cpuBusy', 'memoryUsedBytes', 'uptimeSeconds', 'flows', 'disks', 'interfaces'] as const;

type Key<Message> = keyof Message & string;

/** The fields that a message has by its schema but for the changing ones: a field that is added there is compared here by itself. */
const steadyKeys = <Message extends object>(empty: Message, changing: readonly Key<Message>[]): readonly Key<Message>[] =>
  (Object.keys(empty) as Key<Message>[]).filter((key) => !changing.includes(key));

const statusSteady = steadyKeys(HostStatus.fromPartial({}), statusChanging);
const diskSteady = steadyKeys(DiskUsage.fromPartial({}), ['usedBytes']);
const interfaceSteady = steadyKeys(InterfaceStatus.fromPartial({}), [...counterNames, 'reasons']);

/** From one whole state to the next; null when the next must be sent whole. */
export const deltaBetween = (before: HostStatus, after: HostStatus): StatusDelta | null => {
  if (!isSteady(before, after, statusSteady)) return null;
  if (before.disks.length !== after.disks.length || before.interfaces.length !== after.interfaces.length) return null;
  let hasDiskChanged = false;
  for (const [position, disk] of after.disks.entries()) {
    const last = before.disks[position];
    if (last === undefined || !isSteady(last, disk, diskSteady)) return null;
    hasDiskChanged ||= last.usedBytes !== disk.usedBytes;
  }
  const interfaces: InterfaceDelta[] = [];
  for (let position = 0; position < after.interfaces.length; position += 1) {
    const [last, now] = [before.interfaces[position], after.interfaces[position]];
    if (last === undefined || now === undefined || !isSteady(last, now, interfaceSteady)) return null;
    const grown = interfaceDelta(last, now, position);
    if (grown === null) return null;
    if (grown !== 'same') interfaces.push(grown);
  }
  return {
    timeMs: after.timeMs,
    cpuBusy: after.cpuBusy,
    memoryUsedBytes: after.memoryUsedBytes,
    uptimeSeconds: after.uptimeSeconds,
    flows: after.flows,
    disksUsedBytes: hasDiskChanged ? after.disks.map(({ usedBytes }) => usedBytes) : [],
    interfaces,
  };
};

/** Makes a state the one after a delta, in place: a fleet sends thousands a second, so whoever keeps a state owns it. */
export const addDelta = (status: HostStatus, delta: StatusDelta): void => {
  status.timeMs = delta.timeMs;
  status.cpuBusy = delta.cpuBusy;
  status.memoryUsedBytes = delta.memoryUsedBytes;
  status.uptimeSeconds = delta.uptimeSeconds;
  status.flows = delta.flows;
  const { disks } = status;
  for (let position = 0; position < disks.length; position += 1) {
    const usedBytes = delta.disksUsedBytes[position];
    const disk = disks[position];
    if (disk !== undefined && usedBytes !== undefined) disk.usedBytes = usedBytes;
  }
  for (const grown of delta.interfaces) {
    const last = status.interfaces[grown.position];
    if (last !== undefined) growInterface(last, grown);
  }
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
const interfaceDelta = (last: InterfaceStatus, now: InterfaceStatus, position: number): InterfaceDelta | 'same' | null => {
  const counters = [
    now.receivedPackets - last.receivedPackets,
    now.receivedBytes - last.receivedBytes,
    now.receivedDrops - last.receivedDrops,
    now.receivedErrors - last.receivedErrors,
    now.sentPackets - last.sentPackets,
    now.sentBytes - last.sentBytes,
    now.sentDrops - last.sentDrops,
    now.sentErrors - last.sentErrors,
  ];
  let used = 0;
  for (let position = 0; position < counters.length; position += 1) {
    const growth = counters[position] ?? 0n;
    if (growth < 0n) return null;
    if (growth !== 0n) used = position + 1;
  }
  for (const key in last.reasons) if (now.reasons[key as unknown as number] === undefined) return null;
  const reasons: Record<number, PacketCount> = {};
  let hasReasons = false;
  for (const key in now.reasons) {
    const number = key as unknown as number;
    const count = now.reasons[number] as PacketCount;
    const before = last.reasons[number];
    if (before !== undefined && before.packets === count.packets && before.bytes === count.bytes) continue;
    const packets = count.packets - (before?.packets ?? 0n);
    const bytes = count.bytes - (before?.bytes ?? 0n);
    if (packets < 0n || bytes < 0n) return null;
    reasons[number] = { packets, bytes };
    hasReasons = true;
  }
  if (used === 0 && !hasReasons) return 'same';
  counters.length = used;
  return { position, counters, reasons };
};

const growInterface = (status: InterfaceStatus, { counters, reasons }: InterfaceDelta): void => {
  // Property by property: a loop over names costs three times as much, and this is done for every status of a fleet.
  const grow = (counter: bigint, position: number): bigint => {
    const growth = counters[position];
    return growth === undefined || growth === 0n ? counter : counter + growth;
  };
  status.receivedPackets = grow(status.receivedPackets, 0);
  status.receivedBytes = grow(status.receivedBytes, 1);
  status.receivedDrops = grow(status.receivedDrops, 2);
  status.receivedErrors = grow(status.receivedErrors, 3);
  status.sentPackets = grow(status.sentPackets, 4);
  status.sentBytes = grow(status.sentBytes, 5);
  status.sentDrops = grow(status.sentDrops, 6);
  status.sentErrors = grow(status.sentErrors, 7);
  for (const key in reasons) {
    const number = key as unknown as number;
    const growth = reasons[number] as PacketCount;
    const count = status.reasons[number];
    if (count === undefined) status.reasons[number] = growth;
    else {
      count.packets += growth.packets;
      count.bytes += growth.bytes;
    }
  }
};

const isSteady = <Message>(before: Message, after: Message, keys: readonly Key<Message>[]): boolean => {
  if (before === after) return true;
  for (const key of keys) if (before[key] !== after[key] && !isSame(before[key], after[key])) return false;
  return true;
};

/** Whether two parts of messages are equal. */
const isSame = (before: unknown, after: unknown): boolean => {
  if (before === after) return true;
  if (typeof before !== 'object' || typeof after !== 'object' || before === null || after === null) return false;
  if (Array.isArray(before)) return Array.isArray(after) && areSame(before, after);
  if (before instanceof Uint8Array) return after instanceof Uint8Array && areSame(before, after);
  const [one, other] = [before as Record<string, unknown>, after as Record<string, unknown>];
  for (const key in one) if (!isSame(one[key], other[key])) return false;
  for (const key in other) if (other[key] !== undefined && !(key in one)) return false;
  return true;
};

const areSame = (before: ArrayLike<unknown>, after: ArrayLike<unknown>): boolean => {
  if (before.length !== after.length) return false;
  for (let position = 0; position < before.length; position += 1) if (!isSame(before[position], after[position])) return false;
  return true;
};
