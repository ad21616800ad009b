/** Collects what is to be said during one turn of the event loop, or a moment longer where that can wait, and says it in one batch. */
import { noBytes } from './shard-message.ts';
import type { Piece, ShardBatch } from './shard-message.ts';

/** A batch with more bytes leaves at once. */
const batchBytesMax = 1 << 20;

/** What can wait waits so long for company, milliseconds: a thousand statuses a second in a hundred batches. */
const gatherMs = 10;

export interface ShardOutbox<Item> {
  add(item: Item): void;
  /** Copies the bytes into the batch that `make`'s item goes out with. */
  addWith(bytes: Uint8Array, make: (piece: Piece) => Item, urgency?: 'now' | 'soon'): void;
}

/** Batches go to `post` after the present turn. */
export const createShardOutbox = <Item>(post: (batch: ShardBatch<Item>) => void): ShardOutbox<Item> => {
  let items: Item[] = [];
  let parts: Uint8Array[] = [];
  let length = 0;
  let isScheduled = false;
  let gathering: NodeJS.Timeout | null = null;
  const flush = (): void => {
    isScheduled = false;
    if (gathering !== null) clearTimeout(gathering);
    gathering = null;
    if (items.length === 0) return;
    const batch = { items, bytes: length === 0 ? noBytes : joined(parts, length) };
    items = [];
    parts = [];
    length = 0;
    post(batch);
  };
  const schedule = (): void => {
    if (isScheduled) return;
    isScheduled = true;
    setImmediate(flush);
  };
  return {
    add: (item) => {
      items.push(item);
      schedule();
    },
    addWith: (bytes, make, urgency = 'now') => {
      items.push(make({ at: length, length: bytes.length }));
      parts.push(bytes);
      length += bytes.length;
      if (length >= batchBytesMax) flush();
      else if (urgency === 'now') schedule();
      else if (!isScheduled) gathering ??= setTimeout(flush, gatherMs);
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
