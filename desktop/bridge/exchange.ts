/** One connection of a client: the handshake, the numbering, and who waits for which answer. */
import { NestError, isErrorCode } from '../../proto/model/error.ts';
import type { Transport } from './transport.ts';
import { capabilities, encodeFrame, fitsBytes, parseServerFrame, protocolVersion, requestBytesMax } from './wire.ts';
import type { ServerFrame, WireError } from './wire.ts';

export interface ExchangeListener {
  /** The handshake is done. */
  ready(): void;
  /** Called once. With a reason the peer refused for good and connecting again is of no use. */
  ended(reason: NestError | undefined): void;
}

export interface CallListener {
  result(value: unknown): void;
  fail(error: NestError): void;
}

export interface StreamListener {
  item(value: unknown): void;
  end(): void;
  fail(error: NestError): void;
}

export class Exchange {
  readonly #transport: Transport;
  readonly #listener: ExchangeListener;
  readonly #calls = new Map<number, CallListener>();
  readonly #streams = new Map<number, StreamListener>();
  #lastId = 0;
  #isReady = false;
  #isOver = false;

  constructor(transport: Transport, listener: ExchangeListener) {
    this.#transport = transport;
    this.#listener = listener;
    transport.onMessage((text) => {
      this.#receive(text);
    });
    transport.onClose(() => {
      this.#finish(undefined);
    });
    transport.send(encodeFrame({ t: 'hello', v: protocolVersion, capabilities }));
  }

  /** Sends a call; the returned function cancels it. A request that is too large fails at once and undefined is returned. */
  call(method: string, input: unknown, listener: CallListener): (() => void) | undefined {
    const id = this.#request('call', { method, input }, listener);
    if (id === undefined) return undefined;
    this.#calls.set(id, listener);
    return () => {
      if (this.#calls.delete(id)) this.#transport.send(encodeFrame({ t: 'cancel', v: protocolVersion, id }));
    };
  }

  /** Opens a stream. A request that is too large fails at once and undefined is returned. */
  open(method: string, input: unknown, listener: StreamListener): { readonly cancel: () => void; readonly credit: () => void } | undefined {
    const id = this.#request('open', { method, input }, listener);
    if (id === undefined) return undefined;
    this.#streams.set(id, listener);
    return {
      cancel: () => {
        if (this.#streams.delete(id)) this.#transport.send(encodeFrame({ t: 'cancel', v: protocolVersion, id }));
      },
      credit: () => {
        if (this.#streams.has(id)) this.#transport.send(encodeFrame({ t: 'credit', v: protocolVersion, id, n: 1 }));
      },
    };
  }

  close(reason: NestError): void {
    this.#finish(reason);
    this.#transport.close();
  }

  #request(
    t: 'call' | 'open',
    { method, input }: { readonly method: string; readonly input: unknown },
    listener: { fail(error: NestError): void },
  ): number | undefined {
    const id = this.#lastId + 1;
    const text = encodeFrame({ t, v: protocolVersion, id, m: method, p: input });
    const bytesMax = requestBytesMax(method);
    if (!fitsBytes(text, bytesMax)) {
      listener.fail(
        new NestError('MESSAGE_TOO_LARGE', `A request to ${method} may have at most ${bytesMax} bytes. Send less at once.`, {
          details: { bytesMax },
        }),
      );
      return undefined;
    }
    this.#lastId = id;
    this.#transport.send(text);
    return id;
  }

  #receive(text: string): void {
    if (this.#isOver) return;
    const parsed = parseServerFrame(text);
    if (parsed.kind === 'ignored') return;
    if (parsed.kind === 'broken') {
      this.close(new NestError('BRIDGE_PROTOCOL', `${parsed.reason} Reload the page; if it stays, the two sides are of different builds.`));
      return;
    }
    this.#handle(parsed.frame);
  }

  #handle(frame: ServerFrame): void {
    switch (frame.t) {
      case 'welcome':
        if (!this.#isReady) {
          this.#isReady = true;
          this.#listener.ready();
        }
        return;
      case 'result': {
        const call = this.#calls.get(frame.id);
        this.#calls.delete(frame.id);
        call?.result(frame.d);
        return;
      }
      case 'error': {
        const waiting = this.#calls.get(frame.id) ?? this.#streams.get(frame.id);
        this.#calls.delete(frame.id);
        this.#streams.delete(frame.id);
        waiting?.fail(toNestError(frame.e));
        return;
      }
      case 'item':
        this.#streams.get(frame.id)?.item(frame.d);
        return;
      case 'end': {
        const stream = this.#streams.get(frame.id);
        this.#streams.delete(frame.id);
        stream?.end();
        return;
      }
      case 'fatal':
        this.close(toNestError(frame.e));
    }
  }

  #finish(reason: NestError | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const lost =
      reason ??
      new NestError(
        'BRIDGE_PROTOCOL',
        'The connection to the console was lost before the answer came. Look at the present state, then try again.',
      );
    for (const call of this.#calls.values()) call.fail(lost);
    this.#calls.clear();
    this.#streams.clear();
    this.#listener.ended(reason);
  }
}

const toNestError = ({ code, message, details, correlationId }: WireError): NestError =>
  new NestError(isErrorCode(code) ? code : 'INTERNAL', message, { details: { ...details, correlationId } });
