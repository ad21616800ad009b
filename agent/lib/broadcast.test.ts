import { describe, expect, it } from 'vitest';
import { createBroadcast } from './broadcast.ts';

const collect = async <T>(values: AsyncIterable<T>): Promise<T[]> => {
  const collected: T[] = [];
  for await (const value of values) collected.push(value);
  return collected;
};

describe('broadcast', () => {
  it('drops the oldest for a slow reader and counts them, without touching the others', async () => {
    const broadcast = createBroadcast<number>(2);
    const abort = new AbortController();
    const slow = broadcast.subscribe(abort.signal)[Symbol.asyncIterator]();
    const quick = broadcast.subscribe(abort.signal)[Symbol.asyncIterator]();
    const seen: unknown[] = [];
    for (let value = 1; value <= 5; value++) {
      const next = quick.next();
      broadcast.publish(value);
      seen.push((await next).value);
    }
    expect(seen.map((delivery) => (delivery as { lost: number }).lost)).toEqual([0, 0, 0, 0, 0]);
    expect([await slow.next(), await slow.next()]).toEqual([
      { done: false, value: { value: 4, lost: 3 } },
      { done: false, value: { value: 5, lost: 3 } },
    ]);
    abort.abort();
  });

  it('ends readers that wait when the signal aborts, and forgets them', async () => {
    const broadcast = createBroadcast<number>(2);
    const abort = new AbortController();
    const reading = collect(broadcast.subscribe(abort.signal));
    expect(broadcast.readers).toBe(1);
    abort.abort();
    expect([await reading, broadcast.readers]).toEqual([[], 0]);
  });

  it('forgets a reader that leaves its loop', async () => {
    const broadcast = createBroadcast<number>(2);
    const reading = (async () => {
      for await (const { value } of broadcast.subscribe(new AbortController().signal)) return value;
      return null;
    })();
    broadcast.publish(7);
    expect([await reading, broadcast.readers]).toEqual([7, 0]);
  });

  it('ends everybody when it closes, also who comes later', async () => {
    const broadcast = createBroadcast<number>(2);
    const signal = new AbortController().signal;
    const reading = collect(broadcast.subscribe(signal));
    broadcast.close();
    expect([await reading, await collect(broadcast.subscribe(signal))]).toEqual([[], []]);
  });
});
