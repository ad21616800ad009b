/** Shards as worker threads of this process. */
import { parentPort, Worker } from 'node:worker_threads';
import { heldBy } from './shard-message.ts';
import type { ConsoleEnd, ShardBatch, ShardEnd, ShardEvent, ShardOrder } from './shard-message.ts';

/** Room for what a shard throws away at once: handshakes leave much behind, and by default each thread would keep 48 MB for it. */
const youngMegabytesMax = 24;

/** Starts a thread with this module, which must call `serveShard` over `threadEnd`. */
export const openShardThread = (module: URL): ConsoleEnd => {
  const worker = new Worker(module, { name: 'nest shard', resourceLimits: { maxYoungGenerationSizeMb: youngMegabytesMax } });
  let isClosed = false;
  return {
    post: (batch) => worker.postMessage(batch, heldBy(batch)),
    receive: (listener) => void worker.on('message', (batch: ShardBatch<ShardEvent>) => listener(batch)),
    onLost: (listener) => {
      const tell = (cause: unknown): void => {
        if (isClosed) return;
        isClosed = true;
        listener(cause);
      };
      worker.on('error', tell);
      worker.once('exit', (code) => tell(new Error(`the thread of a shard ended with ${String(code)}`)));
    },
    close: async () => {
      isClosed = true;
      await worker.terminate();
    },
  };
};

/** The thread's own end. Raises when this is no worker thread. */
export const threadEnd = (): ShardEnd => {
  const port = parentPort;
  if (port === null) throw new Error('a shard runs in a worker thread');
  return {
    post: (batch) => port.postMessage(batch, heldBy(batch)),
    receive: (listener) => void port.on('message', (batch: ShardBatch<ShardOrder>) => listener(batch)),
    onLost: () => undefined,
    close: () => {
      port.close();
      return Promise.resolve();
    },
  };
};
