/** Streams of the bridge that come back: a stream that ends or fails is opened again with a paced delay until it is aborted. */
import type { BridgeClient, InputOf, OutputOf, StreamName } from '../../bridge/contract.ts';
import { isCancelled, toFailure } from './failure.ts';
import type { Failure } from './failure.ts';

/** First delay before a stream is opened again; doubles up to the largest. */
const retryFirstMs = 500;
const retryLargestMs = 5_000;

export interface StreamListener<Value> {
  /** Called for every value, in order. */
  readonly onValue: (value: Value) => void;
  /** Called when the stream broke; it will be opened again. */
  readonly onFailure: (failure: Failure) => void;
}

/** Waits, or returns early on abort. Never raises. */
export type Pause = (delayMs: number, signal: AbortSignal) => Promise<void>;

export const pause: Pause = (delayMs, signal) =>
  new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, delayMs);
    signal.addEventListener('abort', end);
  });

/** What a followed stream is made of. */
export interface StreamSource<Name extends StreamName> {
  readonly client: BridgeClient;
  readonly method: Name;
  readonly input: InputOf<Name>;
  readonly pause?: Pause;
}

/** Follows a stream until `signal` aborts; resolves then. Never raises: every failure goes to the listener. */
export const followStream = async <Name extends StreamName>(
  source: StreamSource<Name>,
  listener: StreamListener<OutputOf<Name>>,
  signal: AbortSignal,
): Promise<void> => {
  let delayMs = retryFirstMs;
  while (!signal.aborted) {
    try {
      for await (const value of source.client.subscribe(source.method, source.input, { signal })) {
        delayMs = retryFirstMs;
        listener.onValue(value);
      }
    } catch (error) {
      const failure = toFailure(error);
      if (!signal.aborted && !isCancelled(failure)) listener.onFailure(failure);
    }
    await (source.pause ?? pause)(delayMs, signal);
    delayMs = Math.min(delayMs * 2, retryLargestMs);
  }
};
