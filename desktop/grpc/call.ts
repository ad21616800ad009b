/** Promises and async iterables of typed messages over a wire, with deadline and cancellation. */
import { rpcAccess } from '../../proto/gen/access.ts';
import { NestError } from '../../proto/model/error.ts';
import { throwIfCancelled } from '../lib/api.ts';
import type { LongText } from './long-text.ts';
import type { Wire } from './wire.ts';

export interface Method<Request, Response> {
  readonly path: string;
  readonly requestSerialize: (value: Request) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Response;
}

export interface CallOptions {
  readonly signal: AbortSignal;
  /** Milliseconds from now; by default, and at most, what proto declares for the rpc. */
  readonly deadlineMs?: number;
}

/** Messages a reader may be behind before the agent is held up. */
const queuedMax = 4;

/** One request, one answer. Raises what the agent said, HOST_UNREACHABLE, TIMED_OUT, CANCELLED, or INTERNAL for an answer that cannot be read. */
export const callUnary = async <Request, Response>(
  wire: Pick<Wire, 'unary'>,
  method: Method<Request, Response>,
  { request, signal, deadlineMs, ending }: CallOptions & { readonly request: Request; readonly ending?: LongText },
): Promise<Response> => {
  throwIfCancelled(signal);
  const call = { signal, deadlineMs: deadlineMsOf(method.path, deadlineMs), ...(ending === undefined ? {} : { ending }) };
  return read(method, await wire.unary(method.path, method.requestSerialize(request), call));
};

/** One request, many answers, until the agent ends or the signal aborts (which ends the iteration without an error). */
export async function* callStream<Request, Response>(
  wire: Pick<Wire, 'stream'>,
  method: Method<Request, Response>,
  { request, signal }: { readonly request: Request; readonly signal: AbortSignal },
): AsyncGenerator<Response> {
  if (signal.aborted) return;
  const queue: Buffer[] = [];
  const state: { end: { readonly error: NestError | null } | null; wake: () => void } = { end: null, wake: () => undefined };
  const end = (error: NestError | null): void => {
    state.end ??= { error };
    state.wake();
  };
  const stream = wire.stream(method.path, method.requestSerialize(request), {
    message: (bytes) => {
      queue.push(bytes);
      if (queue.length === queuedMax) stream.pause();
      state.wake();
    },
    ended: end,
  });
  const abort = (): void => end(null);
  signal.addEventListener('abort', abort, { once: true });
  try {
    while (!signal.aborted) {
      const bytes = queue.shift();
      if (bytes !== undefined) {
        if (queue.length === 0) stream.resume();
        yield read(method, bytes);
        continue;
      }
      if (state.end !== null) break;
      await new Promise<void>((resolve) => (state.wake = resolve));
    }
    if (!signal.aborted && state.end?.error) throw state.end.error;
  } finally {
    signal.removeEventListener('abort', abort);
    stream.cancel();
  }
}

/**
 * The same without a queue: `take` is called for each answer as it comes and must return at once, which costs a tenth where thousands come a
 * second. Resolves when the agent ends or the signal aborts; raises what the agent said, and what `take` throws.
 */
export const followStream = <Request, Response>(
  wire: Pick<Wire, 'stream'>,
  method: Method<Request, Response>,
  { request, signal, take }: { readonly request: Request; readonly signal: AbortSignal; readonly take: (answer: Response) => void },
): Promise<void> =>
  new Promise((resolve, reject) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    let isOver = false;
    const end = (error: unknown): void => {
      if (isOver) return;
      isOver = true;
      signal.removeEventListener('abort', abort);
      stream.cancel();
      if (error === null) resolve();
      else reject(error);
    };
    const abort = (): void => end(null);
    const stream = wire.stream(method.path, method.requestSerialize(request), {
      message: (bytes) => {
        if (isOver) return;
        try {
          take(read(method, bytes));
        } catch (error) {
          end(error);
        }
      },
      ended: end,
    });
    signal.addEventListener('abort', abort, { once: true });
  });

const read = <Response>(method: Method<never, Response>, bytes: Uint8Array): Response => {
  try {
    return method.responseDeserialize(Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
  } catch (error) {
    throw new NestError('INTERNAL', 'The agent answered something that cannot be read. Upgrade the agent of the host.', { cause: error });
  }
};

const deadlineMsOf = (path: string, asked: number | undefined): number => {
  const max = rpcAccess[path]?.maxDeadlineMs ?? 15_000;
  return asked === undefined ? max : Math.min(asked, max);
};
