import { createBroadcast } from '../../lib/broadcast.ts';
import type { Clock, Timer } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import { flowsMax, recordAt, recordKinds } from '../../engine/api.ts';
import type { Engine, FlowRecord, RecordBatch } from '../../engine/api.ts';
import type { Flow, FlowFilter } from './api.ts';
import { countBackendFlows } from './flow-backends.ts';
import type { BackendFlows } from './flow-backends.ts';
import { flowMatch } from './flow-filter.ts';
import { createFlowStore } from './flow-store.ts';
import type { FlowStore } from './flow-store.ts';
import { flowOf } from './flow-view.ts';
import type { FlowNames } from './flow-view.ts';

const pollMs = 100;
const sweepMs = 5_000;
/** Records taken at once, and how often in one poll: more stay in the kernel's ring until the next. */
const recordsPerTake = 8_192;
const takesPerPoll = 8;
/** Idle flows removed in one sweep. */
const sweptMax = 65_536;
/** Flows handed to watchers in one poll; more are counted as lost for them. */
const watchedPerPoll = 2_000;
const batchFlowsMax = 500;
const watchQueueBatches = 20;
/** Loss samples of an hour, one a sweep. */
const lossSamplesMax = 3_600_000 / sweepMs + 1;

interface WatchedBatch {
  readonly records: readonly { readonly record: FlowRecord; readonly flow: Flow }[];
  /** Flows before this batch since the feed began, handed over or not. */
  readonly position: number;
}

/** Takes flow records from the engine and keeps and spreads them. */
export interface FlowFeed {
  readonly store: FlowStore;
  /** Flows in the data path's table as of the last sweep; null before the first. */
  readonly live: number | null;
  /** Of them, those to backends; likewise. */
  readonly backendFlows: BackendFlows | null;
  /** How long records are being taken, milliseconds. */
  coveredMs(): number;
  /** Records lost on the way in the last so many milliseconds. */
  lostWithin(windowMs: number): number;
  watch(filter: FlowFilter, signal: AbortSignal): AsyncIterable<{ readonly flows: readonly Flow[]; readonly lost: number }>;
  close(): void;
}

export interface FlowFeedOptions {
  readonly engine: Engine;
  readonly names: FlowNames;
  readonly clock: Clock;
  readonly log: Logger;
  /** Sees each batch before its memory is given back; must not raise. */
  readonly onRecords?: ((batch: RecordBatch) => void) | undefined;
}

/** Starts to poll and sweep at once. */
export const startFlowFeed = (options: FlowFeedOptions): FlowFeed => new PollingFeed(options);

class PollingFeed implements FlowFeed {
  readonly store = createFlowStore();
  live: number | null = null;
  backendFlows: BackendFlows | null = null;
  readonly #options: FlowFeedOptions;
  readonly #watched = createBroadcast<WatchedBatch>(watchQueueBatches);
  readonly #begunMs: number;
  readonly #losses: { readonly atMs: number; readonly total: number }[] = [];
  #lost = 0;
  #position = 0;
  #failing = false;
  #timers: Timer[] = [];
  #isClosed = false;

  constructor(options: FlowFeedOptions) {
    this.#options = options;
    this.#begunMs = options.clock.monotonicMs();
    this.#every(pollMs, () => this.#poll());
    this.#every(sweepMs, () => this.#sweep());
    this.#sampleLosses();
  }

  coveredMs(): number {
    return this.#options.clock.monotonicMs() - this.#begunMs;
  }

  lostWithin(windowMs: number): number {
    const sinceMs = this.#options.clock.monotonicMs() - windowMs;
    const before = this.#losses.findLast(({ atMs }) => atMs <= sinceMs) ?? this.#losses[0];
    return before === undefined ? 0 : this.#lost - before.total;
  }

  async *watch(filter: FlowFilter, signal: AbortSignal): AsyncGenerator<{ readonly flows: readonly Flow[]; readonly lost: number }> {
    const match = flowMatch(filter, this.#options.names);
    const batches = this.#watched.subscribe(signal)[Symbol.asyncIterator]();
    let expected = this.#position;
    let lost = 0;
    let told = 0;
    try {
      for (;;) {
        const next = await batches.next();
        if (next.done === true) return;
        const { records, position } = next.value.value;
        lost += position - expected;
        expected = position + records.length;
        const flows = records.filter(({ record }) => match(record)).map(({ flow }) => flow);
        if (flows.length === 0 && lost === told) continue;
        told = lost;
        yield { flows, lost };
      }
    } finally {
      await batches.return?.();
    }
  }

  close(): void {
    this.#isClosed = true;
    for (const timer of this.#timers) timer.cancel();
    this.#watched.close();
  }

  /** One run at a time, the next a period after the end of the one before. */
  #every(periodMs: number, work: () => Promise<void> | void): void {
    const slot = this.#timers.length;
    const run = async (): Promise<void> => {
      try {
        await work();
        this.#failing = false;
      } catch (error) {
        if (!this.#failing && !this.#isClosed) this.#options.log.warn('flow records cannot be read', { error });
        this.#failing = true;
      }
      if (!this.#isClosed) arm();
    };
    const arm = (): void => void (this.#timers[slot] = this.#options.clock.after(periodMs, () => void run()));
    arm();
  }

  #poll(): void {
    for (let take = 0; take < takesPerPoll; take++) {
      const batch = this.#options.engine.takeRecords(recordsPerTake);
      this.#lost += batch.lost;
      this.#accept(batch);
      if (batch.count < recordsPerTake) return;
    }
  }

  async #sweep(): Promise<void> {
    const { engine, names } = this.#options;
    this.#accept(await engine.sweep(sweptMax));
    this.#sampleLosses();
    const flows = await engine.flows(flowsMax);
    this.live = flows.count;
    this.backendFlows = await countBackendFlows(flows, names);
  }

  #accept(batch: RecordBatch): void {
    for (let position = 0; position < batch.count; position++) {
      const record = recordAt(batch.rows, position);
      if (record.kind !== recordKinds.start) this.store.add(record);
    }
    this.#options.onRecords?.(batch);
    if (this.#watched.readers > 0) this.#spread(batch);
    else this.#position += batch.count;
  }

  #spread(batch: RecordBatch): void {
    const shown = Math.min(batch.count, watchedPerPoll);
    for (let first = 0; first < shown; first += batchFlowsMax) {
      const count = Math.min(batchFlowsMax, shown - first);
      const records = Array.from({ length: count }, (_, offset) => {
        const record = recordAt(batch.rows, first + offset);
        return { record, flow: flowOf(record, this.#options.names) };
      });
      this.#watched.publish({ records, position: this.#position });
      this.#position += count;
    }
    this.#position += batch.count - shown;
  }

  #sampleLosses(): void {
    this.#losses.push({ atMs: this.#options.clock.monotonicMs(), total: this.#lost });
    if (this.#losses.length > lossSamplesMax) this.#losses.shift();
  }
}
