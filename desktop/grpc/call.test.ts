import { describe, expect, it } from 'vitest';
import { errorCodeOf, NestError } from '../../proto/model/error.ts';
import { followStream } from './call.ts';
import type { Method } from './call.ts';
import type { StreamSink, Wire } from './wire.ts';

const method: Method<string, string> = {
  path: '/test/Follow',
  requestSerialize: (value) => Buffer.from(value),
  responseDeserialize: (bytes) => {
    if (bytes.length === 0) throw new Error('garbage');
    return bytes.toString();
  },
};

const follow = (take: (answer: string) => void, signal = new AbortController().signal) => {
  const sinks: StreamSink[] = [];
  let cancelled = 0;
  const wire: Pick<Wire, 'stream'> = {
    stream: (_path, _request, sink) => {
      sinks.push(sink);
      return { pause: () => undefined, resume: () => undefined, cancel: () => (cancelled += 1) };
    },
  };
  const over = followStream(wire, method, { request: 'x', signal, take }).then(() => 'ended', errorCodeOf);
  return { sink: sinks[0], over, cancels: () => cancelled };
};

describe('a followed stream', () => {
  it('gives every answer as it comes and ends as the agent ends', async () => {
    const seen: string[] = [];
    const { sink, over } = follow((answer) => seen.push(answer));
    sink?.message(Buffer.from('a'));
    sink?.message(Buffer.from('b'));
    expect(seen).toEqual(['a', 'b']);
    sink?.ended(null);
    expect(await over).toBe('ended');
    const refused = follow(() => undefined);
    refused.sink?.ended(new NestError('REVOKED', 'x'));
    expect(await refused.over).toBe('REVOKED');
  });

  it('ends without an error when the signal aborts, and gives nothing afterwards', async () => {
    const seen: string[] = [];
    const stop = new AbortController();
    const { sink, over, cancels } = follow((answer) => seen.push(answer), stop.signal);
    stop.abort();
    sink?.message(Buffer.from('late'));
    expect([await over, seen, cancels()]).toEqual(['ended', [], 1]);
    expect(await follow(() => undefined, stop.signal).over).toBe('ended');
  });

  it('fails for an answer that cannot be read, and with what the taker throws', async () => {
    const garbled = follow(() => undefined);
    garbled.sink?.message(Buffer.alloc(0));
    expect([await garbled.over, garbled.cancels()]).toEqual(['INTERNAL', 1]);
    const choosy = follow(() => {
      throw new NestError('LIMIT_REACHED', 'x');
    });
    choosy.sink?.message(Buffer.from('a'));
    expect(await choosy.over).toBe('LIMIT_REACHED');
  });
});
