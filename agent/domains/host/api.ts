/**
 * Facts and health of the host, read from the kernel once a second. Used by the server and wired by system.ts. It
 * never invents a number: what the system does not tell is null.
 */
export interface HostFacts {
  readonly hostName: string;
  readonly operatingSystem: string;
  readonly kernel: string;
  readonly architecture: string;
  readonly cpuCount: number;
  readonly cpuModel: string;
  readonly memoryBytes: number;
  readonly bootedAtSeconds: number;
  readonly addresses: readonly string[];
}

export interface InterfaceReading {
  readonly name: string;
  readonly index: number;
  readonly driver: string;
  readonly macAddress: string;
  readonly mtu: number;
  readonly up: boolean;
  readonly addresses: readonly string[];
  readonly received: { readonly packets: bigint; readonly bytes: bigint; readonly drops: bigint; readonly errors: bigint };
  readonly sent: { readonly packets: bigint; readonly bytes: bigint; readonly drops: bigint; readonly errors: bigint };
}

export interface HostReading {
  readonly timeMs: number;
  /** 0..1 over all CPUs since the reading before; null in the first. */
  readonly cpuBusy: number | null;
  readonly memoryUsedBytes: number;
  readonly memoryTotalBytes: number;
  readonly disks: readonly { readonly mountPoint: string; readonly totalBytes: number; readonly usedBytes: number }[];
  readonly interfaces: readonly InterfaceReading[];
  readonly uptimeSeconds: number;
}

export interface HealthWarning {
  readonly code: string;
  readonly title: string;
  readonly message: string;
  readonly severity: 'warning' | 'critical';
  readonly sinceMs: number;
}

export interface Host {
  facts(): HostFacts;
  /** The latest reading; taken at once when there is none yet. */
  reading(): HostReading;
  /** Every second one reading, the latest first; a slow reader misses the oldest. */
  watch(signal: AbortSignal): AsyncIterable<HostReading>;
  /** Lasting conditions: disk over 90 %, memory over 95 %, whatever other parts raise through `raise`. */
  warnings(): readonly HealthWarning[];
  /** Raises (or with null clears) a warning of another part, by code. */
  raise(code: string, warning: Omit<HealthWarning, 'code' | 'sinceMs'> | null): void;
  start(signal: AbortSignal): void;
  close(): Promise<void>;
}
