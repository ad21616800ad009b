/** Flows of an agent without a data path: a page of them, their sums, and batches at a wanted rate that count what a slow reader lost. */
import { setImmediate as turn } from 'node:timers/promises';
import type { Flow, Traffic } from '../../agent/domains/traffic/api.ts';
import type { Clock } from '../../agent/lib/clock.ts';

/** As the real feed batches them. */
const batchFlowsMax = 500;
/** Batches made at once when a pause was longer than their distance: more are lost, and counted. */
const batchesAtOnceMax = 20;
const flowsKnown = 1000;
const protocolTcp = 6;

export interface FlowPace {
  /** Flows a second for each watcher; 0 = as fast as it reads. */
  readonly perSecond: number;
}

export interface FlowSourceOptions {
  readonly clock: Clock;
  readonly index: number;
  readonly flows: FlowPace;
}

/** The part of the traffic domain that tells of flows. */
export const createFlowSource = ({ clock, index, flows: pace }: FlowSourceOptions): Pick<Traffic, 'flows' | 'sumFlows' | 'watchFlows'> => {
  const flowAt = (number: number): Flow => flowOf(index, number, clock.nowMs());
  return {
    flows: async ({ limit }) => ({
      flows: Array.from({ length: Math.min(limit, flowsKnown) }, (_, number) => flowAt(number)),
      matched: flowsKnown,
      truncated: limit < flowsKnown,
      recordsLost: 0,
    }),
    sumFlows: async ({ by }) => {
      const total = { packets: BigInt(flowsKnown), bytes: BigInt(flowsKnown) * 620n };
      return { sums: [{ key: by, flows: flowsKnown, deniedFlows: 0, count: total }], keys: 1, flows: flowsKnown, total, recordsLost: 0 };
    },
    watchFlows: (_filter, signal) => {
      const batch = Array.from({ length: batchFlowsMax }, (_, number) => flowAt(number));
      return pace.perSecond === 0 ? unpaced(batch, signal) : paced({ batch, clock, perSecond: pace.perSecond }, signal);
    },
  };
};

/** The reader's window is the only brake. */
async function* unpaced(
  batch: readonly Flow[],
  signal: AbortSignal,
): AsyncGenerator<{ readonly flows: readonly Flow[]; readonly lost: number }> {
  while (!signal.aborted) {
    yield { flows: batch, lost: 0 };
    await turn();
  }
}

/** Flows happen whether they are read or not: what was not taken in time is lost and counted. */
async function* paced(
  options: { readonly batch: readonly Flow[]; readonly clock: Clock; readonly perSecond: number },
  signal: AbortSignal,
): AsyncGenerator<{ readonly flows: readonly Flow[]; readonly lost: number }> {
  const { batch, clock, perSecond } = options;
  const startedMs = clock.monotonicMs();
  let delivered = 0;
  let lost = 0;
  while (!signal.aborted) {
    const happened = Math.floor(((clock.monotonicMs() - startedMs) / 1000) * perSecond);
    const waiting = happened - delivered - lost;
    const kept = Math.min(waiting, batchesAtOnceMax * batch.length);
    lost += waiting - kept;
    const batches = Math.floor(kept / batch.length);
    for (let made = 0; made < batches && !signal.aborted; made += 1) {
      delivered += batch.length;
      yield { flows: batch, lost };
    }
    if (batches === 0) await pause(clock, signal);
  }
}

const pause = (clock: Clock, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const timer = clock.after(10, () => {
      signal.removeEventListener('abort', end);
      resolve();
    });
    const end = (): void => {
      timer.cancel();
      resolve();
    };
    signal.addEventListener('abort', end, { once: true });
  });

const flowOf = (index: number, number: number, nowMs: number): Flow => ({
  source: `198.18.${(index >> 8) & 255}.${index & 255}`,
  destination: `198.19.${(number >> 8) & 255}.${number & 255}`,
  sourcePort: 1024 + number,
  destinationPort: 443,
  protocol: protocolTcp,
  state: 'live',
  allowed: true,
  reason: 'POLICY_ALLOW',
  mapping: 'web',
  interface: 'lan0',
  forward: { packets: BigInt(number + 1), bytes: BigInt(number + 1) * 620n },
  reverse: { packets: BigInt(number + 1), bytes: BigInt(number + 1) * 620n },
  firstSeenMs: nowMs - 1000,
  lastSeenMs: nowMs,
  revision: 1,
  sourceServices: [],
  destinationServices: [],
  translation: null,
});
