/** One client of the bridge server: its handshake, its limits, its calls and streams. */
import { NestError, toErrorShape } from '../../proto/model/error.ts';
import { checkedInput } from './checked-input.ts';
import { parseClientFrame } from './client-frames.ts';
import { contract } from './contract.ts';
import type { MethodName } from './contract.ts';
import type { BridgeServerOptions } from './server-options.ts';
import { TokenBucket } from './token-bucket.ts';
import type { Transport } from './transport.ts';
import { WatchPump } from './watch-pump.ts';
import { bridgeLimits, capabilities, encodeFrame, fitsBytes, protocolVersion, requestBytesMax } from './wire.ts';
import type { ClientFrame, ServerFrame, WireError } from './wire.ts';

type Request = Extract<ClientFrame, { m: string }>;
type Handler = (input: unknown, signal: AbortSignal) => unknown;

const isMethod = (text: string): text is MethodName => Object.hasOwn(contract, text);

export class Conversation {
  /** Resolves when the transport has ended and every handler has returned. */
  readonly ended: Promise<void>;
  readonly #transport: Transport;
  readonly #options: BridgeServerOptions;
  readonly #frames: TokenBucket;
  readonly #requests: TokenBucket;
  readonly #calls = new Map<number, AbortController>();
  readonly #streams = new Map<number, WatchPump>();
  readonly #running = new Set<Promise<void>>();
  #isGreeted = false;
  #isOver = false;
  #refusalsInRow = 0;

  constructor(transport: Transport, options: BridgeServerOptions) {
    this.#transport = transport;
    this.#options = options;
    this.#frames = new TokenBucket(bridgeLimits.framesPerSecond, options.now);
    this.#requests = new TokenBucket(bridgeLimits.requestsPerSecond, options.now);
    this.ended = new Promise((resolve) => {
      transport.onClose(() => {
        this.#cancelAll();
        void Promise.all(this.#running).then(() => {
          resolve();
        });
      });
    });
    transport.onMessage((text) => {
      this.#receive(text);
    });
  }

  get streamCount(): number {
    return this.#streams.size;
  }

  /** Cancels everything and ends the transport. */
  close(): void {
    this.#cancelAll();
    this.#transport.close();
  }

  #receive(text: string): void {
    if (this.#isOver) return;
    if (!this.#frames.take()) {
      this.#fatal(new NestError('LIMIT_REACHED', 'Too many messages in one second. Reload the console.'));
      return;
    }
    if (!fitsBytes(text, bridgeLimits.policyRequestBytesMax)) {
      this.#fatal(
        new NestError('MESSAGE_TOO_LARGE', `A request may have at most ${bridgeLimits.policyRequestBytesMax} bytes. Send less at once.`),
      );
      return;
    }
    const parsed = parseClientFrame(text);
    if (parsed.kind === 'ignored') return;
    if (parsed.kind === 'broken') {
      this.#fatal(
        new NestError('BRIDGE_PROTOCOL', `${parsed.reason} Reload the console; if it stays, the two sides are of different builds.`),
      );
      return;
    }
    this.#dispatch(parsed.frame, text);
  }

  #dispatch(frame: ClientFrame, text: string): void {
    if (frame.t === 'hello') {
      this.#greet(frame.v);
      return;
    }
    if (!this.#isGreeted) {
      this.#fatal(new NestError('BRIDGE_PROTOCOL', 'The first frame has to be hello. Reload the console.'));
      return;
    }
    switch (frame.t) {
      case 'cancel':
        this.#cancel(frame.id);
        return;
      case 'credit':
        this.#streams.get(frame.id)?.credit(frame.n);
        return;
      case 'call':
      case 'open':
        this.#request(frame, text);
    }
  }

  #greet(newest: number): void {
    if (newest < protocolVersion || this.#isGreeted) {
      this.#fatal(
        new NestError('BRIDGE_PROTOCOL', 'The page does not speak the version of this console. Reload it.', {
          details: { protocolVersion },
        }),
      );
      return;
    }
    this.#isGreeted = true;
    this.#send({ t: 'welcome', v: protocolVersion, capabilities });
  }

  #request(frame: Request, text: string): void {
    if (this.#calls.has(frame.id) || this.#streams.has(frame.id)) {
      this.#fatal(new NestError('BRIDGE_PROTOCOL', 'A request used the id of one that still runs. Reload the console.'));
      return;
    }
    const admitted = this.#admit(frame, text);
    if (admitted instanceof NestError) {
      this.#refuse(frame, admitted);
      return;
    }
    this.#refusalsInRow = 0;
    const running = frame.t === 'call' ? this.#call(frame, admitted) : this.#open(frame, admitted);
    this.#running.add(running);
    void running.finally(() => this.#running.delete(running));
  }

  /** The validated input with its handler, or why the request is not served. */
  #admit(frame: Request, text: string): { readonly handler: Handler; readonly input: unknown } | NestError {
    if (!this.#requests.take()) {
      return new NestError(
        'LIMIT_REACHED',
        `At most ${bridgeLimits.requestsPerSecond} requests a second are served. Wait a moment, then try again.`,
      );
    }
    if (!isMethod(frame.m))
      return new NestError(
        'BRIDGE_PROTOCOL',
        'This console does not know the method. Reload the page so that both sides are of one build.',
        { details: { method: frame.m } },
      );
    const { kind } = contract[frame.m];
    if ((kind === 'stream') !== (frame.t === 'open'))
      return new NestError('BRIDGE_PROTOCOL', 'A stream has to be opened, everything else has to be called.', {
        details: { method: frame.m },
      });
    const bytesMax = requestBytesMax(frame.m);
    if (!fitsBytes(text, bytesMax))
      return new NestError('MESSAGE_TOO_LARGE', `A request to ${frame.m} may have at most ${bytesMax} bytes. Send less at once.`, {
        details: { bytesMax },
      });
    if (frame.t === 'open' && this.#streams.size >= bridgeLimits.streamsMax) {
      return new NestError('LIMIT_REACHED', `At most ${bridgeLimits.streamsMax} streams are open at once. Close a view, then try again.`);
    }
    if (frame.t === 'call' && this.#calls.size >= bridgeLimits.callsInFlightMax) {
      return new NestError(
        'LIMIT_REACHED',
        `At most ${bridgeLimits.callsInFlightMax} requests run at once. Wait for answers, then try again.`,
      );
    }
    const input = checkedInput(frame.m, frame.p);
    if (input instanceof NestError) return input;
    // The contract ties each handler to its schema; the table look-up by a name known only now loses that.
    return { handler: this.#options.handlers[frame.m] as Handler, input };
  }

  #refuse(frame: Request, error: NestError): void {
    this.#fail(frame, error);
    this.#refusalsInRow += 1;
    if (this.#refusalsInRow >= bridgeLimits.refusalsMax) this.close();
  }

  async #call(frame: Request, { handler, input }: { readonly handler: Handler; readonly input: unknown }): Promise<void> {
    const controller = new AbortController();
    this.#calls.set(frame.id, controller);
    try {
      const value = (await handler(input, controller.signal)) ?? null;
      if (this.#calls.has(frame.id)) this.#send({ t: 'result', v: protocolVersion, id: frame.id, d: value });
    } catch (error) {
      if (this.#calls.has(frame.id)) this.#fail(frame, error);
    } finally {
      this.#calls.delete(frame.id);
    }
  }

  async #open(frame: Request, { handler, input }: { readonly handler: Handler; readonly input: unknown }): Promise<void> {
    const { id } = frame;
    let pump: WatchPump;
    try {
      pump = new WatchPump((signal) => handler(input, signal) as AsyncIterable<unknown>, {
        item: (seq, value) => {
          this.#send({ t: 'item', v: protocolVersion, id, seq, d: value ?? null });
        },
        end: () => {
          this.#streams.delete(id);
          this.#send({ t: 'end', v: protocolVersion, id });
        },
        fail: (error) => {
          this.#streams.delete(id);
          this.#fail(frame, error);
        },
      });
    } catch (error) {
      this.#fail(frame, error);
      return;
    }
    this.#streams.set(id, pump);
    await pump.run();
  }

  #cancel(id: number): void {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    call?.abort();
    const stream = this.#streams.get(id);
    this.#streams.delete(id);
    stream?.cancel();
  }

  #cancelAll(): void {
    this.#isOver = true;
    for (const id of [...this.#calls.keys(), ...this.#streams.keys()]) this.#cancel(id);
  }

  #fail(frame: Request, error: unknown): void {
    const wire = this.#wireError(error);
    if (wire.code === 'INTERNAL') this.#options.onFault({ method: frame.m, correlationId: wire.correlationId, error });
    this.#send({ t: 'error', v: protocolVersion, id: frame.id, e: wire });
  }

  #fatal(error: NestError): void {
    this.#send({ t: 'fatal', v: protocolVersion, e: this.#wireError(error) });
    this.close();
  }

  #wireError(error: unknown): WireError {
    return { ...toErrorShape(error), correlationId: this.#options.newCorrelationId() };
  }

  #send(frame: ServerFrame): void {
    this.#transport.send(encodeFrame(frame));
  }
}
