/** One gRPC call on an HTTP/2 stream: framing, deadline, cancellation, and how it ended. */
import { constants } from 'node:http2';
import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders } from 'node:http2';
import { cancelled } from '../lib/api.ts';
import { NestError } from '../../proto/model/error.ts';
import { messageBytesMax } from '../../proto/model/limits.ts';
import { sessionMetadata } from '../../proto/model/step-up.ts';
import type { AgentSession } from './agent-session.ts';
import { FrameReader, framed } from './message-frames.ts';
import { grpcStatus, statusErrorOf } from './status-error.ts';
import type { CallStatus } from './status-error.ts';
import type { StreamSink, WireStream } from './wire.ts';

export interface GrpcCallOptions {
  readonly path: string;
  readonly request: Uint8Array;
  /** Becomes :authority. */
  readonly serverName: string;
  /** Of a session; empty without one. */
  readonly token: string;
  /** Milliseconds from now; null = as long as it takes. */
  readonly deadlineMs: number | null;
  readonly sink: StreamSink;
}

/** A call that has begun, or waits for its connection. The sink never hears of it before the constructor has returned. */
export class GrpcCall implements WireStream {
  readonly #options: GrpcCallOptions;
  readonly #reader: FrameReader;
  readonly #timer: NodeJS.Timeout | null;
  #session: AgentSession;
  #stream: ClientHttp2Stream | null = null;
  #status: CallStatus | null = null;
  #isPaused = false;
  #isOver = false;

  constructor(options: GrpcCallOptions, session: AgentSession) {
    const { deadlineMs, sink, request } = options;
    this.#options = options;
    this.#session = session;
    this.#reader = new FrameReader(messageBytesMax, (message) => {
      if (!this.#isOver) sink.message(message);
    });
    this.#timer = deadlineMs === null ? null : setTimeout(() => this.#stop(timedOut()), deadlineMs);
    const { http2 } = session;
    if (request.length > messageBytesMax) queueMicrotask(() => this.#end(tooLarge()));
    else if (http2 !== null) this.#begin(http2);
    else
      session.opened.then(
        (opened) => this.#begin(opened),
        (error: unknown) => this.#end(error instanceof NestError ? error : session.failure),
      );
  }

  pause(): void {
    this.#isPaused = true;
    this.#stream?.pause();
  }

  resume(): void {
    this.#isPaused = false;
    this.#stream?.resume();
  }

  cancel(): void {
    if (!this.#isOver) this.#stop(cancelled());
  }

  #begin(http2: ClientHttp2Session): void {
    if (this.#isOver) return;
    if (http2.closed || http2.destroyed) {
      // It was closed while this call waited.
      queueMicrotask(() => this.#end(this.#session.failure));
      return;
    }
    this.#attend(http2.request(headersOf(this.#options)));
  }

  #attend(stream: ClientHttp2Stream): void {
    this.#stream = stream;
    stream.on('response', (headers) => {
      this.#session.isHeard = true;
      this.#status = statusOf(headers) ?? headProblem(headers);
      if (this.#status !== null && headers['grpc-status'] === undefined) this.#stop(statusErrorOf(this.#status));
    });
    stream.on('trailers', (headers) => (this.#status = statusOf(headers) ?? this.#status));
    stream.on('data', (chunk: Buffer) => this.#read(chunk));
    stream.on('end', () => {
      if (this.#status !== null) this.#finish(this.#status);
    });
    // What is wrong is told by the code of the reset or by the connection, below.
    stream.on('error', () => undefined);
    stream.on('close', () => {
      if (!this.#isOver) this.#end(this.#lossOf(stream));
    });
    if (this.#isPaused) stream.pause();
    stream.end(framed(this.#options.request));
  }

  #read(chunk: Buffer): void {
    this.#session.isHeard = true;
    if (this.#isOver) return;
    const problem = this.#reader.read(chunk);
    if (problem !== null) this.#stop(problem === 'compressed' ? unreadable('compressed') : tooLarge());
  }

  #finish(status: CallStatus): void {
    if (status.code !== grpcStatus.ok) this.#end(statusErrorOf(status));
    else this.#end(this.#reader.isInside ? unreadable('cut off') : null);
  }

  /** Why a stream closed that brought no status. */
  #lossOf(stream: ClientHttp2Stream): NestError {
    if (this.#session.isBroken) return this.#session.failure;
    const code = codeOfReset[stream.rstCode] ?? grpcStatus.internal;
    return statusErrorOf(this.#status ?? { code, message: `the stream was reset with ${String(stream.rstCode)}` });
  }

  /** Ends the call from this side. */
  #stop(error: NestError): void {
    this.#stream?.close(constants.NGHTTP2_CANCEL);
    queueMicrotask(() => this.#end(error));
  }

  #end(error: NestError | null): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#options.sink.ended(error);
  }
}

const headersOf = ({ path, serverName, token, deadlineMs }: GrpcCallOptions): Record<string, string> => {
  const headers: Record<string, string> = {
    ':method': 'POST',
    ':scheme': 'https',
    ':authority': serverName,
    ':path': path,
    te: 'trailers',
    'content-type': 'application/grpc',
    'user-agent': 'nest-console',
  };
  if (deadlineMs !== null) headers['grpc-timeout'] = `${String(Math.max(1, Math.min(Math.ceil(deadlineMs), timeoutMsMax)))}m`;
  if (token !== '') headers[sessionMetadata] = token;
  return headers;
};

/** Eight digits are all the protocol has room for. */
const timeoutMsMax = 99_999_999;

/** What headers or trailers say of the end; null when they say nothing. */
const statusOf = (headers: IncomingHttpHeaders): CallStatus | null => {
  const text = headers['grpc-status'];
  if (text === undefined) return null;
  const details = headers['grpc-status-details-bin'];
  return {
    code: /^\d{1,3}$/.test(String(text)) ? Number(text) : grpcStatus.unknown,
    message: unescaped(String(headers['grpc-message'] ?? '')),
    details: typeof details === 'string' ? Buffer.from(details, 'base64') : undefined,
  };
};

const unescaped = (text: string): string => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
};

/** An answer that is no gRPC: what its HTTP status means there. */
const headProblem = (headers: IncomingHttpHeaders): CallStatus | null => {
  const status = Number(headers[':status'] ?? 0);
  if (status !== 200) return { code: codeOfHttp[status] ?? grpcStatus.unknown, message: `HTTP status ${String(status)}` };
  const type = headers['content-type'] ?? '';
  if (!type.startsWith('application/grpc')) return { code: grpcStatus.unknown, message: `content type ${type}` };
  const encoding = headers['grpc-encoding'] ?? 'identity';
  return encoding === 'identity' ? null : { code: grpcStatus.internal, message: `encoding ${String(encoding)}` };
};

const codeOfHttp: Readonly<Record<number, number>> = {
  400: grpcStatus.internal,
  401: grpcStatus.unauthenticated,
  403: grpcStatus.permissionDenied,
  404: grpcStatus.unimplemented,
  429: grpcStatus.unavailable,
  502: grpcStatus.unavailable,
  503: grpcStatus.unavailable,
  504: grpcStatus.unavailable,
};

const codeOfReset: Readonly<Record<number, number>> = {
  [constants.NGHTTP2_REFUSED_STREAM]: grpcStatus.unavailable,
  [constants.NGHTTP2_CANCEL]: grpcStatus.cancelled,
  [constants.NGHTTP2_ENHANCE_YOUR_CALM]: grpcStatus.resourceExhausted,
  [constants.NGHTTP2_INADEQUATE_SECURITY]: grpcStatus.permissionDenied,
};

const timedOut = (): NestError =>
  new NestError('TIMED_OUT', 'The host did not answer in time. Check its load and the network, then try again.');

const tooLarge = (): NestError =>
  new NestError('MESSAGE_TOO_LARGE', `A message is larger than ${String(messageBytesMax >> 20)} MB. Send or ask for less at once.`);

const unreadable = (what: string): NestError =>
  new NestError('INTERNAL', 'The agent answered something that cannot be read. Upgrade the agent of the host.', {
    cause: new Error(`a message was ${what}`),
  });
