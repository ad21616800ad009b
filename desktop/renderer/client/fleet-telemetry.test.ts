import { describe, expect, it } from 'vitest';
import { FleetTelemetry } from './fleet-telemetry.ts';
import { testHosts } from './test-fleet.ts';

const now = 1_700_000_000_000;

describe('fleet telemetry', () => {
  it('tells its listeners once a frame and knows every host by its row', () => {
    const fleet = new FleetTelemetry();
    let told = 0;
    const stop = fleet.subscribe(() => (told += 1));
    const hosts = testHosts(now, 200);
    fleet.put({ at: now, hosts });
    expect([told, fleet.at, fleet.row(hosts[150]?.hostId ?? '')?.name]).toEqual([1, now, hosts[150]?.name]);
    expect(fleet.value('dropsPerSecond', 2)).toBe(41_207);
    stop();
    fleet.put({ at: now + 1_000, hosts });
    expect(told).toBe(1);
  });

  it('does not add the old numbers of offline hosts to the totals', () => {
    const fleet = new FleetTelemetry();
    const [template] = testHosts(now, 1);
    if (template === undefined) throw new Error('the test fleet is empty');
    fleet.put({
      at: now,
      hosts: [
        { ...template, packetsPerSecond: 100, dropsPerSecond: 0 },
        { ...template, hostId: 'other', state: 'offline', packetsPerSecond: 900, dropsPerSecond: 50 },
      ],
    });
    expect(fleet.totals).toMatchObject({ hosts: 2, healthy: 1, offline: 1, packetsPerSecond: 100, dropsPerSecond: 0, worst: null });
  });

  it('reads NaN where nothing was measured, and null totals when no host measured', () => {
    const fleet = new FleetTelemetry();
    fleet.put({ at: now, hosts: testHosts(now, 12).slice(11) });
    expect(fleet.value('cpuBusy', 0)).toBeNaN();
    expect(fleet.totals.packetsPerSecond).toBeNull();
    expect(fleet.history).toEqual([]);
  });

  it('keeps the last frame when the stream breaks, and forgets all on clear', () => {
    const fleet = new FleetTelemetry();
    fleet.put({ at: now, hosts: testHosts(now) });
    fleet.fail({ code: 'UNAVAILABLE', message: 'gone' });
    expect([fleet.rows.length, fleet.failure?.code]).toEqual([24, 'UNAVAILABLE']);
    fleet.clear();
    expect([fleet.rows.length, fleet.at, fleet.failure]).toEqual([0, null, null]);
  });
});
