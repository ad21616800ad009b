/** One HTTP/2 connection to one agent: made once, watched by pings, closed in order. */
import { connect as connectHttp2 } from 'node:http2';
import type { ClientHttp2Session } from 'node:http2';
import type { TLSSocket } from 'node:tls';
import { NestError } from '../../proto/model/error.ts';
import { connectTls, unreachable } from './agent-tls.ts';
import type { CredentialOptions, Endpoint } from './agent-tls.ts';
import { closingMs, connectTimeoutMs, keepaliveTimeMs, keepaliveTimeoutMs, sessionMegabytesMax } from './wire-limits.ts';

/** Each call names its host itself. */
const authority = new URL('https://agent.nest.internal');

export interface AgentSessionOptions {
  readonly endpoint: Endpoint;
  readonly credentials: CredentialOptions;
  /** What the agent may send before it is read, for the connection and for each call, bytes. */
  readonly windowBytes: number;
  /** How often a silent agent is pinged, and how long its answer may take, milliseconds. */
  readonly keepalive?: { readonly everyMs: number; readonly answerMs: number };
}

const keepaliveDefault = { everyMs: keepaliveTimeMs, answerMs: keepaliveTimeoutMs };

/** Begins to connect when it is made. */
export class AgentSession {
  /** Resolves when calls may begin; rejects with why there is no connection. */
  readonly opened: Promise<ClientHttp2Session>;
  /** Something came since the last look: an agent that talks need not be pinged. */
  isHeard = true;
  #http2: ClientHttp2Session | null = null;
  #failure: NestError | undefined;
  #isOver = false;
  #isResumed = false;
  #timer: NodeJS.Timeout;
  readonly #tls: TLSSocket;

  constructor({ endpoint, credentials, windowBytes, keepalive = keepaliveDefault }: AgentSessionOptions) {
    const opened = Promise.withResolvers<ClientHttp2Session>();
    this.opened = opened.promise;
    // Who waits for it hears of it; nobody has to.
    this.opened.catch(() => undefined);
    this.#tls = connectTls(endpoint, credentials, {
      accepted: () => {
        clearTimeout(this.#timer);
        this.#isResumed = this.#tls.isSessionReused();
        opened.resolve(this.#open(windowBytes, keepalive));
      },
      failed: (error) => {
        this.#failure ??= error;
        this.#end();
        opened.reject(this.#failure);
      },
    });
    this.#timer = setTimeout(() => this.#tls.destroy(), connectTimeoutMs).unref();
  }

  /** Null while the connection is made, and when new calls need another one. */
  get http2(): ClientHttp2Session | null {
    return this.#isOver || this.#http2 === null || this.#http2.closed || this.#http2.destroyed ? null : this.#http2;
  }

  /** No new call may begin: it failed, broke, or the agent asked for another. */
  get isOver(): boolean {
    return this.#isOver || (this.#http2 !== null && this.http2 === null);
  }

  /** Whether there was a connection at all. */
  get wasOpen(): boolean {
    return this.#http2 !== null;
  }

  /** Whether the handshake resumed a session. */
  get isResumed(): boolean {
    return this.#isResumed;
  }

  /** What a call that lost this connection is told. */
  get failure(): NestError {
    return this.#failure ?? unreachable(new Error('the connection has ended'));
  }

  /** Whether the connection itself is gone, with every call on it. */
  get isBroken(): boolean {
    return this.#http2 === null || this.#http2.destroyed;
  }

  /** Calls that run get a moment to finish. */
  close(): void {
    if (this.#http2 === null || this.#http2.destroyed) {
      this.#tls.destroy();
      return;
    }
    const http2 = this.#http2;
    http2.close();
    if (!http2.destroyed) setTimeout(() => http2.destroy(), closingMs).unref();
  }

  #open(windowBytes: number, { everyMs, answerMs }: typeof keepaliveDefault): ClientHttp2Session {
    const http2 = connectHttp2(authority, {
      createConnection: () => this.#tls,
      settings: { enablePush: false, initialWindowSize: windowBytes },
      maxSessionMemory: sessionMegabytesMax,
    });
    this.#http2 = http2;
    http2.setLocalWindowSize(windowBytes);
    http2.on('error', (error) => (this.#failure ??= unreachable(error)));
    // The library closes it in order when nothing is wrong: calls that run go on.
    http2.once('goaway', () => (this.#isOver = true));
    http2.once('close', () => this.#end());
    this.#timer = setInterval(() => this.#look(http2, answerMs), everyMs).unref();
    return http2;
  }

  /** Pings a silent agent; without an answer the connection is dead. */
  #look(http2: ClientHttp2Session, answerMs: number): void {
    if (this.isHeard) {
      this.isHeard = false;
      return;
    }
    const dead = setTimeout(() => {
      this.#failure ??= silent();
      http2.destroy();
    }, answerMs).unref();
    const isSent = http2.ping(() => clearTimeout(dead));
    if (!isSent) clearTimeout(dead);
  }

  #end(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
  }
}

const silent = (): NestError =>
  new NestError('HOST_UNREACHABLE', 'The host is silent. Check that it is up, that its agent runs, and the way to it.');
