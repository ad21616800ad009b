/** What arrived of one stream and was not taken yet. Never longer than the stream's window: taking an item is what lets the next one come. */
import type { NestError } from '../../proto/model/error.ts';

interface Taker {
  readonly resolve: (result: IteratorResult<unknown>) => void;
  readonly reject: (error: NestError) => void;
}

export class SubscriptionQueue {
  readonly #items: unknown[] = [];
  readonly #takers: Taker[] = [];
  #acknowledge: (() => void) | undefined;
  #ending: { readonly error: NestError | undefined } | undefined;

  /** The stream was opened (again); items of the connection before are no longer acknowledged, the newest of them is kept. */
  restart(acknowledge: (() => void) | undefined): void {
    this.#items.splice(0, this.#items.length - 1);
    this.#acknowledge = acknowledge;
  }

  push(value: unknown): void {
    if (this.#ending !== undefined) return;
    const taker = this.#takers.shift();
    if (taker === undefined) {
      this.#items.push(value);
      return;
    }
    this.#acknowledge?.();
    taker.resolve({ done: false, value });
  }

  /** Items already here are still handed out. */
  end(): void {
    this.#close(undefined);
  }

  fail(error: NestError): void {
    this.#items.length = 0;
    this.#close(error);
  }

  next(): Promise<IteratorResult<unknown>> {
    if (this.#items.length > 0) {
      this.#acknowledge?.();
      return Promise.resolve({ done: false, value: this.#items.shift() });
    }
    if (this.#ending === undefined) {
      return new Promise((resolve, reject) => {
        this.#takers.push({ resolve, reject });
      });
    }
    const { error } = this.#ending;
    // An iterator throws once; afterwards it is just over.
    this.#ending = { error: undefined };
    return error === undefined ? Promise.resolve({ done: true, value: undefined }) : Promise.reject(error);
  }

  #close(error: NestError | undefined): void {
    if (this.#ending !== undefined) return;
    this.#acknowledge = undefined;
    const [first, ...others] = this.#takers.splice(0);
    this.#ending = { error: first === undefined ? error : undefined };
    if (error === undefined) first?.resolve({ done: true, value: undefined });
    else first?.reject(error);
    for (const taker of others) taker.resolve({ done: true, value: undefined });
  }
}
