/** The way to one agent: gRPC over node:http2, one connection at a time (docs/adr/0013-grpc-client.md). */
import { cancelled, throwIfCancelled } from '../lib/api.ts';
import { AgentSession } from './agent-session.ts';
import type { CredentialOptions, Endpoint } from './agent-tls.ts';
import { GrpcCall } from './grpc-call.ts';
import { withLongText } from './long-text.ts';
import { statusErrorOf, grpcStatus } from './status-error.ts';
import type { StreamSink, Wire, WireCall, WireStream } from './wire.ts';
import { bulkWindowBytes, reconnectLimits, statusWindowBytes } from './wire-limits.ts';

export type { Endpoint } from './agent-tls.ts';

export interface Channel extends Wire {
  readonly isResumed: () => boolean;
  /** Connects; resolves when that has succeeded or failed, the time is over (milliseconds) or the signal aborts. The next call tells which. */
  settled(timeoutMs: number, signal: AbortSignal): Promise<void>;
  readonly isSettled: () => boolean;
  /** The same way with the token of a session on every call. */
  withToken(token: () => string): Wire;
  close(): void;
}

/** A channel for statuses and calls that connects at its first call, and anew for the next call after the connection has ended. */
export const openChannel = (endpoint: Endpoint, options: CredentialOptions): Channel =>
  new AgentChannel(endpoint, options, statusWindowBytes);

/** The same for long answers, with a wider window. */
export const openBulkChannel = (endpoint: Endpoint, options: CredentialOptions): Channel =>
  new AgentChannel(endpoint, options, bulkWindowBytes);

class AgentChannel implements Channel {
  readonly #endpoint: Endpoint;
  readonly #credentials: CredentialOptions;
  readonly #windowBytes: number;
  #session: AgentSession | null = null;
  /** Given up by the agent, with calls that still run. */
  readonly #leaving = new Set<AgentSession>();
  #triedAtMs = 0;
  #isClosed = false;

  constructor(endpoint: Endpoint, credentials: CredentialOptions, windowBytes: number) {
    this.#endpoint = endpoint;
    this.#credentials = credentials;
    this.#windowBytes = windowBytes;
  }

  isResumed(): boolean {
    return this.#session?.isResumed ?? false;
  }

  isSettled(): boolean {
    return this.#isClosed || (this.#session !== null && (this.#session.wasOpen || this.#session.isOver));
  }

  async settled(timeoutMs: number, signal: AbortSignal): Promise<void> {
    if (this.#isClosed || signal.aborted) return;
    const { opened } = this.#connected();
    const given = Promise.withResolvers<void>();
    const giveUp = (): void => given.resolve();
    const timer = setTimeout(giveUp, timeoutMs);
    signal.addEventListener('abort', giveUp, { once: true });
    await Promise.race([opened.catch(() => undefined), given.promise]);
    clearTimeout(timer);
    signal.removeEventListener('abort', giveUp);
  }

  unary(path: string, request: Uint8Array, call: WireCall): Promise<Uint8Array> {
    return this.#unary({ path, request, token: '' }, call);
  }

  stream(path: string, request: Uint8Array, sink: StreamSink): WireStream {
    return this.#stream({ path, request, token: '' }, sink);
  }

  withToken(token: () => string): Wire {
    return {
      unary: (path, request, call) => this.#unary({ path, request, token: token() }, call),
      stream: (path, request, sink) => this.#stream({ path, request, token: token() }, sink),
    };
  }

  close(): void {
    this.#isClosed = true;
    this.#session?.close();
    for (const session of this.#leaving) session.close();
  }

  #unary(message: Outgoing, { signal, deadlineMs, ending }: WireCall): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      throwIfCancelled(signal);
      let answer: Buffer | undefined;
      const abort = (): void => running.cancel();
      const sink: StreamSink = {
        message: (bytes) => (answer = bytes),
        ended: (error) => {
          signal.removeEventListener('abort', abort);
          if (error !== null) reject(signal.aborted ? cancelled(error) : error);
          else if (answer !== undefined) resolve(answer);
          else reject(statusErrorOf({ code: grpcStatus.internal, message: 'the answer has no message' }));
        },
      };
      const running = this.#call({ ...message, request: withLongText(message.request, ending), deadlineMs, sink });
      signal.addEventListener('abort', abort, { once: true });
    });
  }

  #stream(message: Outgoing, sink: StreamSink): WireStream {
    return this.#call({ ...message, deadlineMs: null, sink });
  }

  #call(call: Outgoing & { readonly deadlineMs: number | null; readonly sink: StreamSink }): WireStream {
    return new GrpcCall({ ...call, serverName: this.#credentials.serverName }, this.#connected());
  }

  /** The session for a new call. A failed attempt answers for a moment: calls do not dial one after the other. */
  #connected(): AgentSession {
    const last = this.#session;
    const nowMs = performance.now();
    const isGood =
      last !== null && (!last.isOver || this.#isClosed || (!last.wasOpen && nowMs - this.#triedAtMs < reconnectLimits.firstMs));
    if (isGood) return last;
    this.#triedAtMs = nowMs;
    if (last !== null && !last.isBroken) {
      this.#leaving.add(last);
      for (const session of this.#leaving) if (session.isBroken) this.#leaving.delete(session);
    }
    const session = new AgentSession({ endpoint: this.#endpoint, credentials: this.#credentials, windowBytes: this.#windowBytes });
    if (this.#isClosed) session.close();
    this.#session = session;
    return session;
  }
}

interface Outgoing {
  readonly path: string;
  readonly request: Uint8Array;
  readonly token: string;
}
