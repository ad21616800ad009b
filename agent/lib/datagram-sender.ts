import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import type { Clock, Timer } from './clock.ts';

/** Datagrams that wait at most; what comes then is dropped. */
export const queueMax = 8_192;
/** Datagrams sent in one turn of the event loop, and the pause until the next: about 50,000 a second at most. */
const burstMax = 256;
const pauseMs = 5;
/** Datagrams handed to the kernel whose fate is not known yet. */
const inFlightMax = 1_024;
/** How often the name of the collector is looked up again, and after a failure. */
export const resolveMs = 300_000;
export const retryMs = 5_000;
/** What is queued at the end gets this long to leave. */
const closeMs = 1_000;

/** Why a datagram did not leave: no room, no address of the collector yet, an error of the socket, or the agent was stopping. */
export const dropReasons = ['queue_full', 'unresolved', 'send_failed', 'closed'] as const;
export type DropReason = (typeof dropReasons)[number];

interface ResolvedAddress {
  readonly address: string;
  readonly family: number;
}

export interface DatagramSenderOptions {
  /** Address or name. */
  readonly host: string;
  readonly port: number;
  readonly clock: Clock;
  /** Called when what was sent may not have arrived: at each new socket, and after a loss. */
  readonly onDisrupted?: () => void;
  /** Raises when the name is not known; the default asks the system. */
  readonly resolve?: (host: string) => Promise<ResolvedAddress>;
}

export interface DatagramSender {
  /** Takes ownership of the bytes. Never waits; false when the datagram was dropped and counted. */
  send(datagram: Buffer): boolean;
  /** True while the queue is more than half full and shrinks: a producer that can wait should. */
  readonly isCongested: boolean;
  /** False: `send` would drop, so that there is no use in making a datagram; then send an empty one to have it counted. */
  readonly hasRoom: boolean;
  readonly sent: number;
  readonly queued: number;
  readonly isResolved: boolean;
  readonly dropped: Readonly<Record<DropReason, number>>;
  /** Sends what is queued, waits for it at most a second, and closes. Idempotent. */
  close(): Promise<void>;
}

/**
 * UDP to one collector through a bounded queue, in bursts. UDP gives no answer, but a connected socket hears that nobody
 * listens, and that counts as a loss.
 */
export const createDatagramSender = (options: DatagramSenderOptions): DatagramSender => new QueuedSender(options);

class QueuedSender implements DatagramSender {
  readonly #options: DatagramSenderOptions;
  #queue: Buffer[] = [];
  #head = 0;
  #socket: Socket | null = null;
  #peer = '';
  #isDoubtful = false;
  #inFlight = 0;
  #pumpTimer: Timer | null = null;
  #resolveTimer: Timer | null = null;
  #closing: Promise<void> | null = null;
  #onIdle: (() => void) | null = null;
  sent = 0;
  readonly dropped: Record<DropReason, number> = { queue_full: 0, unresolved: 0, send_failed: 0, closed: 0 };

  constructor(options: DatagramSenderOptions) {
    this.#options = options;
    void this.#resolve();
  }

  get queued(): number {
    return this.#queue.length - this.#head;
  }

  get isCongested(): boolean {
    return this.#socket !== null && this.queued > queueMax / 2;
  }

  get isResolved(): boolean {
    return this.#socket !== null;
  }

  get hasRoom(): boolean {
    return this.#closing === null && this.queued < queueMax;
  }

  send(datagram: Buffer): boolean {
    if (this.#closing !== null) return this.#drop('closed');
    if (this.queued >= queueMax) return this.#drop(this.#socket === null ? 'unresolved' : 'queue_full');
    this.#queue.push(datagram);
    this.#pumpTimer ??= this.#options.clock.after(0, () => this.#pump());
    return true;
  }

  close(): Promise<void> {
    this.#closing ??= this.#finish();
    return this.#closing;
  }

  #drop(reason: DropReason): false {
    this.dropped[reason]++;
    return false;
  }

  /** Without a socket the queue stays; the next one pumps. */
  #pump(): void {
    this.#pumpTimer = null;
    const socket = this.#socket;
    if (socket === null) return;
    this.#sendQueued(socket, Math.min(burstMax, inFlightMax - this.#inFlight));
    if (this.queued > 0) this.#pumpTimer = this.#options.clock.after(pauseMs, () => this.#pump());
  }

  #sendQueued(socket: Socket, limit: number): void {
    for (let count = 0; count < limit; count++) {
      const datagram = this.#queue[this.#head];
      if (datagram === undefined) break;
      this.#head++;
      this.#inFlight++;
      socket.send(datagram, (error) => this.#settle(error));
    }
    if (this.#head < this.#queue.length / 2) return;
    this.#queue = this.#queue.slice(this.#head);
    this.#head = 0;
  }

  #settle(error: Error | null): void {
    this.#inFlight--;
    if (error === null) this.sent++;
    else this.#fail();
    if (this.#inFlight === 0) this.#onIdle?.();
  }

  /** The route may have changed as well as the collector: look for it anew soon. */
  #fail(): void {
    this.dropped.send_failed++;
    if (!this.#isDoubtful && this.#closing === null) this.#resolveAfter(retryMs);
    this.#isDoubtful = true;
    this.#options.onDisrupted?.();
  }

  #resolveAfter(delayMs: number): void {
    this.#resolveTimer?.cancel();
    this.#resolveTimer = this.#options.clock.after(delayMs, () => void this.#resolve());
  }

  async #resolve(): Promise<void> {
    let delayMs = resolveMs;
    try {
      const { host, resolve = (name) => lookup(name, { order: 'verbatim' }) } = this.#options;
      const { address, family } = await resolve(host);
      if (this.#closing !== null) return;
      if (this.#isDoubtful || address !== this.#peer) await this.#connect(address, family);
    } catch {
      // Which of the two failed changes nothing: the old socket, if any, stays in use, the gauge tells when there is none.
      delayMs = retryMs;
    }
    if (this.#closing === null) this.#resolveAfter(delayMs);
  }

  async #connect(address: string, family: number): Promise<void> {
    const socket = createSocket(family === 6 ? 'udp6' : 'udp4');
    socket.unref();
    try {
      await new Promise<void>((resolve, reject) => {
        socket.once('error', reject);
        socket.connect(this.#options.port, address, () => {
          socket.off('error', reject);
          resolve();
        });
      });
    } catch (error) {
      socket.close();
      throw error;
    }
    if (this.#closing !== null) {
      socket.close();
      return;
    }
    socket.on('error', () => this.#fail());
    this.#socket?.close();
    this.#socket = socket;
    this.#peer = address;
    this.#isDoubtful = false;
    this.#options.onDisrupted?.();
    this.#pumpTimer ??= this.#options.clock.after(0, () => this.#pump());
  }

  async #finish(): Promise<void> {
    this.#pumpTimer?.cancel();
    this.#resolveTimer?.cancel();
    const socket = this.#socket;
    if (socket !== null) this.#sendQueued(socket, queueMax);
    this.dropped.unresolved += this.queued;
    this.#queue = [];
    this.#head = 0;
    if (socket === null) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const deadline = this.#options.clock.after(closeMs, resolve);
    this.#onIdle = resolve;
    if (this.#inFlight > 0) await promise;
    deadline.cancel();
    this.#socket = null;
    socket.close();
  }
}
