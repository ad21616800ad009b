import { describe, expect, it } from 'vitest';
import { errorCodeOf } from '../../proto/model/error.ts';
import {
  backoffDelayMs,
  createGate,
  createLatest,
  createTaskGroup,
  isUlid,
  mapConcurrently,
  systemRandom,
  ulidOf,
  withGrace,
  withTimeout,
} from './api.ts';
import { createManualClock, settle } from './manual-clock.ts';

const never = new AbortController().signal;

describe('ulidOf', () => {
  it('sorts by time and is a valid ULID', () => {
    const early = ulidOf(1_000, systemRandom);
    const late = ulidOf(2_000, systemRandom);
    expect([isUlid(early), isUlid(late), early < late]).toEqual([true, true, true]);
  });

  it('encodes known bytes as the reference does', () => {
    expect(ulidOf(1_469_918_176_385, () => new Uint8Array(10))).toBe('01ARYZ6S410000000000000000');
  });
});

describe('backoffDelayMs', () => {
  it('grows to its maximum and stays inside the jitter', () => {
    const limits = { firstMs: 500, maxMs: 10_000, factor: 2, jitter: 0.2 };
    const low = [1, 2, 3, 20].map((attempt) => backoffDelayMs(attempt, limits, () => new Uint8Array([0, 0])));
    const high = [1, 2, 3, 20].map((attempt) => backoffDelayMs(attempt, limits, () => new Uint8Array([255, 255])));
    expect(low).toEqual([400, 800, 1600, 8000]);
    expect(high).toEqual([600, 1200, 2400, 12_000]);
  });
});

describe('createGate', () => {
  it('lets at most its maximum in, in order, and refuses a full line', async () => {
    const gate = createGate({ inFlightMax: 2, waitingMax: 1 });
    const releases: (() => void)[] = [];
    const started: number[] = [];
    const enter = (id: number): Promise<void> =>
      gate.run(() => {
        started.push(id);
        return new Promise<void>((resolve) => releases.push(resolve));
      }, never);
    const runs = [enter(1), enter(2), enter(3)];
    await settle();
    await expect(enter(4)).rejects.toMatchObject({ code: 'LIMIT_REACHED' });
    expect([started, gate.inFlight, gate.waiting]).toEqual([[1, 2], 2, 1]);
    releases[0]?.();
    await settle();
    expect(started).toEqual([1, 2, 3]);
    for (const release of releases) release();
    await settle();
    releases.at(-1)?.();
    await Promise.all(runs);
    expect(gate.inFlight).toBe(0);
  });

  it('gives the place of who leaves early to the next, once', async () => {
    const gate = createGate({ inFlightMax: 1, waitingMax: 8 });
    const releases: (() => void)[] = [];
    const hold = (leave: () => void): Promise<void> => new Promise((resolve) => releases.push(leave, resolve));
    const runs = [gate.run(hold, never), gate.run(hold, never), gate.run(hold, never)];
    await settle();
    expect([gate.inFlight, gate.waiting]).toEqual([1, 2]);
    // Leaves, leaves again, and ends: one place.
    for (const release of [releases[0], releases[0], releases[1]]) release?.();
    await settle();
    expect([gate.inFlight, gate.waiting]).toEqual([1, 1]);
    for (let index = 3; index < 6; index += 2) {
      releases[index]?.();
      await settle();
    }
    await Promise.all(runs);
    expect([gate.inFlight, gate.waiting]).toEqual([0, 0]);
  });

  it('takes who gave up out of the line', async () => {
    const gate = createGate({ inFlightMax: 1, waitingMax: 8 });
    let release = (): void => undefined;
    const first = gate.run(() => new Promise<void>((resolve) => (release = resolve)), never);
    const controller = new AbortController();
    const second = gate.run(() => Promise.resolve(), controller.signal).catch(errorCodeOf);
    controller.abort();
    expect(await second).toBe('CANCELLED');
    release();
    await first;
    expect([gate.inFlight, gate.waiting]).toEqual([0, 0]);
  });
});

describe('mapConcurrently', () => {
  it('keeps order, bounds concurrency and raises a failure after all have settled', async () => {
    let busy = 0;
    let peak = 0;
    let done = 0;
    const work = async (item: number): Promise<number> => {
      busy += 1;
      peak = Math.max(peak, busy);
      await settle();
      busy -= 1;
      done += 1;
      if (item === 3) throw new Error('third');
      return item * 2;
    };
    expect(await mapConcurrently([1, 2, 4, 5], 2, work)).toEqual([2, 4, 8, 10]);
    expect(peak).toBe(2);
    await expect(mapConcurrently([1, 2, 3, 4, 5], 2, work)).rejects.toThrow('third');
    expect(done).toBe(9);
  });
});

describe('createLatest', () => {
  it('gives a slow follower the newest value only and ends on abort', async () => {
    const latest = createLatest(0);
    const controller = new AbortController();
    const seen: number[] = [];
    for await (const value of latest.follow(controller.signal)) {
      seen.push(value);
      if (value === 0) {
        latest.set(1);
        latest.set(2);
      }
      if (value === 2) setImmediate(() => controller.abort());
    }
    expect(seen).toEqual([0, 2]);
  });

  it('ends its followers when closed', async () => {
    const latest = createLatest('a');
    const seen: string[] = [];
    const reader = (async () => {
      for await (const value of latest.follow(never)) seen.push(value);
    })();
    await settle();
    latest.close();
    await reader;
    expect(seen).toEqual(['a']);
  });
});

describe('withTimeout', () => {
  it('raises TIMED_OUT when time ran out and leaves no sleeper behind', async () => {
    const clock = createManualClock();
    const result = withTimeout({ clock, timeoutMs: 100, message: 'late', signal: never }, (signal) => clock.sleep(1_000, signal)).catch(
      errorCodeOf,
    );
    await clock.advance(100);
    expect([await result, clock.sleeping]).toEqual(['TIMED_OUT', 0]);
  });
});

describe('withGrace', () => {
  it('lets work end after its caller gave up, for so long and no longer', async () => {
    const clock = createManualClock();
    const stop = new AbortController();
    const begin = (ms: number): Promise<unknown> =>
      withGrace({ clock, graceMs: 100, signal: stop.signal }, (signal) => clock.sleep(ms, signal)).then(() => 'ended', errorCodeOf);
    const [short, long] = [begin(80), begin(200)];
    stop.abort();
    await clock.advance(100);
    expect([await short, await long, await begin(1), clock.sleeping]).toEqual(['ended', 'CANCELLED', 'CANCELLED', 0]);
  });
});

describe('createTaskGroup', () => {
  it('reports failures, not cancellations, and waits for all work on close', async () => {
    const clock = createManualClock();
    const reports: string[] = [];
    const group = createTaskGroup((name) => reports.push(name));
    group.start('sleeper', (signal) => clock.sleep(1_000, signal));
    group.start('broken', () => Promise.reject(new Error('broken')));
    await settle();
    await group.close();
    expect([reports, clock.sleeping]).toEqual([['broken'], 0]);
  });
});
