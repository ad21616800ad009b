import { flowsMax } from '../../engine/api.ts';
import type { Engine, PolicyImage } from '../../engine/api.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Flow, FlowFilter, FlowImpact, FlowSumKey, FlowSums } from './api.ts';
import type { FlowFeed } from './flow-feed.ts';
import { flowMatch } from './flow-filter.ts';
import { queryFlows } from './flow-query.ts';
import { sumFlowRecords } from './flow-sums.ts';
import type { FlowNames } from './flow-view.ts';
import { replayFlows } from './impact.ts';

export interface FlowListQuery {
  readonly filter: FlowFilter;
  readonly limit: number;
  /** Only flows seen in the last this many seconds; 0 = all that is kept. */
  readonly windowSeconds: number;
}

export interface FlowSumsQuery extends FlowListQuery {
  readonly by: FlowSumKey;
}

export interface FlowList {
  readonly flows: readonly Flow[];
  readonly matched: number;
  readonly truncated: boolean;
  readonly recordsLost: number;
}

/** What is known where there is no data path. */
export const noFlows: FlowList = { flows: [], matched: 0, truncated: false, recordsLost: 0 };
export const noSums: FlowSums = { sums: [], keys: 0, flows: 0, total: { packets: 0n, bytes: 0n }, recordsLost: 0 };

/** Answers questions about flows from the table of the data path and the records that are kept. Every call ends with AbortError when its signal aborts. */
export interface FlowReader {
  /** Raises INPUT_INVALID for a filter that cannot be read. */
  flows(query: FlowListQuery, signal: AbortSignal): Promise<FlowList>;
  sumFlows(query: FlowSumsQuery, signal: AbortSignal): Promise<FlowSums>;
  /** What a candidate would do to the flows of the last minutes. */
  replay(
    candidate: PolicyImage,
    current: PolicyImage | null,
    window: { readonly windowMinutes: number; readonly signal: AbortSignal },
  ): Promise<FlowImpact>;
}

export interface FlowReaderOptions {
  readonly engine: Engine;
  readonly feed: FlowFeed;
  readonly names: FlowNames;
  readonly clock: Clock;
}

/** A reader of a running data path. */
export const createFlowReader = (options: FlowReaderOptions): FlowReader => new Reader(options);

class Reader implements FlowReader {
  readonly #options: FlowReaderOptions;

  constructor(options: FlowReaderOptions) {
    this.#options = options;
  }

  async flows({ filter, limit, windowSeconds }: FlowListQuery, signal: AbortSignal): Promise<FlowList> {
    const { engine, feed, names } = this.#options;
    const match = flowMatch(filter, names);
    const live = await engine.flows(flowsMax);
    const query = { live, stored: feed.store.snapshot(), match, sinceNs: this.#sinceNs(windowSeconds), limit };
    const { flows, matched } = await queryFlows(query, names, signal);
    return { flows, matched, truncated: live.truncated || matched > flows.length, recordsLost: this.#lost(windowSeconds) };
  }

  async sumFlows({ filter, by, limit, windowSeconds }: FlowSumsQuery, signal: AbortSignal): Promise<FlowSums> {
    const { engine, feed, names } = this.#options;
    const match = flowMatch(filter, names);
    const batches = [await engine.flows(flowsMax), feed.store.snapshot()];
    const sums = await sumFlowRecords({ batches, match, sinceNs: this.#sinceNs(windowSeconds), by, limit }, names, signal);
    return { ...sums, recordsLost: this.#lost(windowSeconds) };
  }

  async replay(
    candidate: PolicyImage,
    current: PolicyImage | null,
    { windowMinutes, signal }: { readonly windowMinutes: number; readonly signal: AbortSignal },
  ): Promise<FlowImpact> {
    const { engine, feed, names } = this.#options;
    const windowSeconds = this.#coveredSeconds(windowMinutes * 60);
    const request = {
      live: await engine.flows(flowsMax),
      stored: feed.store.snapshot(),
      sinceNs: this.#timeNs(windowSeconds),
      current,
      candidate,
      windowSeconds,
      recordsLost: feed.lostWithin(windowSeconds * 1000),
    };
    return await replayFlows(request, names, signal);
  }

  #lost(windowSeconds: number): number {
    const { feed } = this.#options;
    const coveredMs = feed.coveredMs();
    return feed.lostWithin(windowSeconds === 0 ? coveredMs : Math.min(coveredMs, windowSeconds * 1000));
  }

  /** The part of the window in which nothing was forgotten, whole seconds. */
  #coveredSeconds(wantedSeconds: number): number {
    const { feed, engine, clock } = this.#options;
    const { forgottenTimeNs } = feed.store;
    const sinceForgottenMs = forgottenTimeNs === null ? Infinity : clock.nowMs() - engine.wallTimeMs(forgottenTimeNs);
    return Math.max(0, Math.min(wantedSeconds, Math.ceil(feed.coveredMs() / 1000), Math.floor(sinceForgottenMs / 1000)));
  }

  #sinceNs(windowSeconds: number): bigint {
    return windowSeconds === 0 ? 0n : this.#timeNs(windowSeconds);
  }

  /** Record time of so many seconds ago. */
  #timeNs(secondsAgo: number): bigint {
    const { engine, clock } = this.#options;
    const sinceBootMs = clock.nowMs() - secondsAgo * 1000 - engine.wallTimeMs(0n);
    return BigInt(Math.max(0, Math.round(sinceBootMs * 1_000_000)));
  }
}
