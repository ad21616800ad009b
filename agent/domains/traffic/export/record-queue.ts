import type { RecordBatch } from '../../../engine/api.ts';

/** Records that wait at most, packed as they came: twelve megabytes. A batch that does not fit is dropped whole and counted. */
export const recordsWaitingMax = 131_072;
/** Rows looked at before other work gets its turn. */
export const rowsPerTurn = 128;

interface Waiting<T> {
  readonly batch: RecordBatch;
  readonly context: T;
}

export interface RecordQueueOptions<T> {
  readonly visit: (batch: RecordBatch, position: number, context: T) => void;
  /** Lets other work have its turn, and waits for room where records go. */
  readonly giveWay: () => Promise<void>;
}

/** Takes batches at once and looks through them bit by bit, so that a burst of records does not hold up the agent. */
export interface RecordQueue<T> {
  /** The batch's memory is kept until it was looked through. */
  push(batch: RecordBatch, context: T): void;
  /** Records that did not fit. */
  readonly dropped: number;
  /** Resolves when nothing waits. */
  settled(): Promise<void>;
  /** What still waits is dropped and counted. */
  stop(): void;
}

/** An empty queue. */
export const createRecordQueue = <T>({ visit, giveWay }: RecordQueueOptions<T>): RecordQueue<T> => {
  let queue: Waiting<T>[] = [];
  let position = 0;
  let waiting = 0;
  let dropped = 0;
  let running: Promise<void> | null = null;
  const turn = (): void => {
    for (let rows = 0; rows < rowsPerTurn; rows++) {
      const [first] = queue;
      if (first === undefined) return;
      waiting--;
      visit(first.batch, position++, first.context);
      if (position < first.batch.count) continue;
      queue.shift();
      position = 0;
    }
  };
  const run = async (): Promise<void> => {
    for (;;) {
      await giveWay();
      if (queue.length === 0) break;
      turn();
    }
    running = null;
  };
  return {
    push: (batch, context) => {
      if (batch.count === 0) return;
      if (waiting + batch.count > recordsWaitingMax) {
        dropped += batch.count;
        return;
      }
      waiting += batch.count;
      queue.push({ batch, context });
      running ??= run();
    },
    get dropped() {
      return dropped;
    },
    settled: () => running ?? Promise.resolve(),
    stop: () => {
      dropped += waiting;
      waiting = 0;
      queue = [];
      position = 0;
    },
  };
};
