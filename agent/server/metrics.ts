import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { RevisionControl } from '../control/revisions/api.ts';
import type { Host } from '../domains/host/api.ts';
import type { ExportCounters, Traffic, TrafficCounters } from '../domains/traffic/api.ts';
import type { CallReport } from './call-guard.ts';

export interface MetricsOptions {
  readonly host: Pick<Host, 'reading'>;
  readonly traffic: Pick<Traffic, 'status' | 'counters'>;
  readonly revisions: Pick<RevisionControl, 'current' | 'pending'>;
  readonly agentVersion: string;
  /** Absent: this agent exports nothing. */
  readonly exports?: (() => ExportCounters) | undefined;
}

export interface Metrics {
  readonly contentType: string;
  /** The exposition, read from the domains at this moment. */
  expose(): Promise<string>;
  observeRequest(request: { readonly method: string; readonly endpoint: string; readonly durationMs: number }): void;
  observeCall(report: CallReport): void;
}

/** Seconds; both servers answer from memory, so the steps are small. */
const durationBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];

/** A registry of its own: nothing global, so that tests and a second agent in one process do not mix. */
export const createMetrics = (options: MetricsOptions): Metrics => {
  const registry = new Registry();
  const requests = new Counter({
    name: 'http_requests_total',
    help: 'HTTP requests served',
    labelNames: ['method', 'endpoint'],
    registers: [registry],
  });
  const durations = new Histogram({
    name: 'http_request_duration_seconds',
    help: 'Time to answer an HTTP request',
    labelNames: ['method', 'endpoint'],
    buckets: durationBuckets,
    registers: [registry],
  });
  const calls = new Counter({
    name: 'nest_grpc_calls_total',
    help: 'gRPC calls finished, by path and outcome',
    labelNames: ['path', 'outcome'],
    registers: [registry],
  });
  const callDurations = new Histogram({
    name: 'nest_grpc_call_duration_seconds',
    help: 'Time from headers to status of a gRPC call',
    labelNames: ['path'],
    buckets: durationBuckets,
    registers: [registry],
  });
  registerHost(registry, options);
  registerTraffic(registry, options);
  registerPolicy(registry, options);
  if (options.exports !== undefined) registerExports(registry, options.exports);
  return {
    contentType: registry.contentType,
    expose: () => registry.metrics(),
    observeRequest: ({ method, endpoint, durationMs }) => {
      requests.inc({ method, endpoint });
      durations.observe({ method, endpoint }, durationMs / 1000);
    },
    observeCall: ({ path, outcome, durationMs }) => {
      calls.inc({ path, outcome });
      callDurations.observe({ path }, durationMs / 1000);
    },
  };
};

type Reading<Label extends string> = (set: (labels: Partial<Record<Label, string>>, value: number) => void) => void;

/** A gauge whose values are read when it is scraped; what is not known is absent. */
const gauge = <Label extends string>(
  registry: Registry,
  description: { readonly name: string; readonly help: string; readonly labelNames?: readonly Label[] },
  read: Reading<Label>,
): void => {
  const metric: Gauge<Label> = new Gauge({
    name: description.name,
    help: description.help,
    labelNames: [...(description.labelNames ?? [])],
    registers: [registry],
    collect: () => {
      metric.reset();
      // A gauge without labels starts again as 0, which would be an invented number.
      if (description.labelNames === undefined) metric.remove();
      read((labels, value) => metric.set(labels, value));
    },
  });
};

/** The same for totals that the kernel counts. */
const total = <Label extends string>(
  registry: Registry,
  description: { readonly name: string; readonly help: string; readonly labelNames: readonly Label[] },
  read: Reading<Label>,
): void => {
  const metric: Counter<Label> = new Counter({
    ...description,
    labelNames: [...description.labelNames],
    registers: [registry],
    collect: () => {
      metric.reset();
      read((labels, value) => metric.inc(labels, value));
    },
  });
};

const registerHost = (registry: Registry, { host, agentVersion }: MetricsOptions): void => {
  gauge(registry, { name: 'nest_agent_info', help: 'Version of the agent', labelNames: ['version'] }, (set) =>
    set({ version: agentVersion }, 1),
  );
  gauge(registry, { name: 'nest_host_cpu_busy_ratio', help: 'Share of all CPUs busy over the last second, 0 to 1' }, (set) => {
    const { cpuBusy } = host.reading();
    if (cpuBusy !== null) set({}, cpuBusy);
  });
  gauge(registry, { name: 'nest_host_memory_bytes', help: 'Memory of the host', labelNames: ['kind'] }, (set) => {
    const { memoryUsedBytes, memoryTotalBytes } = host.reading();
    set({ kind: 'used' }, memoryUsedBytes);
    set({ kind: 'total' }, memoryTotalBytes);
  });
  gauge(registry, { name: 'nest_host_disk_bytes', help: 'Space of mounted file systems', labelNames: ['mount', 'kind'] }, (set) => {
    for (const { mountPoint, usedBytes, totalBytes } of host.reading().disks) {
      set({ mount: mountPoint, kind: 'used' }, usedBytes);
      set({ mount: mountPoint, kind: 'total' }, totalBytes);
    }
  });
};

const registerTraffic = (registry: Registry, { traffic }: MetricsOptions): void => {
  /** Null in observe mode: there is nothing to count. */
  const counters = (): TrafficCounters | null => (traffic.status().mode === 'enforce' ? traffic.counters() : null);
  const perInterface = (unit: 'packets' | 'bytes'): void =>
    total(
      registry,
      {
        name: `nest_interface_${unit}_total`,
        help: `${unit} judged by the data path, by interface and reason`,
        labelNames: ['interface', 'reason', 'verdict'],
      },
      (add) => {
        for (const { name, reasons } of counters()?.interfaces ?? []) {
          for (const { reason, dropped, count } of reasons)
            add({ interface: name, reason, verdict: dropped ? 'drop' : 'pass' }, Number(count[unit]));
        }
      },
    );
  const perMapping = (unit: 'packets' | 'bytes'): void =>
    total(
      registry,
      {
        name: `nest_mapping_${unit}_total`,
        help: `${unit} decided by a mapping; the empty name is the default action`,
        labelNames: ['mapping', 'action'],
      },
      (add) => {
        for (const { mapping, allow, count } of counters()?.mappings ?? [])
          add({ mapping, action: allow ? 'allow' : 'deny' }, Number(count[unit]));
      },
    );
  for (const unit of ['packets', 'bytes'] as const) {
    perInterface(unit);
    perMapping(unit);
  }
  total(
    registry,
    { name: 'nest_packets_total', help: 'Packets judged by the data path, by reason', labelNames: ['reason', 'verdict'] },
    (add) => {
      for (const { reason, dropped, count } of counters()?.reasons ?? [])
        add({ reason, verdict: dropped ? 'drop' : 'pass' }, Number(count.packets));
    },
  );
  total(registry, { name: 'nest_flow_records_total', help: 'Flow records that did not reach the agent', labelNames: ['fate'] }, (add) => {
    const now = counters();
    if (now === null) return;
    add({ fate: 'lost' }, Number(now.recordsLost));
    add({ fate: 'suppressed' }, Number(now.recordsSuppressed));
  });
  gauge(registry, { name: 'nest_flows', help: 'Live flows in the data path' }, (set) => {
    const { flows } = traffic.status();
    if (flows !== null) set({}, flows);
  });
  gauge(registry, { name: 'nest_flows_max', help: 'Flows the data path can hold' }, (set) => set({}, traffic.status().flowsMax));
  gauge(registry, { name: 'nest_enforcing', help: '1 when policy is enforced, 0 when the agent only observes' }, (set) =>
    set({}, traffic.status().mode === 'enforce' ? 1 : 0),
  );
};

const registerPolicy = (registry: Registry, { revisions }: MetricsOptions): void => {
  gauge(registry, { name: 'nest_revision', help: 'Revision of the policy in force' }, (set) => set({}, revisions.current().revision));
  gauge(registry, { name: 'nest_revision_pending', help: '1 while a revision waits for its confirmation' }, (set) =>
    set({}, revisions.pending() === null ? 0 : 1),
  );
};

const registerExports = (registry: Registry, read: () => ExportCounters): void => {
  const perTarget = { labelNames: ['target'] } as const;
  total(registry, { name: 'nest_export_records_total', help: 'Records made for a collector', labelNames: ['target', 'kind'] }, (add) => {
    for (const { target, records } of read().targets) for (const { kind, count } of records) add({ target, kind }, count);
  });
  total(registry, { name: 'nest_export_datagrams_total', help: 'Datagrams handed to the network', ...perTarget }, (add) => {
    for (const { target, sent } of read().targets) add({ target }, sent);
  });
  total(
    registry,
    { name: 'nest_export_dropped_total', help: 'Datagrams that did not leave, by reason', labelNames: ['target', 'reason'] },
    (add) => {
      for (const { target, dropped } of read().targets) for (const { reason, count } of dropped) add({ target, reason }, count);
    },
  );
  gauge(registry, { name: 'nest_export_queue', help: 'Datagrams that wait', ...perTarget }, (set) => {
    for (const { target, queued } of read().targets) set({ target }, queued);
  });
  gauge(registry, { name: 'nest_export_resolved', help: '1 when the address of the collector is known', ...perTarget }, (set) => {
    for (const { target, isResolved } of read().targets) set({ target }, isResolved ? 1 : 0);
  });
  total(
    registry,
    { name: 'nest_export_incomplete_total', help: 'What is missing in the records made, by cause', labelNames: ['cause'] },
    (add) => {
      const { targets, dumpsTruncated, dumpsMissed, recordsDropped, flowsForgotten } = read();
      if (targets.length === 0) return;
      add({ cause: 'dump_truncated' }, dumpsTruncated);
      add({ cause: 'dump_missed' }, dumpsMissed);
      add({ cause: 'record_dropped' }, recordsDropped);
      add({ cause: 'flow_forgotten' }, flowsForgotten);
    },
  );
};
