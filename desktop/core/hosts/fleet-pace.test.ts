import { expect, it } from 'vitest';
import { createManualClock, settle } from '../../lib/manual-clock.ts';
import { createFleetPace } from './fleet-pace.ts';

it('leaves a small fleet its short periods and keeps the sum of a big one', () => {
  let hosts = 3;
  const handshakes = { waiting: 0 };
  const pace = createFleetPace({ hostCount: () => hosts, handshakes, clock: createManualClock() });
  expect([pace.samplePersistMs, pace.documentsRefreshMs]).toEqual([5_000, 30_000]);
  for (hosts of [1_000, 5_000]) {
    expect(hosts / (pace.samplePersistMs / 1000)).toBeLessThanOrEqual(20);
    expect(hosts / (pace.documentsRefreshMs / 1000)).toBeLessThanOrEqual(2);
  }
});

it('lets what can wait wait while hosts queue for a handshake', () => {
  const handshakes = { waiting: 1 };
  const pace = createFleetPace({ hostCount: () => 1, handshakes, clock: createManualClock() });
  expect(pace.isConnecting).toBe(true);
  handshakes.waiting = 0;
  expect(pace.isConnecting).toBe(false);
});

it('takes documents of a few hosts at once and of the others in their turn, also right after they connected', async () => {
  const clock = createManualClock();
  const pace = createFleetPace({ hostCount: () => 1_000, handshakes: { waiting: 0 }, clock });
  let taken = 0;
  const stop = new AbortController();
  const all = Array.from({ length: 100 }, () =>
    pace
      .refresh(async () => {
        taken += 1;
      }, stop.signal)
      .catch(() => undefined),
  );
  await settle();
  const atOnce = taken;
  expect(atOnce).toBeLessThanOrEqual(16);
  expect(atOnce).toBeGreaterThan(0);
  for (let second = 0; second < 10; second += 1) {
    await clock.advance(1_000);
    await settle();
  }
  expect(taken - atOnce).toBe(20);
  stop.abort();
  await Promise.all(all);
  expect(taken - atOnce).toBe(20);
});

it('holds back what can wait while something urgent goes out', async () => {
  const clock = createManualClock();
  const pace = createFleetPace({ hostCount: () => 300, handshakes: { waiting: 0 }, clock });
  const done: string[] = [];
  pace.hurry();
  const turn = pace.check(async () => void done.push('check'), new AbortController().signal);
  await clock.advance(1_500);
  expect(done).toEqual([]);
  await clock.advance(600);
  await turn;
  expect(done).toEqual(['check']);
});

it('lets a few hosts go on while something urgent goes out: they hold up nothing', async () => {
  const clock = createManualClock();
  const pace = createFleetPace({ hostCount: () => 3, handshakes: { waiting: 0 }, clock });
  pace.hurry();
  const done: string[] = [];
  await pace.check(async () => void done.push('check'), new AbortController().signal);
  expect(done).toEqual(['check']);
});
