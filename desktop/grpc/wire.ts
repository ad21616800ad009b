/** Bytes to and from one agent: what calls travel on, whether the connection is made here or in another thread. */
import type { NestError } from '../../proto/model/error.ts';
import type { LongText } from './long-text.ts';

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
  /** Comes after the request's bytes. */
  readonly ending?: LongText;
}

/** Requests and answers are serialised messages; errors are translated. */
export interface Wire {
  /** Raises what the agent said, HOST_UNREACHABLE, TIMED_OUT or CANCELLED. */
  unary(path: string, request: Uint8Array, call: WireCall): Promise<Uint8Array>;
  stream(path: string, request: Uint8Array, sink: StreamSink): WireStream;
}
