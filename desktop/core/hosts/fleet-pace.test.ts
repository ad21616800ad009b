import { expect, it } from 'vitest';
import { createFleetPace } from './fleet-pace.ts';

it('leaves a small fleet its short periods and keeps the sum of a big one', () => {
  let hosts = 3;
  const handshakes = { waiting: 0 };
  const pace = createFleetPace({ hostCount: () => hosts, handshakes });
  expect([pace.samplePersistMs, pace.documentsRefreshMs]).toEqual([5_000, 30_000]);
  for (hosts of [1_000, 5_000]) {
    expect(hosts / (pace.samplePersistMs / 1000)).toBeLessThanOrEqual(50);
    expect(hosts / (pace.documentsRefreshMs / 1000)).toBeLessThanOrEqual(2);
  }
});

it('lets what can wait wait while hosts queue for a handshake', () => {
  const handshakes = { waiting: 1 };
  const pace = createFleetPace({ hostCount: () => 1, handshakes });
  expect(pace.isConnecting).toBe(true);
  handshakes.waiting = 0;
  expect(pace.isConnecting).toBe(false);
});
