/** Reads streams of flow batches for a while and accounts for every flow. */
import { WatchFlowsResponse } from '../../../proto/gen/nest/v1/flow.ts';
import type { StreamFigures } from './console-orders.ts';
import { startGauge } from './gauge.ts';

/** Every so many batches the size on the wire is looked at. */
const sizeEvery = 64;

type Open = (signal: AbortSignal) => AsyncIterable<WatchFlowsResponse>;

/** Opens all at once, lets them run in, then counts for `ms`. Positions tell when a batch is missing that nobody counted as lost. */
export const readBatches = async (streams: readonly Open[], ms: number): Promise<StreamFigures> => {
  const stop = new AbortController();
  let flows = 0;
  let bytes = 0;
  let lost = 0;
  let unaccounted = 0;
  let isCounting = false;
  const read = async (open: Open): Promise<void> => {
    let sequence = 0n;
    let lostBefore = 0n;
    let batchBytes = 0;
    for await (const batch of open(stop.signal)) {
      const position = batch.position ?? { sequence: 0n, lost: 0n };
      unaccounted += Number(position.sequence - sequence - 1n) * batch.flows.length;
      if (sequence % BigInt(sizeEvery) === 0n) batchBytes = WatchFlowsResponse.encode(batch).finish().length;
      sequence = position.sequence;
      if (isCounting) {
        flows += batch.flows.length;
        bytes += batchBytes;
        lost += Number(position.lost - lostBefore);
      }
      lostBefore = position.lost;
    }
  };
  const readers = streams.map(read);
  await pause(ms / 2);
  isCounting = true;
  const end = startGauge();
  await pause(ms);
  isCounting = false;
  const gauge = end();
  const seconds = gauge.ms / 1000;
  stop.abort();
  await Promise.all(readers);
  return { perSecond: flows / seconds, bytesPerSecond: bytes / seconds, cpuMicros: (gauge.cpuMs * 1000) / flows, lost, unaccounted };
};

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
