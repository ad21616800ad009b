/**
 * Moves the items of one stream to the wire, never more than the window of unacknowledged frames. While the window is
 * used up the newest item replaces the one that waits: a watcher wants the present, not the past. The last item before
 * the end is always sent.
 */
import { bridgeLimits } from './wire.ts';

export interface PumpSink {
  item(seq: number, value: unknown): void;
  end(): void;
  fail(error: unknown): void;
}

export class WatchPump {
  readonly #source: AsyncIterable<unknown>;
  readonly #sink: PumpSink;
  readonly #abort = new AbortController();
  #credits: number = bridgeLimits.streamWindow;
  #waiting: { readonly value: unknown } | undefined;
  #seq = 0;
  #isDrained = false;
  #isOver = false;

  /** `open` gets the signal that ends the stream. */
  constructor(open: (signal: AbortSignal) => AsyncIterable<unknown>, sink: PumpSink) {
    this.#source = open(this.#abort.signal);
    this.#sink = sink;
  }

  /** Resolves when the source has ended; never rejects: a failure goes to the sink. */
  async run(): Promise<void> {
    try {
      for await (const value of this.#source) {
        if (this.#isOver) break;
        this.#waiting = { value };
        this.#flush();
      }
      this.#isDrained = true;
      this.#flush();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** The client has taken `count` frames. More than were sent changes nothing. */
  credit(count: number): void {
    this.#credits = Math.min(bridgeLimits.streamWindow, this.#credits + count);
    this.#flush();
  }

  /** Ends the source; nothing is sent any more. */
  cancel(): void {
    this.#isOver = true;
    this.#waiting = undefined;
    this.#abort.abort();
  }

  #fail(error: unknown): void {
    if (this.#isOver) return;
    this.cancel();
    this.#sink.fail(error);
  }

  #flush(): void {
    if (this.#isOver) return;
    if (this.#waiting !== undefined && this.#credits > 0) {
      const { value } = this.#waiting;
      this.#waiting = undefined;
      this.#credits -= 1;
      this.#seq += 1;
      try {
        this.#sink.item(this.#seq, value);
      } catch (error) {
        // A value that has no JSON form ends the stream, whoever asked for the flush.
        this.#fail(error);
        return;
      }
    }
    if (this.#isDrained && this.#waiting === undefined) {
      this.#isOver = true;
      this.#sink.end();
    }
  }
}
