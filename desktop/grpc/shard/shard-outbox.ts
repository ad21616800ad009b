/** Collects what is to be said during one turn of the event loop, or a moment longer where that can wait, and says it in one batch. */
import { noBytes, noNumbers } from './shard-message.ts';
import type { Piece, ShardBatch } from './shard-message.ts';

/** A batch with more bytes leaves at once. */
const batchBytesMax = 1 << 20;

/** What can wait waits so long for company, milliseconds: a thousand statuses a second in a hundred batches. */
export const gatherMs = 10;

/** Whether the batch leaves with this turn, or after gathering. */
export type Urgency = 'now' | 'soon';

export interface ShardOutbox<Item> {
  add(item: Item): void;
  /** Copies the bytes into the batch that `make`'s item goes out with. */
  addWith(bytes: Uint8Array, make: (piece: Piece) => Item): void;
  /** A message of a stream. */
  addMessage(call: number, bytes: Uint8Array, urgency: Urgency): void;
  /** So many more messages of a stream may come. */
  addCredit(call: number, messages: number, urgency: Urgency): void;
}

/** Batches go to `post` after the present turn; what can wait, after at most `waitMs`. */
export const createShardOutbox = <Item>(post: (batch: ShardBatch<Item>) => void, waitMs: number): ShardOutbox<Item> => {
  let items: Item[] = [];
  let numbers: number[] = [];
  let parts: Uint8Array[] = [];
  let length = 0;
  let isScheduled = false;
  let gathering: NodeJS.Timeout | null = null;
  const flush = (): void => {
    isScheduled = false;
    if (gathering !== null) clearTimeout(gathering);
    gathering = null;
    if (items.length === 0 && numbers.length === 0) return;
    const batch = {
      numbers: numbers.length === 0 ? noNumbers : Uint32Array.from(numbers),
      items,
      bytes: length === 0 ? noBytes : joined(parts, length),
    };
    items = [];
    numbers = [];
    parts = [];
    length = 0;
    post(batch);
  };
  const schedule = (urgency: Urgency): void => {
    if (isScheduled) return;
    if (length >= batchBytesMax) flush();
    else if (urgency === 'soon') gathering ??= setTimeout(flush, waitMs);
    else {
      isScheduled = true;
      setImmediate(flush);
    }
  };
  const take = (bytes: Uint8Array): void => {
    parts.push(bytes);
    length += bytes.length;
  };
  return {
    add: (item) => {
      items.push(item);
      schedule('now');
    },
    addWith: (bytes, make) => {
      items.push(make({ at: length, length: bytes.length }));
      take(bytes);
      schedule('now');
    },
    addMessage: (call, bytes, urgency) => {
      numbers.push(call, length, bytes.length);
      take(bytes);
      schedule(urgency);
    },
    addCredit: (call, messages, urgency) => {
      numbers.push(call, messages);
      schedule(urgency);
    },
  };
};

/** In memory of its own, which can change hands. */
const joined = (parts: readonly Uint8Array[], length: number): Uint8Array => {
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
};
