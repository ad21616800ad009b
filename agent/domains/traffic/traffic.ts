import { once } from 'node:events';
import { join } from 'node:path';
import { NestError, toErrorShape } from '../../../proto/model/error.ts';
import { planLifeMs } from '../../../proto/model/limits.ts';
import { isDropped } from '../../../proto/model/reason.ts';
import type { ReasonName } from '../../../proto/model/reason.ts';
import { openStateDatabase } from '../../control/revisions/api.ts';
import type { RaiseWarning } from '../../control/revisions/api.ts';
import { flowsMax } from '../../engine/api.ts';
import type { Engine, EngineCounters, EngineProbe, EngineSource, PolicyImage } from '../../engine/api.ts';
import type { Clock, Timer } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { Count, Flow, FlowFilter, FlowImpact, Plan, PlanRequest, Traffic, TrafficCounters, TrafficStatus } from './api.ts';
import { createAttachments } from './attachments.ts';
import type { Attachments } from './attachments.ts';
import { createCounterLedger, ledgerMigrations } from './counter-ledger.ts';
import type { CounterLedger } from './counter-ledger.ts';
import { startFlowFeed } from './flow-feed.ts';
import type { FlowFeed } from './flow-feed.ts';
import { flowMatch } from './flow-filter.ts';
import { queryFlows } from './flow-query.ts';
import type { FlowNames } from './flow-view.ts';
import { replayFlows } from './impact.ts';
import { listNetworkInterfaces } from './network-interfaces.ts';
import type { NetworkInterface } from './network-interfaces.ts';
import { makePlan } from './plan.ts';
import { createPlanCache } from './plan-cache.ts';
import { createPolicyCompiler } from './policy-tables.ts';
import type { PolicyTables } from './policy-tables.ts';
import { tracePacket } from './tracer.ts';

export interface TrafficOptions {
  /** enforce: `start` fails without a data path. auto: it goes on observing. observe: the data path is not opened. */
  readonly mode: 'auto' | 'enforce' | 'observe';
  readonly interfaces: 'auto' | readonly string[];
  /** Directory of traffic.sqlite; must exist. */
  readonly stateDir: string;
  readonly engine: EngineSource;
  readonly clock: Clock;
  readonly log: Logger;
  readonly raise: RaiseWarning;
  readonly listInterfaces?: () => Promise<readonly NetworkInterface[]>;
}

/** How often missing interfaces are tried again and counters are looked through. */
export const upkeepMs = 5_000;
/** Upkeeps between two checkpoints of the counters. */
const upkeepsPerCheckpoint = 12;

/** Opens the counter state. Raises STATE_FAILED; a damaged file is moved aside with a warning, and counting begins anew. */
export const createTraffic = (options: TrafficOptions): Traffic => {
  const { database, movedAside } = openStateDatabase({ path: join(options.stateDir, 'traffic.sqlite'), migrations: ledgerMigrations });
  if (movedAside !== null) {
    options.log.error('the stored counters were damaged and moved aside', { movedAside });
    options.raise('COUNTERS_LOST', {
      title: 'Stored counters were damaged',
      message: `The file was moved to ${movedAside}. Counters by mapping begin anew.`,
      severity: 'warning',
    });
  }
  return new HostTraffic(options, createCounterLedger(database));
};

/** What exists only while a data path is open. */
interface Live {
  readonly engine: Engine;
  readonly instance: string;
  readonly feed: FlowFeed;
}

class HostTraffic implements Traffic {
  readonly #options: TrafficOptions;
  readonly #ledger: CounterLedger;
  readonly #compiler = createPolicyCompiler();
  readonly #plans;
  #live: Live | null = null;
  #attachments: Attachments;
  #observeReason = 'The agent is starting. Try again in a moment.';
  #probes: readonly EngineProbe[] = [];
  #tables: PolicyTables | null = null;
  #desiredGeneration = '';
  #activations: Promise<unknown> = Promise.resolve();
  #timer: Timer | undefined;
  #upkeeps = 0;
  #isClosed = false;

  constructor(options: TrafficOptions, ledger: CounterLedger) {
    this.#options = options;
    this.#ledger = ledger;
    this.#plans = createPlanCache(options.clock);
    this.#attachments = this.#newAttachments(null);
  }

  async start(signal: AbortSignal): Promise<void> {
    const { engine, reason, probes } = await this.#options.engine.open();
    this.#probes = probes;
    this.#observeReason = reason;
    if (engine === null) this.#warnObserving(reason);
    this.#attachments = this.#newAttachments(engine);
    await this.#attachments.refresh();
    if (engine !== null) this.#goLive(engine);
    this.#armUpkeep();
    signal.throwIfAborted();
  }

  status(): TrafficStatus {
    const live = this.#live;
    const state = live?.engine.state();
    const running = live === null || state === undefined ? undefined : this.#ledger.sequence(live.instance, state.sequence);
    return {
      mode: live === null ? 'observe' : 'enforce',
      observeReason: this.#observeReason,
      generation: running?.generation ?? '',
      desiredGeneration: this.#desiredGeneration,
      adopted: state?.adopted ?? false,
      flows: live?.feed.live ?? null,
      flowsMax,
      engines: this.#probes,
      interfaces: this.#attachments.status(),
    };
  }

  async activate(
    policyJson: string,
    signal: AbortSignal,
  ): Promise<{ readonly generation: string; readonly loadMs: number; readonly flipMs: number }> {
    const turn = this.#activations
      .catch(() => undefined)
      .then(async () => {
        const tables = await this.#compiler.compile(policyJson);
        this.#desiredGeneration = tables.generation;
        signal.throwIfAborted();
        return await this.#makeCurrent(tables);
      });
    this.#activations = turn;
    return await turn;
  }

  async plan(request: PlanRequest, signal: AbortSignal): Promise<Plan> {
    const context = {
      compiler: this.#compiler,
      attachments: this.#attachments.status(),
      observeReason: this.#observeReason,
      expiresAtMs: this.#options.clock.nowMs() + planLifeMs,
      replay: async (candidate: PolicyImage, windowMinutes: number) => await this.#replay(candidate, windowMinutes, signal),
    };
    const plan = await makePlan(request, context, signal);
    if (plan.planHash !== '') this.#plans.put(plan);
    return plan;
  }

  async takePlan(planHash: string, policyJson: string): Promise<Plan> {
    const plan = this.#plans.get(planHash);
    const { generation } = await this.#compiler.compile(policyJson);
    if (generation !== plan.generation) {
      throw new NestError('PLAN_MISMATCH', 'The policy is not the one that was planned: plan it, review the effect and apply that plan.', {
        details: { planned: plan.generation, given: generation },
      });
    }
    return plan;
  }

  setRevision(revision: number): void {
    const live = this.#live;
    if (live !== null)
      this.#keep('the revision of the tables', () => this.#ledger.setRevision(live.instance, live.engine.state().sequence, revision));
  }

  counters(): TrafficCounters {
    const counters = this.#live?.engine.counters() ?? noCounters;
    const interfaces = counters.interfaces.map(({ name, index, reasons }) => ({
      name,
      index,
      reasons: reasons.map(({ reason, packets, bytes }) => reasonCount(reason, { packets, bytes })),
    }));
    return {
      mappings: this.#ledger
        .totals(this.#live?.instance ?? '', counters)
        .map(({ mapping, allow, packets, bytes }) => ({ mapping, allow, count: { packets, bytes } })),
      reasons: sumReasons(counters),
      interfaces,
      recordsLost: counters.recordsLost,
      recordsSuppressed: counters.recordsSuppressed,
      flowsNotInserted: counters.flowsNotInserted,
    };
  }

  async flows(
    query: { readonly filter: FlowFilter; readonly limit: number; readonly windowSeconds: number },
    signal: AbortSignal,
  ): ReturnType<Traffic['flows']> {
    const live = this.#live;
    if (live === null) return { flows: [], matched: 0, truncated: false, recordsLost: 0 };
    const names = this.#names(live);
    const match = flowMatch(query.filter, names);
    const batch = await live.engine.flows(flowsMax);
    const sinceNs = query.windowSeconds === 0 ? 0n : this.#timeNs(live, query.windowSeconds);
    const { flows, matched } = await queryFlows(
      { live: batch, stored: live.feed.store.snapshot(), match, sinceNs, limit: query.limit },
      names,
      signal,
    );
    const coveredMs = live.feed.coveredMs();
    const windowMs = query.windowSeconds === 0 ? coveredMs : Math.min(coveredMs, query.windowSeconds * 1000);
    return { flows, matched, truncated: batch.truncated || matched > flows.length, recordsLost: live.feed.lostWithin(windowMs) };
  }

  async *watchFlows(filter: FlowFilter, signal: AbortSignal): AsyncGenerator<{ readonly flows: readonly Flow[]; readonly lost: number }> {
    if (this.#live !== null) yield* this.#live.feed.watch(filter, signal);
    else if (!signal.aborted) await once(signal, 'abort');
  }

  async trace(request: { readonly interface: string; readonly packet: Uint8Array }, signal: AbortSignal): ReturnType<Traffic['trace']> {
    const live = this.#live;
    if (live === null) throw this.#observeOnly();
    return await tracePacket(
      request,
      { engine: live.engine, sequence: (sequence) => this.#ledger.sequence(live.instance, sequence), tables: () => this.#tables },
      signal,
    );
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#timer?.cancel();
    await this.#activations.catch(() => undefined);
    const live = this.#live;
    this.#live = null;
    live?.feed.close();
    if (live !== null) this.#keep('the counters', () => this.#ledger.checkpoint(live.instance, live.engine.counters()));
    await live?.engine.close();
    this.#ledger.close();
  }

  #goLive(engine: Engine): void {
    const { instance, adopted, sequence } = engine.state();
    const names = this.#namesOf(engine, instance);
    this.#live = { engine, instance, feed: startFlowFeed({ engine, names, clock: this.#options.clock, log: this.#options.log }) };
    this.#options.log.info(adopted ? 'data path adopted' : 'data path loaded', { instance, sequence });
  }

  async #makeCurrent(tables: PolicyTables): Promise<{ readonly generation: string; readonly loadMs: number; readonly flipMs: number }> {
    const live = this.#live;
    if (live === null) throw this.#observeOnly();
    const { engine, instance } = live;
    const { sequence } = engine.state();
    if (this.#ledger.sequence(instance, sequence)?.generation === tables.generation) {
      this.#tables = tables;
      return { generation: tables.generation, loadMs: 0, flipMs: 0 };
    }
    // A full disk must not keep an unwanted policy in force: then the swap goes on and its counters stay without names.
    const next = sequence + 1;
    this.#keep('the names of the next tables', () => this.#ledger.prepareSwap(instance, engine.counters(), tables.record));
    const { loadMs, flipMs } = await engine.swap(tables.image, next).catch((error: unknown) => {
      this.#keep('that the tables were not loaded', () => this.#ledger.cancelSwap(instance, next));
      throw error;
    });
    this.#tables = tables;
    this.#options.log.info('policy current', { generation: tables.generation, sequence: next, loadMs, flipMs });
    return { generation: tables.generation, loadMs, flipMs };
  }

  async #replay(candidate: PolicyImage, windowMinutes: number, signal: AbortSignal): Promise<FlowImpact | null> {
    const live = this.#live;
    if (live === null) return null;
    const windowSeconds = this.#coveredSeconds(live, windowMinutes * 60);
    const request = {
      live: await live.engine.flows(flowsMax),
      stored: live.feed.store.snapshot(),
      sinceNs: this.#timeNs(live, windowSeconds),
      current: this.#tables?.judge ?? null,
      candidate,
      windowSeconds,
      recordsLost: live.feed.lostWithin(windowSeconds * 1000),
    };
    return await replayFlows(request, this.#names(live), signal);
  }

  /** The part of the window in which nothing was forgotten, whole seconds. */
  #coveredSeconds(live: Live, wantedSeconds: number): number {
    const { forgottenTimeNs } = live.feed.store;
    const sinceForgottenMs = forgottenTimeNs === null ? Infinity : this.#options.clock.nowMs() - live.engine.wallTimeMs(forgottenTimeNs);
    return Math.max(0, Math.min(wantedSeconds, Math.ceil(live.feed.coveredMs() / 1000), Math.floor(sinceForgottenMs / 1000)));
  }

  /** Record time of so many seconds ago. */
  #timeNs(live: Live, secondsAgo: number): bigint {
    const sinceBootMs = this.#options.clock.nowMs() - secondsAgo * 1000 - live.engine.wallTimeMs(0n);
    return BigInt(Math.max(0, Math.round(sinceBootMs * 1_000_000)));
  }

  #names(live: Live): FlowNames {
    return this.#namesOf(live.engine, live.instance);
  }

  #namesOf(engine: Engine, instance: string): FlowNames {
    return {
      wallTimeMs: (timeNs) => engine.wallTimeMs(timeNs),
      mappingName: (sequence, mapping) => this.#ledger.sequence(instance, sequence)?.mappings[mapping]?.name,
      revisionOf: (sequence) => this.#ledger.revisionOf(instance, sequence),
      interfaceName: (index) => this.#attachments.nameOf(index),
      image: () => this.#tables?.judge ?? null,
    };
  }

  #newAttachments(engine: Engine | null): Attachments {
    const { interfaces, log, listInterfaces } = this.#options;
    return createAttachments({
      engine,
      observeReason: this.#observeReason,
      wanted: interfaces,
      list: listInterfaces ?? listNetworkInterfaces,
      log,
    });
  }

  #armUpkeep(): void {
    if (!this.#isClosed) this.#timer = this.#options.clock.after(upkeepMs, () => void this.#upkeep());
  }

  async #upkeep(): Promise<void> {
    try {
      await this.#attachments.refresh();
      this.#warnAttachments();
      const live = this.#live;
      if (live !== null) {
        const counters = live.engine.counters();
        this.#warnTables(counters);
        if (++this.#upkeeps % upkeepsPerCheckpoint === 0)
          this.#keep('the counters', () => this.#ledger.checkpoint(live.instance, counters));
      }
    } catch (error) {
      if (!this.#isClosed) this.#options.log.warn('upkeep of the data path failed', { error });
    }
    this.#armUpkeep();
  }

  /** Bookkeeping that may fail without stopping enforcement. */
  #keep(what: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#options.log.error('the disk does not keep what it should', { what, error });
      const message = `${toErrorShape(error).message} Until then counters by mapping may be incomplete.`;
      this.#options.raise('STATE_FAILED', { title: 'The state cannot be written', message, severity: 'critical' });
    }
  }

  #warnObserving(reason: string): void {
    const { mode, log, raise } = this.#options;
    if (mode === 'enforce')
      throw new NestError(
        'ENGINE_UNAVAILABLE',
        `${reason} The configuration demands enforcing (traffic.mode); set it to "auto" to run without.`,
      );
    log.warn('observing only', { reason });
    if (mode === 'auto') raise('OBSERVE_ONLY', { title: 'This host only observes', message: reason, severity: 'warning' });
  }

  #warnAttachments(): void {
    const missing = this.#live === null ? [] : this.#attachments.status().filter(({ problem }) => problem !== '');
    const message = missing.map(({ name, problem }) => `${name}: ${problem}`).join(' ');
    this.#options.raise(
      'INTERFACE_NOT_ATTACHED',
      missing.length === 0 ? null : { title: 'Policy is not enforced on every interface', message, severity: 'warning' },
    );
  }

  #warnTables(counters: EngineCounters): void {
    const isMissing = counters.interfaces.some(({ reasons }) => reasons.some(({ reason }) => reason === 'TABLE_MISSING'));
    if (!isMissing) return;
    const message =
      'Packets passed because a policy table was missing in the kernel. Apply the policy again; if it comes back, restart the agent.';
    this.#options.raise('TABLE_MISSING', { title: 'A policy table was missing', message, severity: 'critical' });
  }

  #observeOnly(): NestError {
    return new NestError('OBSERVE_ONLY', this.#observeReason);
  }
}

const noCounters: EngineCounters = {
  interfaces: [],
  active: { sequence: 0, values: new BigUint64Array() },
  retired: null,
  recordsLost: 0n,
  recordsSuppressed: 0n,
  flowsNotInserted: 0n,
};

const reasonCount = (reason: ReasonName, count: Count): TrafficCounters['reasons'][number] => ({
  reason,
  dropped: isDropped(reason),
  count,
});

const sumReasons = (counters: EngineCounters): TrafficCounters['reasons'] => {
  const sums = new Map<ReasonName, Count>();
  for (const { reason, packets, bytes } of counters.interfaces.flatMap(({ reasons }) => reasons)) {
    const sum = sums.get(reason) ?? { packets: 0n, bytes: 0n };
    sums.set(reason, { packets: sum.packets + packets, bytes: sum.bytes + bytes });
  }
  return [...sums].map(([reason, count]) => reasonCount(reason, count));
};
