/** One question at a time for a code of the second factor: a call that needs it waits, and is made again once it is proven. */
import type { MfaAct } from '../../bridge/model.ts';
import type { Failure } from './failure.ts';

export interface StepUpQuestion {
  readonly message: string;
  /** What the code is for, when it is for one act alone. */
  readonly act: MfaAct | null;
}

export class StepUpPrompt {
  #open: {
    readonly question: StepUpQuestion;
    readonly key: string;
    readonly answered: Promise<boolean>;
    readonly answer: (isProven: boolean) => void;
  } | null = null;
  readonly #listeners = new Set<() => void>();

  get question(): StepUpQuestion | null {
    return this.#open?.question ?? null;
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** True once a code was right. False when the person gave up, or is being asked for something else. */
  async ask({ message, act }: Failure): Promise<boolean> {
    const key = JSON.stringify(act ?? null);
    if (this.#open !== null) return this.#open.key === key ? this.#open.answered : false;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#open = { question: { message, act: act ?? null }, key, answered: promise, answer: resolve };
    this.#tell();
    return promise;
  }

  answer(isProven: boolean): void {
    const open = this.#open;
    this.#open = null;
    this.#tell();
    open?.answer(isProven);
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}
