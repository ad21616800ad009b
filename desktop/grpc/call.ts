/** Promises and async iterables over generic gRPC calls, with deadline, cancellation and translated errors. */
import { Metadata } from '@grpc/grpc-js';
import type { Client } from '@grpc/grpc-js';
import { rpcAccess } from '../../proto/gen/access.ts';
import { errorCodeOf } from '../../proto/model/error.ts';
import type { NestError, NestErrorCode } from '../../proto/model/error.ts';
import { sessionMetadata } from '../../proto/model/step-up.ts';
import { cancelled, throwIfCancelled } from '../lib/api.ts';
import { nestErrorOf } from './status-error.ts';

/** A gRPC client with the reason of its last TLS failure. */
export interface Wire {
  readonly client: Client;
  readonly failure: () => NestError | undefined;
  /** Absent where nothing is proven with a second factor. */
  readonly session?: WireSession;
}

/** What was proven with a second factor on this connection. */
export interface WireSession {
  /** Empty without one. */
  readonly token: string;
  /** Gets a token for what the console can show; false when there is nothing the agent has not seen. Raises what the agent says. */
  renew(signal: AbortSignal): Promise<boolean>;
  /** The agent does not take the token any more: what was shown may be shown again. */
  forget(): void;
}

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

/** The agent wants a second factor, or does not know our token any more. */
const renewCodes: ReadonlySet<NestErrorCode> = new Set<NestErrorCode>(['MFA_REQUIRED', 'SESSION_INVALID']);

/**
 * One request, one answer; once again when the agent wanted a second factor that can be shown. Raises what the agent said,
 * HOST_UNREACHABLE, TIMED_OUT or CANCELLED.
 */
export const callUnary = async <Request, Response>(
  wire: Wire,
  method: Method<Request, Response>,
  options: CallOptions & { readonly request: Request },
): Promise<Response> => {
  try {
    return await callOnce(wire, method, options);
  } catch (error) {
    const { session } = wire;
    if (session === undefined || !renewCodes.has(errorCodeOf(error))) throw error;
    const isOver = errorCodeOf(error) === 'SESSION_INVALID' && session.token !== '';
    if (isOver) session.forget();
    if (!(await session.renew(options.signal)) && !isOver) throw error;
    return callOnce(wire, method, options);
  }
};

/** One request, one answer. */
export const callOnce = <Request, Response>(
  wire: Wire,
  method: Method<Request, Response>,
  options: CallOptions & { readonly request: Request },
): Promise<Response> =>
  new Promise((resolve, reject) => {
    throwIfCancelled(options.signal);
    const call = wire.client.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      options.request,
      metadataOf(wire),
      { deadline: Date.now() + deadlineMsOf(method.path, options.deadlineMs) },
      (error, response) => {
        options.signal.removeEventListener('abort', abort);
        if (error !== null) reject(options.signal.aborted ? cancelled(error) : nestErrorOf(error, wire.failure()));
        else if (response !== undefined) resolve(response);
      },
    );
    const abort = (): void => {
      call.cancel();
    };
    options.signal.addEventListener('abort', abort, { once: true });
  });

/** One request, many answers, until the agent ends or the signal aborts (which ends the iteration without an error). */
export async function* callStream<Request, Response>(
  wire: Wire,
  method: Method<Request, Response>,
  options: { readonly request: Request; readonly signal: AbortSignal },
): AsyncGenerator<Response> {
  const { request, signal } = options;
  if (signal.aborted) return;
  const stream = wire.client.makeServerStreamRequest(
    method.path,
    method.requestSerialize,
    method.responseDeserialize,
    request,
    metadataOf(wire),
  );
  const abort = (): void => {
    stream.cancel();
  };
  signal.addEventListener('abort', abort, { once: true });
  try {
    for await (const message of stream) yield message as Response;
  } catch (error) {
    if (!signal.aborted) throw nestErrorOf(error, wire.failure());
  } finally {
    signal.removeEventListener('abort', abort);
    stream.cancel();
  }
}

const metadataOf = ({ session }: Wire): Metadata => {
  const metadata = new Metadata();
  if (session !== undefined && session.token !== '') metadata.set(sessionMetadata, session.token);
  return metadata;
};

const deadlineMsOf = (path: string, asked: number | undefined): number => {
  const max = rpcAccess[path]?.maxDeadlineMs ?? 15_000;
  return asked === undefined ? max : Math.min(asked, max);
};
