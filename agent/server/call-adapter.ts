import type { handleBidiStreamingCall, handleServerStreamingCall, handleUnaryCall, Metadata, ServerDuplexStream } from '@grpc/grpc-js';
import { errorCodeOf, NestError } from '../../proto/model/error.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import type { CallContext, CallContexts } from './call-context.ts';
import { toGrpcStatus } from './grpc-status.ts';

/** A call as handlers see it: checked, and with a signal that ends with the caller's interest. */
export interface Call extends CallContext {
  readonly signal: AbortSignal;
}

export interface CallAdapter {
  /** Turns a promise function into a unary handler. */
  unary<Request, Response>(handle: (request: Request, call: Call) => Promise<Response>): handleUnaryCall<Request, Response>;
  /** Turns an async iterable into a server stream that waits for the reader. */
  stream<Request, Response>(
    handle: (request: Request, call: Call) => AsyncIterable<Response>,
  ): handleServerStreamingCall<Request, Response>;
  /**
   * A server stream of what happens by itself: `begin` writes from now on until the function it returns is called, which happens once,
   * when the call is over or the agent stops.
   */
  feed<Request, Response>(begin: (request: Request, outlet: Outlet<Response>) => () => void): handleServerStreamingCall<Request, Response>;
  /** The same with a stream of requests, read one at a time; it ends when the caller is done or the agent stops. */
  duplex<Request, Response>(
    handle: (requests: AsyncIterable<Request>, call: Call) => AsyncIterable<Response>,
  ): handleBidiStreamingCall<Request, Response>;
}

export interface Outlet<Response> {
  /** Never waits; `left` is called, later, when the value is on its way and the reader's window has room for another. */
  write(value: Response, left: () => void): unknown;
}

export interface CallAdapterOptions {
  readonly contexts: CallContexts;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Aborts when the agent stops: streams end at once, calls that change something may finish. */
  readonly stopping: AbortSignal;
}

interface Cancellable {
  readonly metadata: Metadata;
  readonly cancelled: boolean;
  once(event: 'cancelled', listener: () => void): unknown;
}

/** Between the library's callbacks and promises: cancellation, the longest deadline, backpressure, errors. */
export const createCallAdapter = ({ contexts, clock, logger, stopping }: CallAdapterOptions): CallAdapter => {
  // One for all calls that are over: an error of its own for each would cost more than many a call.
  const over = cancelled();
  /** Runs the work with a signal that aborts when the caller goes away or the rpc's own longest deadline is over. */
  const running = async <T>(call: Cancellable, work: (call: Call) => Promise<T>): Promise<T> => {
    const context = contexts.get(call.metadata);
    const abort = new AbortController();
    if (call.cancelled) abort.abort(over);
    call.once('cancelled', () => abort.abort(over));
    const revoke = (): void => abort.abort(context.revoked.reason);
    context.revoked.addEventListener('abort', revoke, { once: true });
    const timer =
      context.deadlineMsMax === 0 ? null : clock.after(context.deadlineMsMax, () => abort.abort(timedOut(context.deadlineMsMax)));
    try {
      return await work({ ...context, signal: abort.signal });
    } catch (error) {
      // Work that stopped because it was told to fails with the reason it was told.
      throw abort.signal.aborted && errorCodeOf(error) === 'CANCELLED' ? abort.signal.reason : error;
    } finally {
      timer?.cancel();
      context.revoked.removeEventListener('abort', revoke);
      abort.abort(over);
    }
  };
  const failed = (call: Cancellable, error: unknown): ReturnType<typeof toGrpcStatus> & Error => {
    const code = errorCodeOf(error);
    if (code === 'INTERNAL' || code === 'STATE_FAILED' || code === 'STATE_CORRUPT' || code === 'ENGINE_FAILED') {
      logger.error('call failed', { path: contexts.get(call.metadata).path, code, error });
    }
    return Object.assign(new Error(code), toGrpcStatus(error));
  };
  /** Does the writing, then ends the call as that ended. */
  const answer = <Response>(call: Outgoing<Response>, write: (call: Call, signal: AbortSignal) => Promise<void>): void => {
    const work = async (context: Call): Promise<void> => {
      await write(context, AbortSignal.any([context.signal, stopping]));
      // A source ends quietly when it is told to; the caller hears why.
      context.revoked.throwIfAborted();
    };
    running(call, work).then(
      () => (stopping.aborted && !call.cancelled ? void call.emit('error', failed(call, stops())) : void call.end()),
      (error: unknown) => void call.emit('error', failed(call, error)),
    );
  };
  const serve = <Response>(call: Outgoing<Response>, source: (call: Call) => AsyncIterable<Response>): void =>
    answer(call, (context, signal) => pump(call, (ends) => source({ ...context, signal: ends }), signal));
  return {
    unary: (handle) => (call, respond) => {
      running(call, (context) => handle(call.request, context)).then(
        (response) => respond(null, response),
        (error: unknown) => respond(failed(call, error)),
      );
    },
    stream: (handle) => (call) => serve(call, (context) => handle(call.request, context)),
    feed: (begin) => (call) =>
      answer(call, async (_context, signal) => {
        if (signal.aborted) return;
        let isOver = false;
        const end = begin(call.request, { write: (value, left) => isOver || call.write(value, left) });
        await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
        isOver = true;
        end();
      }),
    duplex: (handle) => (call) => serve(call, (context) => handle(received(call, { signal: context.signal, stopping }), context)),
  };
};

/** A call that answers with a stream, whatever it reads. */
interface Outgoing<Response> extends Cancellable {
  write(value: Response, done: () => void): unknown;
  end(): unknown;
  emit(event: 'error', error: Error): unknown;
}

interface ReadEnds {
  /** Aborts with the reason to throw. */
  readonly signal: AbortSignal;
  /** Aborts when the requests just end. */
  readonly stopping: AbortSignal;
}

/** The requests of a call. Leaves the stream open at the end, for it still has to carry the status. */
async function* received<Request>(
  call: Pick<ServerDuplexStream<Request, unknown>, 'iterator'>,
  { signal, stopping }: ReadEnds,
): AsyncGenerator<Request> {
  const requests = call.iterator({ destroyOnReturn: false }) as AsyncIterator<Request, undefined>;
  const over = Promise.withResolvers<null>();
  const end = (): void => over.resolve(null);
  signal.addEventListener('abort', end, { once: true });
  try {
    while (!signal.aborted) {
      const next = await Promise.race([requests.next(), over.promise]);
      if (next === null) break;
      if (next.done === true) return;
      yield next.value;
    }
    if (!stopping.aborted) throw signal.reason;
  } finally {
    signal.removeEventListener('abort', end);
  }
}

/** Writes every value; waits while the reader's window is full, so that the source may drop instead of queueing. */
const pump = async <Response>(
  call: Pick<Outgoing<Response>, 'write'>,
  source: (signal: AbortSignal) => AsyncIterable<Response>,
  signal: AbortSignal,
): Promise<void> => {
  for await (const value of source(signal)) {
    if (signal.aborted) return;
    await written(call, value, signal);
  }
};

/** Resolves when the value left for the reader, or the call is over. */
const written = <Response>(call: Pick<Outgoing<Response>, 'write'>, value: Response, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const done = (): void => {
      signal.removeEventListener('abort', done);
      resolve();
    };
    signal.addEventListener('abort', done, { once: true });
    call.write(value, done);
  });

const stops = (): NestError => new NestError('HOST_UNREACHABLE', 'The agent on this host stops. Connect again in a moment.');
const cancelled = (): NestError => new NestError('CANCELLED', 'The call was cancelled.');
const timedOut = (limitMs: number): NestError =>
  new NestError('TIMED_OUT', `The call took longer than the ${limitMs} ms it may take. Ask for its result before trying again.`);
