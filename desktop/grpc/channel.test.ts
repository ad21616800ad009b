import { Metadata, status as libraryStatus } from '@grpc/grpc-js';
import type { Server, ServerUnaryCall, ServerWritableStream, sendUnaryData } from '@grpc/grpc-js';
import { once } from 'node:events';
import { constants } from 'node:http2';
import type { ServerHttp2Stream } from 'node:http2';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ErrorInfo, Status } from '../../proto/gen/google/rpc/status.ts';
import { errorCodeOf } from '../../proto/model/error.ts';
import type { NestError } from '../../proto/model/error.ts';
import { AgentSession } from './agent-session.ts';
import { openChannel } from './channel.ts';
import type { Channel } from './channel.ts';
import { anyPeer, makeTlsPair, startLibraryPeer, startRawPeer } from './fake-peers.ts';
import type { RawPeer, TlsPair } from './fake-peers.ts';
import { GrpcCall } from './grpc-call.ts';
import { framed } from './message-frames.ts';
import type { WireStream } from './wire.ts';

const never = new AbortController().signal;
const call = { signal: never, deadlineMs: 10_000 };
const hello = Buffer.from('hello');

let pair: TlsPair;
let channel: Channel;
let closers: (() => unknown)[];

beforeAll(async () => {
  pair = await makeTlsPair();
});
beforeEach(() => {
  closers = [];
});
afterEach(async () => {
  for (const close of closers.toReversed()) await close();
});

const open = (port: number): Channel => {
  channel = openChannel({ address: '127.0.0.1', port }, anyPeer(pair));
  closers.push(() => channel.close());
  return channel;
};

interface Seen {
  readonly messages: Buffer[];
  readonly ended: Promise<NestError | null>;
  readonly stream: WireStream;
}

const watch = (from: Pick<Channel, 'stream'>, request: Uint8Array = hello): Seen => {
  const messages: Buffer[] = [];
  const { promise: ended, resolve } = Promise.withResolvers<NestError | null>();
  const stream = from.stream('/test.Peer/Watch', request, { message: (bytes) => messages.push(bytes), ended: resolve });
  return { messages, ended, stream };
};

const codeOf = (asking: Promise<unknown>): Promise<string> =>
  asking.then(
    () => 'OK',
    (error: unknown) => errorCodeOf(error),
  );

describe('calls to a server of the gRPC library', () => {
  type Ask = (call: ServerUnaryCall<Buffer, Buffer>, respond: sendUnaryData<Buffer>) => void;
  type Watch = (call: ServerWritableStream<Buffer, Buffer>) => void;
  let server: Server;
  let ask: Ask;
  let feed: Watch;

  beforeEach(async () => {
    ask = ({ request }, respond) => respond(null, request);
    feed = (stream) => stream.end();
    const peer = await startLibraryPeer(pair, { Ask: ((...parts) => ask(...parts)) as Ask, Watch: ((stream) => feed(stream)) as Watch });
    ({ server } = peer);
    closers.push(() => server.forceShutdown());
    open(peer.port);
  });

  it('carry messages from nothing to the largest, many at once, on one connection', async () => {
    const sizes = [0, 1, 5, 16_384, 1 << 20, 4 << 20];
    const answers = await Promise.all(sizes.map((size) => channel.unary('/test.Peer/Ask', Buffer.alloc(size, size), call)));
    expect(answers.map((answer, index) => Buffer.alloc(sizes[index] ?? 0, sizes[index]).equals(answer))).toEqual(sizes.map(() => true));
  });

  it('carry deadline and token, and give the code, text and details of a refusal', async () => {
    const seen: unknown[] = [];
    ask = (asked, respond) => {
      seen.push(asked.metadata.get('nest-session'), Number(asked.getDeadline()) - Date.now() <= 5_000);
      const info = ErrorInfo.encode({ reason: 'NOT_FOUND', domain: 'nest', metadata: { name: 'ä' } }).finish();
      const detail = { typeUrl: 'type.googleapis.com/google.rpc.ErrorInfo', value: Buffer.from(info) };
      const metadata = new Metadata();
      metadata.set('grpc-status-details-bin', Buffer.from(Status.encode({ code: 5, message: '', details: [detail] }).finish()));
      respond({ code: libraryStatus.NOT_FOUND, details: 'nothing 100 % ä', metadata });
    };
    const asking = channel.withToken(() => 't1').unary('/test.Peer/Ask', hello, { signal: never, deadlineMs: 5_000 });
    await expect(asking).rejects.toMatchObject({ code: 'NOT_FOUND', message: 'nothing 100 % ä', details: { name: 'ä' } });
    expect(seen).toEqual([['t1'], true]);
  });

  it('end by their deadline and by cancellation, and the agent hears of it', async () => {
    const left: Promise<unknown>[] = [];
    ask = (asked) => left.push(once(asked, 'cancelled'));
    expect(await codeOf(channel.unary('/test.Peer/Ask', hello, { signal: never, deadlineMs: 60 }))).toBe('TIMED_OUT');
    const stop = new AbortController();
    const asking = codeOf(channel.unary('/test.Peer/Ask', hello, { signal: stop.signal, deadlineMs: 10_000 }));
    await expect.poll(() => left.length).toBe(2);
    stop.abort();
    expect(await asking).toBe('CANCELLED');
    await Promise.all(left);
    expect(await codeOf(channel.unary('/test.Peer/Ask', hello, { signal: stop.signal, deadlineMs: 10_000 }))).toBe('CANCELLED');
  });

  it('refuse what is too large, both ways, and go on', async () => {
    expect(await codeOf(channel.unary('/test.Peer/Ask', Buffer.alloc((4 << 20) + 1), call))).toBe('MESSAGE_TOO_LARGE');
    ask = (_asked, respond) => respond(null, Buffer.alloc((4 << 20) + 1));
    expect(await codeOf(channel.unary('/test.Peer/Ask', hello, call))).toBe('MESSAGE_TOO_LARGE');
    ask = ({ request }, respond) => respond(null, request);
    expect(await channel.unary('/test.Peer/Ask', hello, call)).toEqual(hello);
  });

  it('hold up an agent whose reader is slow, and lose nothing', async () => {
    let written = 0;
    const count = 400;
    const write = async (stream: ServerWritableStream<Buffer, Buffer>): Promise<void> => {
      for (let number = 0; number < count; number += 1) {
        if (!stream.write(Buffer.alloc(16_384, number))) await once(stream, 'drain');
        written += 1;
      }
      stream.end();
    };
    feed = (stream) => void write(stream);
    const { stream, messages, ended } = watch(channel);
    stream.pause();
    await expect.poll(() => written).toBeGreaterThan(10);
    await new Promise((resolve) => setTimeout(resolve, 150));
    // A window of 1 MB and what the server itself holds.
    expect([written < 150, messages.length]).toEqual([true, 0]);
    stream.resume();
    expect(await ended).toBe(null);
    expect(messages.map((message) => [message.length, message[0]])).toEqual(
      Array.from({ length: count }, (_, number) => [16_384, number & 255]),
    );
  });

  it('are cancelled as streams, told once, and end in order when the server says so', async () => {
    const cancelled = Promise.withResolvers<void>();
    feed = (stream) => {
      stream.once('cancelled', cancelled.resolve);
      stream.write(hello);
    };
    const first = watch(channel);
    await expect.poll(() => first.messages.length).toBe(1);
    first.stream.cancel();
    first.stream.cancel();
    expect((await first.ended)?.code).toBe('CANCELLED');
    await cancelled.promise;
    feed = (stream) => stream.end();
    expect(await watch(channel).ended).toBe(null);
  });

  it('are told that the host is away when it goes in the middle, and connect anew for the next call', async () => {
    feed = (stream) => void stream.write(hello);
    const watching = watch(channel);
    await expect.poll(() => watching.messages.length).toBe(1);
    server.forceShutdown();
    expect((await watching.ended)?.code).toBe('HOST_UNREACHABLE');
    expect(await codeOf(channel.unary('/test.Peer/Ask', hello, call))).toBe('HOST_UNREACHABLE');
  });
});

describe('answers that are not as they should be', () => {
  const ok = { ':status': 200, 'content-type': 'application/grpc' };
  /** Message, then these trailers. */
  const say = (stream: ServerHttp2Stream, bytes: Buffer, trailers: Record<string, string>): void => {
    stream.respond(ok, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers(trailers));
    stream.end(bytes);
  };
  const cases: readonly (readonly [string, string, (stream: ServerHttp2Stream) => void])[] = [
    ['trailers alone', 'LIMIT_REACHED', (stream) => stream.respond({ ...ok, 'grpc-status': '8' }, { endStream: true })],
    ['a status that is no number', 'INTERNAL', (stream) => say(stream, framed(hello), { 'grpc-status': 'fine' })],
    ['no status', 'INTERNAL', (stream) => say(stream, framed(hello), { other: '1' })],
    ['no message', 'INTERNAL', (stream) => say(stream, Buffer.alloc(0), { 'grpc-status': '0' })],
    ['a message that is cut off', 'INTERNAL', (stream) => say(stream, framed(hello).subarray(0, 7), { 'grpc-status': '0' })],
    ['a compressed message', 'INTERNAL', (stream) => say(stream, Buffer.from([1, 0, 0, 0, 1, 0]), { 'grpc-status': '0' })],
    ['an encoding', 'INTERNAL', (stream) => stream.respond({ ...ok, 'grpc-encoding': 'gzip' })],
    ['HTTP 503', 'HOST_UNREACHABLE', (stream) => stream.respond({ ':status': 503 }, { endStream: true })],
    ['HTTP 401', 'CERTIFICATE_INVALID', (stream) => stream.respond({ ':status': 401 }, { endStream: true })],
    ['HTTP 404', 'METHOD_UNKNOWN', (stream) => stream.respond({ ':status': 404 }, { endStream: true })],
    ['a page', 'INTERNAL', (stream) => (stream.respond({ ':status': 200, 'content-type': 'text/html' }), stream.end('<p>'))],
    ['a reset', 'INTERNAL', (stream) => stream.close(constants.NGHTTP2_INTERNAL_ERROR)],
    ['a refusal', 'HOST_UNREACHABLE', (stream) => stream.close(constants.NGHTTP2_REFUSED_STREAM)],
    ['a call for calm', 'LIMIT_REACHED', (stream) => stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM)],
    [
      'a reset in the middle',
      'INTERNAL',
      (stream) => {
        stream.respond(ok);
        stream.write(framed(hello).subarray(0, 7), () => stream.close(constants.NGHTTP2_INTERNAL_ERROR));
      },
    ],
    ['a connection that breaks', 'HOST_UNREACHABLE', (stream) => (stream.respond(ok), stream.session?.destroy())],
  ];

  it.each(cases)('are coded: %s is %s', async (_name, code, answer) => {
    let calls = 0;
    const peer = await startRawPeer(pair, (stream) => {
      calls += 1;
      if (calls === 1) answer(stream);
      else say(stream, framed(hello), { 'grpc-status': '0' });
    });
    closers.push(() => peer.close());
    open(peer.port);
    expect(await codeOf(channel.unary('/test.Peer/Ask', hello, call))).toBe(code);
    expect(await channel.unary('/test.Peer/Ask', hello, call)).toEqual(hello);
  });
});

describe('a connection', () => {
  let peer: RawPeer;
  const streams: ServerHttp2Stream[] = [];

  beforeEach(async () => {
    streams.length = 0;
    peer = await startRawPeer(pair, (stream) => {
      streams.push(stream);
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.write(framed(hello));
    });
    closers.push(() => peer.close());
  });

  it('that the agent wants to end keeps what runs on it; new calls go to the next', async () => {
    open(peer.port);
    const first = watch(channel);
    await expect.poll(() => first.messages.length).toBe(1);
    peer.sessions[0]?.goaway(constants.NGHTTP2_NO_ERROR);
    await expect
      .poll(
        async () =>
          (await codeOf(channel.unary('/test.Peer/Ask', hello, { signal: never, deadlineMs: 50 }))) !== 'OK' && peer.sessions.length,
      )
      .toBe(2);
    streams[0]?.end(framed(hello));
    expect([await first.ended, first.messages.length]).toEqual([null, 2]);
  });

  it('carries a message that comes byte by byte', async () => {
    open(peer.port);
    const seen = watch(channel);
    await expect.poll(() => streams.length).toBe(1);
    for (const byte of Buffer.concat([framed(hello), framed(Buffer.alloc(0)), framed(hello)])) {
      streams[0]?.write(Buffer.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    streams[0]?.end();
    expect([await seen.ended, seen.messages.map(String)]).toEqual([null, ['hello', 'hello', '', 'hello']]);
  });

  it('whose other end falls silent is given up, with the calls on it', async () => {
    const pipes: Socket[] = [];
    const proxy = createServer((near) => {
      const far = connect(peer.port, '127.0.0.1');
      pipes.push(near, far);
      near.pipe(far).pipe(near);
      for (const end of [near, far]) end.on('error', () => undefined);
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    closers.push(() => (pipes.forEach((pipe) => pipe.destroy()), proxy.close()));
    const { port } = proxy.address() as AddressInfo;
    const session = new AgentSession({
      endpoint: { address: '127.0.0.1', port },
      credentials: anyPeer(pair),
      windowBytes: 1 << 16,
      keepalive: { everyMs: 50, answerMs: 1_500 },
    });
    closers.push(() => session.close());
    const ended = Promise.withResolvers<NestError | null>();
    const messages: Buffer[] = [];
    const sink = { message: (bytes: Buffer) => void messages.push(bytes), ended: ended.resolve };
    const asked = { path: '/test.Peer/Watch', request: hello, serverName: 'peer', token: '', deadlineMs: null, sink };
    expect(new GrpcCall(asked, session)).toBeDefined();
    await expect.poll(() => messages.length).toBe(1);
    // Pings are answered: silence of calls alone is no reason.
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(session.isOver).toBe(false);
    for (const pipe of pipes) pipe.unpipe().pause();
    expect((await ended.promise)?.code).toBe('HOST_UNREACHABLE');
    expect(session.isOver).toBe(true);
  });

  it('lets running calls finish when it is closed, and tells later ones', async () => {
    open(peer.port);
    const seen = watch(channel);
    await expect.poll(() => seen.messages.length).toBe(1);
    channel.close();
    streams[0]?.end(framed(hello));
    expect([await seen.ended, seen.messages.length]).toEqual([null, 2]);
    expect(await codeOf(channel.unary('/test.Peer/Ask', hello, call))).toBe('HOST_UNREACHABLE');
  });
});
