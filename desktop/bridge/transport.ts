/** What carries frames. Each side of a conversation holds one transport; the transport has one listener of each kind. */
export interface Transport {
  /** Queues one text. After `close`, or when the peer is gone, it does nothing. */
  send(text: string): void;
  /** Replaces the listener. Texts that arrived before the first listener are kept and delivered to it, in order. */
  onMessage(listener: (text: string) => void): void;
  /** Called once, also when this side closed, also when it is set after the end. */
  onClose(listener: () => void): void;
  /** Idempotent. */
  close(): void;
}

/** Texts kept for a transport that has no listener yet. */
const earlyTextsMax = 64;

/** Listener bookkeeping every transport needs: early texts are kept, the end is told once. */
export class Inbox {
  #early: string[] = [];
  #message: ((text: string) => void) | undefined;
  #close: (() => void) | undefined;
  #isClosed = false;

  get isClosed(): boolean {
    return this.#isClosed;
  }

  onMessage(listener: (text: string) => void): void {
    this.#message = listener;
    for (const text of this.#early.splice(0)) listener(text);
  }

  onClose(listener: () => void): void {
    if (this.#isClosed) listener();
    else this.#close = listener;
  }

  /** Hands a text on; returns false when nobody listens and the room for early texts is used up. */
  deliver(text: string): boolean {
    if (this.#isClosed) return true;
    if (this.#message !== undefined) {
      this.#message(text);
      return true;
    }
    return this.#early.length < earlyTextsMax && this.#early.push(text) > 0;
  }

  end(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#early = [];
    this.#close?.();
  }
}

/** Time and chance, brought in by the host. */
export interface BridgeClock {
  /** Monotonic milliseconds. */
  now(): number;
  /** Runs the task once after `delayMs`; the returned function takes it back. */
  after(delayMs: number, task: () => void): () => void;
  /** In [0, 1). */
  random(): number;
}
