/** Bytes to and from one agent: what calls travel on, whether the connection is made here or in another thread. */
import { Metadata } from '@grpc/grpc-js';
import type { Client } from '@grpc/grpc-js';
import { cancelled, throwIfCancelled } from '../lib/api.ts';
import type { NestError } from '../../proto/model/error.ts';
import { sessionMetadata } from '../../proto/model/step-up.ts';
import { nestErrorOf } from './status-error.ts';

/** Who takes the messages of a stream; both must return at once. */
export interface StreamSink {
  message(bytes: Buffer): void;
  /** Called once, and nothing after it. Null: the agent ended the stream in order. */
  ended(error: NestError | null): void;
}

export interface WireStream {
  /** No more messages until `resume`, but for those that are under way; the agent notices by its window. */
  pause(): void;
  resume(): void;
  /** Idempotent; the sink may still be told of the end. */
  cancel(): void;
}

export interface WireCall {
  readonly signal: AbortSignal;
  /** Milliseconds from now. */
  readonly deadlineMs: number;
}

/** Requests and answers are serialised messages; errors are translated. */
export interface Wire {
  /** Raises what the agent said, HOST_UNREACHABLE, TIMED_OUT or CANCELLED. */
  unary(path: string, request: Uint8Array, call: WireCall): Promise<Uint8Array>;
  stream(path: string, request: Uint8Array, sink: StreamSink): WireStream;
}

/** Over a client of the gRPC library. `failure` says why TLS failed last; `token` is that of a session, empty without one. */
export const createGrpcWire = (client: Client, failure: () => NestError | undefined, token: () => string = () => ''): Wire => ({
  unary: (path, request, { signal, deadlineMs }) =>
    new Promise((resolve, reject) => {
      throwIfCancelled(signal);
      const call = client.makeUnaryRequest<Uint8Array, Buffer>(
        path,
        bufferOf,
        asReceived,
        request,
        metadataOf(token()),
        { deadline: Date.now() + deadlineMs },
        (error, response) => {
          signal.removeEventListener('abort', abort);
          if (error !== null) reject(signal.aborted ? cancelled(error) : nestErrorOf(error, failure()));
          else if (response !== undefined) resolve(response);
        },
      );
      const abort = (): void => {
        call.cancel();
      };
      signal.addEventListener('abort', abort, { once: true });
    }),
  stream: (path, request, sink) => {
    const call = client.makeServerStreamRequest<Uint8Array, Buffer>(path, bufferOf, asReceived, request, metadataOf(token()));
    let isOver = false;
    const end = (error: NestError | null): void => {
      if (isOver) return;
      isOver = true;
      sink.ended(error);
    };
    call.on('data', (bytes: Buffer) => {
      if (!isOver) sink.message(bytes);
    });
    call.once('end', () => {
      // The status comes after the last message; without one in a turn the stream ended in order.
      setImmediate(() => end(null));
    });
    call.on('error', (error: unknown) => end(nestErrorOf(error, failure())));
    return {
      pause: () => void call.pause(),
      resume: () => void call.resume(),
      cancel: () => call.cancel(),
    };
  },
});

const metadataOf = (token: string): Metadata => {
  const metadata = new Metadata();
  if (token !== '') metadata.set(sessionMetadata, token);
  return metadata;
};

const bufferOf = (bytes: Uint8Array): Buffer =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
const asReceived = (bytes: Buffer): Buffer => bytes;
