import { describe, expect, it } from 'vitest';
import { parseHostQuery } from '../../../bridge/host-grammar.ts';
import { compileHostQuery, hostScope } from '../../../bridge/host-query.ts';
import { FleetTelemetry } from '../../client/fleet-telemetry.ts';
import { testHosts } from '../../client/test-fleet.ts';
import { orderHosts } from './host-order.ts';

const now = 1_700_000_000_000;
const fleet = new FleetTelemetry();
fleet.put({ at: now, hosts: testHosts(now) });
const ordered = (column: string, isDescending: boolean, filter = '') => {
  const test = compileHostQuery(parseHostQuery(filter));
  const rows = orderHosts(fleet, (host) => test(host, hostScope([], now)), { column, isDescending });
  return Array.from(rows, (row) => fleet.rows[row]);
};

describe('the order of the fleet table', () => {
  it('puts troubled hosts first when sorted by state', () => {
    expect(
      ordered('state', false)
        .slice(0, 3)
        .map((host) => host?.state),
    ).toEqual(['degraded', 'connecting', 'offline']);
  });

  it('puts hosts without the number last in both directions', () => {
    for (const isDescending of [true, false]) expect(ordered('packets', isDescending).at(-1)?.packetsPerSecond).toBeNull();
    const rates = ordered('drops', true).flatMap((host) =>
      host?.dropsPerSecond === null || host === undefined ? [] : [host.dropsPerSecond],
    );
    expect(rates).toEqual(rates.toSorted((left, right) => right - left));
  });

  it('keeps only what the filter lets through', () => {
    expect(ordered('name', false, 'state:offline').map((host) => host?.name)).toEqual(['edge-ams-017']);
  });
});
