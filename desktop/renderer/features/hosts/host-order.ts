/** The order of the fleet table: row numbers of the telemetry store, filtered and sorted. */
import type { HostRow } from '../../../bridge/model.ts';
import type { FleetTelemetry, MetricName } from '../../client/fleet-telemetry.ts';
import type { GridSort } from '../../widgets/virtual-grid.tsx';

const metrics: Readonly<Record<string, MetricName>> = { packets: 'packetsPerSecond', drops: 'dropsPerSecond', cpu: 'cpuBusy' };

const texts: Readonly<Record<string, (host: HostRow) => string>> = {
  name: (host) => host.name,
  state: (host) => ({ degraded: '0', connecting: '1', offline: '2', healthy: '3' })[host.state],
  engine: (host) => host.engine ?? '',
  policy: (host) => host.generation ?? '',
  agent: (host) => host.agentVersion ?? '',
};

const collator = new Intl.Collator('en', { numeric: true });

/** Row numbers in the order shown. Hosts without the number come last in either direction; ties go by name. */
export const orderHosts = (fleet: FleetTelemetry, test: (host: HostRow) => boolean, sort: GridSort): Uint32Array => {
  const { rows } = fleet;
  const kept: number[] = [];
  for (const [index, host] of rows.entries()) if (test(host)) kept.push(index);
  const sign = sort.isDescending ? -1 : 1;
  const metric = metrics[sort.column];
  const read = texts[sort.column] ?? ((host: HostRow) => host.name);
  const byName = (left: number, right: number): number => collator.compare(rows[left]?.name ?? '', rows[right]?.name ?? '');
  const byText = (left: number, right: number): number => {
    const [first, second] = [rows[left], rows[right]];
    return first === undefined || second === undefined ? 0 : sign * collator.compare(read(first), read(second)) || byName(left, right);
  };
  const byMetric =
    (name: MetricName) =>
    (left: number, right: number): number => {
      const [first, second] = [fleet.value(name, left), fleet.value(name, right)];
      if (Number.isNaN(first) || Number.isNaN(second))
        return Number(Number.isNaN(first)) - Number(Number.isNaN(second)) || byName(left, right);
      return sign * (first - second) || byName(left, right);
    };
  return Uint32Array.from(kept).sort(metric === undefined ? byText : byMetric(metric));
};
