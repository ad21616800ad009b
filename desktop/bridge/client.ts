/**
 * The face's end of the bridge: a BridgeClient over any transport. When the transport ends it connects again, paced;
 * open streams are opened anew and go on, calls under way fail with BRIDGE_PROTOCOL, because nobody can know whether
 * they took effect. Calls made while there is no connection wait for one.
 */
import { NestError } from '../../proto/model/error.ts';
import type { BridgeClient } from './contract.ts';
import { Exchange } from './exchange.ts';
import type { BridgeClock, Transport } from './transport.ts';
import { SubscriptionQueue } from './subscription-queue.ts';

/** 'closed': by this side, refused for good, or out of attempts; a new client is needed. */
export type BridgeStatus = 'connecting' | 'open' | 'waiting' | 'closed';

export interface BridgeClientOptions {
  /** Makes one connected transport. A rejection counts as a failed attempt. */
  readonly connect: (signal: AbortSignal) => Promise<Transport>;
  readonly clock: BridgeClock;
  /** Attempts in a row without success before the client closes; 1 = never again. */
  readonly attemptsMax?: number;
}

export interface BridgeConnection extends BridgeClient {
  readonly status: BridgeStatus;
  /** Calls the listener after every change; the returned function takes it back. */
  onStatus(listener: (status: BridgeStatus) => void): () => void;
  /** Ends streams and calls with CANCELLED. Idempotent. */
  close(): void;
}

/** Pauses between attempts: doubled from the first to the last, each shortened by up to half by chance. */
const pauseMs = { first: 250, last: 10_000 } as const;
/** Reached after about ten minutes. */
const attemptsMaxDefault = 80;
const handshakeTimeoutMs = 10_000;
/** Requests that may wait for a connection. */
const waitingMax = 256;

/** Makes a client and starts to connect. */
export const createBridgeClient = (options: BridgeClientOptions): BridgeConnection => new Client(options);

interface Waiter {
  readonly begin: (exchange: Exchange) => void;
  readonly fail: (error: NestError) => void;
}

class Client implements BridgeConnection {
  readonly #options: BridgeClientOptions;
  readonly #listeners = new Set<(status: BridgeStatus) => void>();
  readonly #waiters = new Set<Waiter>();
  readonly #streams = new Set<Waiter>();
  readonly #abort = new AbortController();
  /** The one that can be used. */
  #exchange: Exchange | undefined;
  /** The one that shakes hands. */
  #dialled: Exchange | undefined;
  #status: BridgeStatus = 'connecting';
  #failures = 0;
  #takeBackPause: (() => void) | undefined;
  #end: NestError | undefined;

  constructor(options: BridgeClientOptions) {
    this.#options = options;
    void this.#connect();
  }

  get status(): BridgeStatus {
    return this.#status;
  }

  onStatus(listener: (status: BridgeStatus) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  call: BridgeClient['call'] = (method, input, { signal } = {}) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(cancelled());
        return;
      }
      let cancelOnWire: (() => void) | undefined;
      const settle = (): void => {
        this.#waiters.delete(waiter);
        signal?.removeEventListener('abort', abort);
      };
      const abort = (): void => {
        settle();
        cancelOnWire?.();
        reject(cancelled());
      };
      const fail = (error: NestError): void => {
        settle();
        reject(error);
      };
      const waiter: Waiter = {
        fail,
        begin: (exchange) => {
          this.#waiters.delete(waiter);
          cancelOnWire = exchange.call(method, input, {
            result: (value) => {
              settle();
              // The core promises this type by its handlers; both sides are built from one contract.
              resolve(value as never);
            },
            fail,
          });
        },
      };
      signal?.addEventListener('abort', abort, { once: true });
      this.#beginOrWait(waiter, this.#waiters);
    });

  subscribe: BridgeClient['subscribe'] = (method, input, { signal } = {}) => ({
    [Symbol.asyncIterator]: () => {
      const queue = new SubscriptionQueue();
      let cancelOnWire: (() => void) | undefined;
      const stop = (): void => {
        this.#streams.delete(waiter);
        signal?.removeEventListener('abort', abort);
        cancelOnWire?.();
        cancelOnWire = undefined;
      };
      const abort = (): void => {
        stop();
        queue.fail(cancelled());
      };
      const waiter: Waiter = {
        fail: (error) => {
          stop();
          queue.fail(error);
        },
        begin: (exchange) => {
          const stream = exchange.open(method, input, {
            item: (value) => {
              queue.push(value);
            },
            end: () => {
              cancelOnWire = undefined;
              stop();
              queue.end();
            },
            fail: waiter.fail,
          });
          cancelOnWire = stream?.cancel;
          queue.restart(stream?.credit);
        },
      };
      if (signal?.aborted === true) queue.fail(cancelled());
      else {
        signal?.addEventListener('abort', abort, { once: true });
        this.#beginOrWait(waiter, this.#streams);
      }
      return {
        next: () => queue.next() as Promise<IteratorResult<never>>,
        return: () => {
          stop();
          queue.end();
          return Promise.resolve({ done: true as const, value: undefined });
        },
      };
    },
  });

  close(): void {
    this.#finish(cancelled());
  }

  /** A stream stays in its set while it lives, so that it is opened again after a new connection. */
  #beginOrWait(waiter: Waiter, set: Set<Waiter>): void {
    if (this.#end !== undefined) {
      waiter.fail(this.#end);
      return;
    }
    if (set === this.#waiters && this.#exchange === undefined && set.size >= waitingMax) {
      waiter.fail(new NestError('LIMIT_REACHED', 'Too many requests wait for the connection to the console. Try again when it is back.'));
      return;
    }
    set.add(waiter);
    if (this.#exchange !== undefined) waiter.begin(this.#exchange);
  }

  async #connect(): Promise<void> {
    this.#setStatus('connecting');
    let transport: Transport;
    try {
      transport = await this.#options.connect(this.#abort.signal);
    } catch {
      // Why one attempt failed is of no use to the operator; that the connection is away is shown by the status.
      this.#lost();
      return;
    }
    if (this.#end !== undefined) {
      transport.close();
      return;
    }
    const takeBackTimeout = this.#options.clock.after(handshakeTimeoutMs, () => {
      transport.close();
    });
    const exchange = new Exchange(transport, {
      ready: () => {
        takeBackTimeout();
        this.#dialled = undefined;
        this.#failures = 0;
        this.#exchange = exchange;
        this.#setStatus('open');
        for (const waiter of [...this.#streams, ...this.#waiters]) waiter.begin(exchange);
      },
      ended: (reason) => {
        takeBackTimeout();
        this.#exchange = undefined;
        this.#dialled = undefined;
        if (reason === undefined) this.#lost();
        else this.#finish(reason);
      },
    });
    // A transport that had already ended has called `ended` by now.
    if (this.#end === undefined && this.#status === 'connecting') this.#dialled = exchange;
  }

  #lost(): void {
    if (this.#end !== undefined) return;
    this.#failures += 1;
    if (this.#failures >= (this.#options.attemptsMax ?? attemptsMaxDefault)) {
      this.#finish(new NestError('BRIDGE_REFUSED', 'The console cannot be reached. See that it still runs, then reload the page.'));
      return;
    }
    const longest = Math.min(pauseMs.last, pauseMs.first * 2 ** Math.min(this.#failures - 1, 16));
    this.#setStatus('waiting');
    this.#takeBackPause = this.#options.clock.after(longest * (1 - this.#options.clock.random() / 2), () => {
      void this.#connect();
    });
  }

  #finish(reason: NestError): void {
    if (this.#end !== undefined) return;
    this.#end = reason;
    this.#takeBackPause?.();
    this.#abort.abort();
    for (const waiter of [...this.#waiters, ...this.#streams]) waiter.fail(reason);
    const exchange = this.#exchange ?? this.#dialled;
    this.#exchange = undefined;
    this.#dialled = undefined;
    exchange?.close(reason);
    this.#setStatus('closed');
  }

  #setStatus(status: BridgeStatus): void {
    if (this.#status === status) return;
    this.#status = status;
    for (const listener of this.#listeners) listener(status);
  }
}

const cancelled = (): NestError => new NestError('CANCELLED', 'The call was cancelled.');
