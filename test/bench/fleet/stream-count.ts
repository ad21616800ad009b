/** Reads streams of flow batches for a while and accounts for every flow. */
import type { FlowBatch } from '../../../proto/model/flow-columns.ts';
import type { StreamFigures } from './console-orders.ts';
import { receivedBytes, startGauge } from './gauge.ts';

type Open = (signal: AbortSignal) => AsyncIterable<FlowBatch>;

/** Opens all at once, lets them run in, then counts for `ms`. Positions tell when a batch is missing that nobody counted as lost. */
export const readBatches = async (streams: readonly Open[], ms: number): Promise<StreamFigures> => {
  const stop = new AbortController();
  let flows = 0;
  let flowBytes = 0;
  let lost = 0;
  let unaccounted = 0;
  let isCounting = false;
  const read = async (open: Open): Promise<void> => {
    let sequence = 0n;
    let lostBefore = 0n;
    for await (const batch of open(stop.signal)) {
      const { position, count } = batch;
      unaccounted += Number(position.sequence - sequence - 1n) * count;
      sequence = position.sequence;
      // Every flow is looked at, as who draws a chart of them would.
      for (let index = 0; index < count; index += 1) flowBytes += batch.bytes(index);
      if (isCounting) {
        flows += count;
        lost += Number(position.lost - lostBefore);
      }
      lostBefore = position.lost;
    }
  };
  const readers = streams.map(read);
  await pause(ms / 2);
  isCounting = true;
  const bytesBefore = receivedBytes();
  const end = startGauge();
  await pause(ms);
  isCounting = false;
  const gauge = end();
  const bytes = receivedBytes() - bytesBefore;
  if (flows > 0 && flowBytes === 0) throw new Error('The flows had no bytes.');
  const seconds = gauge.ms / 1000;
  stop.abort();
  await Promise.all(readers);
  return { perSecond: flows / seconds, bytesPerSecond: bytes / seconds, cpuMicros: (gauge.cpuMs * 1000) / flows, lost, unaccounted };
};

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
