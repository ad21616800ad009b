/** Facts and readings of a host that does not exist: a steady random walk from a seed, one reading a second. */
import type { HealthWarning, Host, HostReading, InterfaceReading } from '../../agent/domains/host/api.ts';
import { createBroadcast } from '../../agent/lib/broadcast.ts';
import type { Clock, Timer } from '../../agent/lib/clock.ts';
import { createWalk } from './walk.ts';

/** Readings a slow watcher may be behind. */
const watchQueueMax = 5;
const kibibyte = 1024;
const memoryBytes = 32 * kibibyte ** 3;
const diskBytes = 512 * kibibyte ** 3;
/** Since when the simulated machine is up, seconds before the agent started. */
const upSeconds = 86_400;

export interface SimulatedHostOptions {
  readonly clock: Clock;
  readonly name: string;
  readonly address: string;
  /** Number of the agent: hosts differ by it, and tick at different moments of the second. */
  readonly index: number;
  readonly readingMs: number;
}

/** A host that answers like a real one. */
export const createSimulatedHost = (options: SimulatedHostOptions): Host => {
  const { clock, name, address, index, readingMs } = options;
  const startedAtMs = clock.nowMs();
  const readings = createBroadcast<HostReading>(watchQueueMax);
  const warnings = new Map<string, HealthWarning>();
  const walk = createWalk(index);
  const ports = portsOf(index, address);
  let latest = read({ walk, ports, nowMs: startedAtMs, startedAtMs });
  let timer: Timer | undefined;
  const tick = (): void => {
    latest = read({ walk, ports, nowMs: clock.nowMs(), startedAtMs });
    readings.publish(latest);
    timer = clock.after(readingMs, tick);
  };
  return {
    facts: () => ({
      hostName: name,
      operatingSystem: 'Nest simulator',
      kernel: '6.12.0',
      architecture: 'x64',
      cpuCount: 8,
      cpuModel: 'simulated processor',
      memoryBytes,
      bootedAtSeconds: Math.round(startedAtMs / 1000) - upSeconds,
      addresses: [address],
    }),
    reading: () => latest,
    watch: async function* watch(signal) {
      for await (const { value } of readings.subscribe(signal)) yield value;
    },
    warnings: () => [...warnings.values()],
    raise: (code, warning) =>
      void (warning === null ? warnings.delete(code) : warnings.set(code, { ...warning, code, sinceMs: clock.nowMs() })),
    start: () => {
      // Spread over the period: a thousand real hosts do not tick together either.
      timer = clock.after((index * 37) % readingMs, tick);
    },
    close: async () => {
      timer?.cancel();
      readings.close();
    },
  };
};

const walks = { cpu: 0, memory: 1, disk: 2, ports: 3 } as const;

interface ReadInput {
  readonly walk: ReturnType<typeof createWalk>;
  readonly ports: readonly Port[];
  readonly nowMs: number;
  readonly startedAtMs: number;
}

/** What an interface keeps for its life. */
type Port = Omit<InterfaceReading, 'received' | 'sent'>;

const read = ({ walk, ports, nowMs, startedAtMs }: ReadInput): HostReading => {
  const upMs = nowMs - startedAtMs;
  return {
    timeMs: nowMs,
    cpuBusy: walk.between(walks.cpu, 0.02, 0.6),
    memoryUsedBytes: Math.round(memoryBytes * walk.between(walks.memory, 0.2, 0.7)),
    memoryTotalBytes: memoryBytes,
    disks: [{ mountPoint: '/', totalBytes: diskBytes, usedBytes: Math.round(diskBytes * walk.between(walks.disk, 0.3, 0.6)) }],
    interfaces: ports.map((port, number) => {
      const packets = walk.total(walks.ports + number, upMs, 200 * (number + 1));
      const count = { packets: BigInt(packets), bytes: BigInt(packets * 620), drops: 0n, errors: 0n };
      return { ...port, received: count, sent: count };
    }),
    uptimeSeconds: upSeconds + Math.round(upMs / 1000),
  };
};

const portsOf = (index: number, address: string): readonly Port[] =>
  ['lan0', 'wan0', 'mgmt0'].map((name, port) => ({
    name,
    index: port + 2,
    driver: 'simulated',
    macAddress: `02:4e:${hex(port)}:${hex(index >> 16)}:${hex(index >> 8)}:${hex(index)}`,
    mtu: 1500,
    up: true,
    addresses: [port === 2 ? `${address}/8` : `198.${18 + port}.${(index >> 8) & 255}.${index & 255}/16`],
  }));

const hex = (value: number): string => (value & 255).toString(16).padStart(2, '0');
