import { expect, it } from 'vitest';
import { createBulkChannel } from './bulk-channel.ts';
import { callStream } from './call.ts';
import type { Channel } from './channel.ts';

const never = new AbortController().signal;
const method = { path: '/test', requestSerialize: () => Buffer.alloc(0), responseDeserialize: (bytes: Buffer) => bytes.length };

/** Channels whose streams give three messages and then end. */
const countedChannels = () => {
  const counts = { opened: 0, closed: 0 };
  const open = (): Channel => {
    counts.opened += 1;
    return {
      unary: () => Promise.reject(new Error('not here')),
      stream: (_path, _request, sink) => {
        setImmediate(() => {
          for (const length of [1, 2, 3]) sink.message(Buffer.alloc(length));
          sink.ended(null);
        });
        return { pause: () => undefined, resume: () => undefined, cancel: () => undefined };
      },
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
  const ended: string[] = [];
  const sinkOf = (name: string) => ({ message: () => undefined, ended: () => void ended.push(name) });
  const one = bulk.stream(method.path, Buffer.alloc(0), sinkOf('one'));
  const two = bulk.stream(method.path, Buffer.alloc(0), sinkOf('two'));
  expect(counts).toEqual({ opened: 1, closed: 0 });
  one.cancel();
  one.cancel();
  expect(counts.closed).toBe(0);
  two.cancel();
  expect(counts).toEqual({ opened: 1, closed: 1 });
  const read: number[] = [];
  for await (const length of callStream(bulk, method, { request: null, signal: never })) read.push(length);
  expect([read, counts]).toEqual([[1, 2, 3], { opened: 2, closed: 2 }]);
});
