import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Traffic } from './api.ts';
import { brief, createFakeHost, db, denyDb, empty, policy, web } from './fake-host.ts';
import type { FakeHost } from './fake-host.ts';
import { upkeepMs } from './traffic.ts';

const signal = new AbortController().signal;
let host: FakeHost;

beforeEach(() => {
  host = createFakeHost();
});

afterEach(async () => await host.close());

describe('flows', () => {
  it('show live, ended, denied and cut ones with names, the last seen first', async () => {
    const traffic = await host.open();
    await traffic.activate(empty, signal);
    traffic.setRevision(3);
    host.kernel.send(db);
    await host.advance(1_000);
    await traffic.activate(policy([denyDb]), signal);
    traffic.setRevision(4);
    host.kernel.send(db);
    host.kernel.send(db);
    host.kernel.send({ ...web, sourcePort: 1 });
    await host.advance(1_000);
    host.kernel.end({ ...web, sourcePort: 1 });
    host.kernel.send(web);
    await host.advance(200);
    const { flows, matched, truncated } = await traffic.flows({ filter: {}, limit: 10, windowSeconds: 0 }, signal);
    expect(flows.map(brief)).toEqual(
      expect.arrayContaining([
        { source: '198.18.1.10', destinationPort: 80, state: 'live', mapping: '', reason: 'DEFAULT_ALLOW' },
        { source: '198.18.1.10', destinationPort: 80, state: 'ended', mapping: '', reason: 'DEFAULT_ALLOW' },
        { source: '198.18.1.11', destinationPort: 5432, state: 'cut', mapping: 'deny-db', reason: 'POLICY_DENY' },
        { source: '198.18.1.11', destinationPort: 5432, state: 'denied', mapping: 'deny-db', reason: 'POLICY_DENY' },
      ]),
    );
    expect({
      matched,
      truncated,
      order: flows.every((flow, at) => at === 0 || flow.lastSeenMs <= (flows[at - 1]?.lastSeenMs ?? 0)),
    }).toEqual({ matched: 4, truncated: false, order: true });
    expect(flows[0]).toMatchObject({
      state: 'live',
      sourceServices: ['clients'],
      destinationServices: ['servers'],
      interface: 'lan0',
      revision: 4,
      forward: { packets: 1n, bytes: 100n },
    });
  });

  it('are filtered by address, port, mapping, verdict and time', async () => {
    const traffic = await host.open();
    await traffic.activate(policy([denyDb]), signal);
    host.kernel.send(db);
    await host.advance(10_000);
    host.kernel.send(web);
    await host.advance(200);
    const count = async (filter: Parameters<Traffic['flows']>[0]['filter'], windowSeconds = 0): Promise<number> =>
      (await traffic.flows({ filter, limit: 10, windowSeconds }, signal)).matched;
    expect(await count({ address: '198.18.1.11' })).toBe(1);
    expect(await count({ address: '198.19.0.0/16' })).toBe(2);
    expect(await count({ port: 80 })).toBe(1);
    expect(await count({ mapping: 'deny-db' })).toBe(1);
    expect(await count({ verdict: 'allowed' })).toBe(1);
    expect(await count({}, 5)).toBe(1);
    await expect(count({ address: '198.18' })).rejects.toMatchObject({ code: 'INPUT_INVALID' });
  });

  it('count a denied client that tries again as one flow', async () => {
    const traffic = await host.open();
    await traffic.activate(policy([denyDb]), signal);
    for (let count = 0; count < 4; count++) {
      host.kernel.send(db);
      await host.advance(1_000);
    }
    const { flows } = await traffic.flows({ filter: {}, limit: 10, windowSeconds: 0 }, signal);
    expect(flows).toHaveLength(1);
    expect(flows[0]).toMatchObject({ state: 'denied', forward: { packets: 4n, bytes: 6000n } });
    expect((flows[0]?.lastSeenMs ?? 0) - (flows[0]?.firstSeenMs ?? 0)).toBe(3_000);
  });

  it('end when they idle out, and the live ones are counted', async () => {
    const traffic = await host.open();
    await traffic.activate(empty, signal);
    host.kernel.send(web);
    await host.advance(upkeepMs);
    expect(traffic.status().flows).toBe(1);
    await host.advance(66_000);
    const { flows } = await traffic.flows({ filter: {}, limit: 10, windowSeconds: 0 }, signal);
    expect({ states: flows.map(({ state }) => state), live: traffic.status().flows }).toEqual({ states: ['ended'], live: 0 });
  });

  it('are watched in batches, filtered, with what was lost', async () => {
    const traffic = await host.open();
    await traffic.activate(policy([denyDb]), signal);
    const stop = new AbortController();
    const seen: { count: number; lost: number }[] = [];
    const reading = (async () => {
      for await (const { flows, lost } of traffic.watchFlows({ verdict: 'denied' }, stop.signal)) seen.push({ count: flows.length, lost });
    })();
    await setImmediate();
    for (let port = 1; port <= 3_000; port++) host.kernel.send({ ...db, sourcePort: port });
    await host.advance(100);
    host.kernel.send(web);
    host.kernel.send(db);
    await host.advance(100);
    stop.abort();
    await reading;
    expect(seen).toEqual([
      { count: 500, lost: 0 },
      { count: 500, lost: 0 },
      { count: 500, lost: 0 },
      { count: 500, lost: 0 },
      { count: 1, lost: 1_000 },
    ]);
  });
});
