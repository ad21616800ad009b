/**
 * Fast numbers of the fleet outside Redux: one typed array a metric, indexed by a stable row number, replaced by one frame a
 * second. Components read through `subscribe` and `version`; NaN in a column means "not measured".
 */
import type { FleetFrame, HostRow } from '../../bridge/model.ts';
import type { Failure } from './failure.ts';

export const metricNames = ['packetsPerSecond', 'dropsPerSecond', 'bytesPerSecond', 'cpuBusy', 'flows', 'seenAt'] as const;
export type MetricName = (typeof metricNames)[number];

export interface FleetTotals {
  readonly hosts: number;
  readonly healthy: number;
  readonly degraded: number;
  readonly offline: number;
  readonly connecting: number;
  /** Sums over the hosts that measured it; null when none did. */
  readonly packetsPerSecond: number | null;
  readonly dropsPerSecond: number | null;
  /** The host with most drops a second, null when nothing drops. */
  readonly worst: HostRow | null;
}

/** Points kept of the fleet's packet rate, one a frame. */
const historyMax = 300;
const firstCapacity = 64;

export class FleetTelemetry {
  #columns = new Map<MetricName, Float64Array>(metricNames.map((name) => [name, new Float64Array(firstCapacity)]));
  #rows: readonly HostRow[] = [];
  #rowOf = new Map<string, number>();
  #at: number | null = null;
  #failure: Failure | null = null;
  #version = 0;
  #totals: FleetTotals = totalsOf([]);
  #history: readonly number[] = [];
  readonly #listeners = new Set<() => void>();

  /** Changes with every frame: the snapshot of `useSyncExternalStore`. */
  readonly version = (): number => this.#version;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Null until the first frame. */
  get at(): number | null {
    return this.#at;
  }

  get failure(): Failure | null {
    return this.#failure;
  }

  /** Slow facts of every host; row number = index. */
  get rows(): readonly HostRow[] {
    return this.#rows;
  }

  get totals(): FleetTotals {
    return this.#totals;
  }

  /** Packets a second of the whole fleet, oldest first, only of the frames this window has seen. */
  get history(): readonly number[] {
    return this.#history;
  }

  row(hostId: string): HostRow | undefined {
    const index = this.#rowOf.get(hostId);
    return index === undefined ? undefined : this.#rows[index];
  }

  /** The metric of a row; NaN when it was not measured. */
  value(metric: MetricName, row: number): number {
    return this.#columns.get(metric)?.[row] ?? Number.NaN;
  }

  put(frame: FleetFrame): void {
    this.#reserve(frame.hosts.length);
    this.#rowOf.clear();
    for (const [index, host] of frame.hosts.entries()) this.#rowOf.set(host.hostId, index);
    for (const [metric, column] of this.#columns) {
      for (const [index, host] of frame.hosts.entries()) column[index] = host[metric] ?? Number.NaN;
    }
    this.#rows = frame.hosts;
    this.#at = frame.at;
    this.#failure = null;
    this.#totals = totalsOf(frame.hosts);
    const total = this.#totals.packetsPerSecond;
    if (total !== null) this.#history = [...this.#history.slice(1 - historyMax), total];
    this.#tell();
  }

  fail(failure: Failure): void {
    this.#failure = failure;
    this.#tell();
  }

  /** Forgets everything, for the lock. */
  clear(): void {
    this.#rows = [];
    this.#rowOf.clear();
    this.#at = null;
    this.#failure = null;
    this.#totals = totalsOf([]);
    this.#history = [];
    this.#tell();
  }

  #reserve(count: number): void {
    for (const [metric, column] of this.#columns) {
      if (column.length < count) this.#columns.set(metric, new Float64Array(Math.max(count, column.length * 2)));
    }
  }

  #tell(): void {
    this.#version += 1;
    for (const listener of this.#listeners) listener();
  }
}

const totalsOf = (hosts: readonly HostRow[]): FleetTotals => {
  const count = { healthy: 0, degraded: 0, offline: 0, connecting: 0 };
  let packetsPerSecond: number | null = null;
  let dropsPerSecond: number | null = null;
  let worst: HostRow | null = null;
  for (const host of hosts) {
    count[host.state] += 1;
    // An offline host's numbers are old: they are shown with their age in its row, never summed.
    if (host.state === 'offline') continue;
    if (host.packetsPerSecond !== null) packetsPerSecond = (packetsPerSecond ?? 0) + host.packetsPerSecond;
    if (host.dropsPerSecond === null) continue;
    dropsPerSecond = (dropsPerSecond ?? 0) + host.dropsPerSecond;
    if (host.dropsPerSecond > (worst?.dropsPerSecond ?? 0)) worst = host;
  }
  return { hosts: hosts.length, ...count, packetsPerSecond, dropsPerSecond, worst };
};
