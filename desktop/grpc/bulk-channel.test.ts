import { Readable } from 'node:stream';
import { expect, it } from 'vitest';
import { createBulkChannel } from './bulk-channel.ts';
import type { Channel } from './channel.ts';

const never = new AbortController().signal;
const method = { path: '/test', requestSerialize: () => Buffer.alloc(0), responseDeserialize: (bytes: Buffer) => bytes.length };

/** Channels whose streams give three messages and then end. */
const countedChannels = () => {
  const counts = { opened: 0, closed: 0 };
  const open = (): Channel => {
    counts.opened += 1;
    const stream = () => Object.assign(Readable.from([1, 2, 3]), { cancel: () => undefined });
    return {
      client: { makeServerStreamRequest: stream } as unknown as Channel['client'],
      failure: () => undefined,
      isResumed: () => false,
      settled: () => Promise.resolve(),
      close: () => {
        counts.closed += 1;
      },
    };
  };
  return { counts, open };
};

it('connects for the first stream, shares the connection and ends it with the last', async () => {
  const { counts, open } = countedChannels();
  const bulk = createBulkChannel(open);
  expect(counts.opened).toBe(0);
  const [one, two] = [bulk.stream(method, { request: null, signal: never }), bulk.stream(method, { request: null, signal: never })];
  expect([(await one.next()).value, (await two.next()).value]).toEqual([1, 1]);
  expect(counts).toEqual({ opened: 1, closed: 0 });
  await one.return(undefined);
  expect(counts.closed).toBe(0);
  const rest: unknown[] = [];
  for await (const message of two) rest.push(message);
  expect([rest, counts]).toEqual([[2, 3], { opened: 1, closed: 1 }]);
  await bulk.stream(method, { request: null, signal: never }).next();
  expect(counts.opened).toBe(2);
});
