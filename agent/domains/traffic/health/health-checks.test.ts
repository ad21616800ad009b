import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { createManualClock } from '../../../lib/manual-clock.ts';
import { createHealthChecks, failingPauseMs, probesMax } from './health-checks.ts';
import type { BackendHealth, CheckedBackend } from './health-checks.ts';
import { probeBackend } from './probe.ts';
import type { Probe, ProbeAnswer, ProbeTarget } from './probe.ts';

const target: ProbeTarget = { kind: 'tcp', address: '127.0.0.1', port: 1, path: '', timeoutMs: 500 };
const backend = (key: string, change: Partial<CheckedBackend> = {}): CheckedBackend => ({
  key,
  target,
  intervalMs: 1000,
  rise: 2,
  fall: 3,
  ...change,
});
const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
};

const harness = (
  answer: (target: ProbeTarget) => Promise<ProbeAnswer> | ProbeAnswer,
): {
  readonly clock: ReturnType<typeof createManualClock>;
  readonly changes: [string, BackendHealth['health']][];
  readonly checks: ReturnType<typeof createHealthChecks>;
  readonly seconds: (count: number) => Promise<void>;
} => {
  const clock = createManualClock();
  const changes: [string, BackendHealth['health']][] = [];
  const probe: Probe = async (asked) => await answer(asked);
  const checks = createHealthChecks({ clock, probe, onChange: (key, { health }) => changes.push([key, health]) });
  const seconds = async (count: number): Promise<void> => {
    for (let second = 0; second < count; second++) {
      clock.advance(1000);
      await settle();
    }
  };
  return { clock, changes, checks, seconds };
};

describe('health checks', () => {
  it('believe the first answer, then want rise and fall answers in a row', async () => {
    let isHealthy = true;
    const { checks, changes, seconds } = harness(() => ({ isHealthy, detail: isHealthy ? 'yes' : 'no' }));
    checks.watch([backend('a')]);
    expect(checks.health('a').health).toBe('unknown');
    await seconds(1);
    expect(changes).toEqual([['a', 'up']]);
    isHealthy = false;
    await seconds(2);
    expect(checks.health('a')).toMatchObject({ health: 'up', detail: 'no' });
    await seconds(1);
    expect(changes.at(-1)).toEqual(['a', 'down']);
    isHealthy = true;
    await seconds(1);
    isHealthy = false;
    await seconds(1);
    isHealthy = true;
    await seconds(1);
    expect(checks.health('a').health).toBe('down');
    await seconds(1);
    expect(changes.at(-1)).toEqual(['a', 'up']);
    checks.close();
  });

  it('ask again soon after a first failure, until the backend is down or answers, and at no other time', async () => {
    let isHealthy = true;
    const asked: number[] = [];
    const { clock, checks, changes } = harness(() => {
      asked.push(clock.monotonicMs());
      return { isHealthy, detail: '' };
    });
    const pass = async (milliseconds: number): Promise<readonly number[]> => {
      asked.length = 0;
      const begunMs = clock.monotonicMs();
      for (let passed = 0; passed < milliseconds; passed += 50) {
        clock.advance(50);
        await settle();
      }
      return asked.map((atMs) => atMs - begunMs);
    };
    checks.watch([backend('a', { intervalMs: 1000, fall: 3, rise: 2 })]);
    await pass(1000);
    expect(checks.health('a').health).toBe('up');
    isHealthy = false;
    // One interval until the first failure, then fall - 1 times 100 ms; a backend that is down has its interval again.
    expect(await pass(3200)).toEqual([1000, 1000 + failingPauseMs, 1000 + 2 * failingPauseMs, 2200, 3200]);
    expect(changes.at(-1)).toEqual(['a', 'down']);
    isHealthy = true;
    expect(await pass(2000)).toEqual([1000, 2000]);
    expect(changes.at(-1)).toEqual(['a', 'up']);
    isHealthy = false;
    expect(await pass(1000)).toEqual([1000]);
    isHealthy = true;
    expect(await pass(1200)).toEqual([100, 1100]);
    expect(checks.health('a').health).toBe('up');
    checks.watch([backend('a', { intervalMs: 50 })]);
    isHealthy = false;
    expect((await pass(1150)).slice(0, 3)).toEqual([900, 950, 1000]);
    checks.close();
  });

  it('keep what they know of a backend that stays, and forget one that asks for something else', async () => {
    const { checks, seconds } = harness(() => ({ isHealthy: true, detail: 'yes' }));
    checks.watch([backend('a'), backend('b')]);
    await seconds(1);
    checks.watch([backend('a', { intervalMs: 5000 }), backend('b', { target: { ...target, port: 2 } })]);
    expect(checks.health('a').health).toBe('up');
    expect(checks.health('b').health).toBe('unknown');
    checks.watch([]);
    expect(checks.health('a').health).toBe('unknown');
    checks.close();
  });

  it('ask no more after close, and leave an answer on its way alone', async () => {
    const pending = Promise.withResolvers<ProbeAnswer>();
    const { checks, changes, seconds } = harness(() => pending.promise);
    checks.watch([backend('a')]);
    await seconds(1);
    checks.close();
    pending.resolve({ isHealthy: true, detail: 'late' });
    await seconds(3);
    expect(changes).toEqual([]);
  });

  it('ask a bounded number at a time, and everybody in the end', async () => {
    let running = 0;
    let most = 0;
    const asked = new Set<string>();
    const release: (() => void)[] = [];
    const { checks, clock } = harness(async ({ path }) => {
      most = Math.max(most, ++running);
      asked.add(path);
      await new Promise<void>((resolve) => release.push(resolve));
      running--;
      return { isHealthy: true, detail: '' };
    });
    checks.watch(Array.from({ length: probesMax * 3 }, (_, index) => backend(`b${index}`, { target: { ...target, path: `/${index}` } })));
    clock.advance(500);
    await settle();
    while (release.length > 0) {
      for (const resolve of release.splice(0)) resolve();
      await settle();
    }
    expect(most).toBe(probesMax);
    expect(asked.size).toBe(probesMax * 3);
    checks.close();
  });
});

describe('a probe', () => {
  const signal = new AbortController().signal;
  const listen = async (server: ReturnType<typeof createServer> | ReturnType<typeof createHttpServer>): Promise<number> => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return (server.address() as AddressInfo).port;
  };

  it('by tcp: accepted or refused', async () => {
    const server = createServer((socket) => socket.on('error', () => undefined));
    const port = await listen(server);
    expect(await probeBackend({ ...target, port }, signal)).toEqual({ isHealthy: true, detail: 'The connection was accepted.' });
    await new Promise((resolve) => server.close(resolve));
    expect(await probeBackend({ ...target, port }, signal)).toEqual({
      isHealthy: false,
      detail: 'The connection was refused: nothing listens there.',
    });
  });

  it('by http: the status decides, the body is not waited for', async () => {
    const server = createHttpServer((request, response) => {
      response.writeHead(request.url === '/good' ? 204 : 503);
      if (request.url === '/good') response.end();
      else response.write('without end');
    });
    const port = await listen(server);
    expect(await probeBackend({ ...target, kind: 'http', path: '/good', port }, signal)).toEqual({
      isHealthy: true,
      detail: 'HTTP status 204.',
    });
    expect(await probeBackend({ ...target, kind: 'http', path: '/bad', port }, signal)).toEqual({
      isHealthy: false,
      detail: 'HTTP status 503.',
    });
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  it('that gets no answer says so after its time', async () => {
    const server = createHttpServer(() => undefined);
    const port = await listen(server);
    const answer = await probeBackend({ ...target, kind: 'http', path: '/', port, timeoutMs: 50 }, signal);
    expect(answer).toEqual({ isHealthy: false, detail: 'No answer within 50 ms.' });
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
});
