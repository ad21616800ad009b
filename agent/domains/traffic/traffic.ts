import { once } from 'node:events';
import { join } from 'node:path';
import { NestError, toErrorShape } from '../../../proto/model/error.ts';
import { openStateDatabase } from '../../control/revisions/api.ts';
import { flowsMax } from '../../engine/api.ts';
import type { Engine, EngineProbe, PolicyImage } from '../../engine/api.ts';
import type { Timer } from '../../lib/clock.ts';
import type {
  ApprovalRequest,
  Balancer,
  DenyList,
  DenyListUpdate,
  EngineName,
  Flow,
  FlowFilter,
  FlowSums,
  Plan,
  PlanRequest,
  Traffic,
  TrafficCounters,
  TrafficStatus,
} from './api.ts';
import { approveIn, checkApprovals } from './approval.ts';
import { createAttachments, wantedNames } from './attachments.ts';
import type { Attachments } from './attachments.ts';
import { createNextHops } from './balancing/next-hops.ts';
import { createCounterLedger, ledgerMigrations } from './counter-ledger.ts';
import type { CounterLedger } from './counter-ledger.ts';
import {
  createFailedChanges,
  warnAttachments,
  warnDenyLists,
  warnLocalSource,
  warnMixedEngines,
  warnObserving,
  warnTables,
} from './data-path-warnings.ts';
import { createDenyCopies } from './deny/deny-copies.ts';
import { createDenySources } from './deny/deny-sources.ts';
import { openHostDenyLists } from './deny/host-deny-lists.ts';
import type { HostDenyLists } from './deny/host-deny-lists.ts';
import { findDrift, healDrift } from './drift.ts';
import { startFlowFeed } from './flow-feed.ts';
import type { FlowFeed } from './flow-feed.ts';
import { flowNamesOf } from './flow-names.ts';
import { createFlowReader, noFlows, noSums } from './flow-reader.ts';
import type { FlowListQuery, FlowReader, FlowSumsQuery } from './flow-reader.ts';
import { probeBackend } from './health/probe.ts';
import { checkEngineChoice, interfaceService, openEngineChoices } from './interface-engines.ts';
import type { EngineChoices } from './interface-engines.ts';
import { readVirtualFunctions } from './interface-functions.ts';
import { createInterfaceWatch } from './interface-watch.ts';
import { createLocalTraffic } from './local-traffic.ts';
import type { LocalTraffic } from './local-traffic.ts';
import { openMappingTerms } from './mapping-terms.ts';
import type { MappingTerms } from './mapping-terms.ts';
import { listNetworkInterfaces } from './network-interfaces.ts';
import { makePlan } from './plan.ts';
import { createPlanCache } from './plan-cache.ts';
import { loadPolicy } from './policy-load.ts';
import { createDocumentCompiler } from './policy-tables.ts';
import type { PolicyTables } from './policy-tables.ts';
import { createSteering } from './steering.ts';
import type { LoadableTables, Steering } from './steering.ts';
import { tracePacket } from './tracer.ts';
import { noCounters, trafficCounters } from './traffic-counters.ts';
import type { TrafficOptions } from './traffic-options.ts';
import { createUserEngines } from './user-engines.ts';
import type { UserEngines } from './user-engines.ts';

export type { TrafficOptions } from './traffic-options.ts';

/** How often missing interfaces are tried again and counters are looked through. */
export const upkeepMs = 5_000;
/** Upkeeps between two checkpoints of the counters. */
const upkeepsPerCheckpoint = 12;
const denyListChanges = 'the deny lists';
const mappingEnds = 'mappings whose time is over';
/** Upkeeps between two looks for next hops. */
const upkeepsPerLook = 2;
/** How often the miss rate is looked at. */
const sampleMs = 1_000;

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
  return new HostTraffic(options, {
    ledger: createCounterLedger(database),
    lists: openHostDenyLists(database),
    choices: openEngineChoices(database, options.engines ?? new Map()),
    terms: openMappingTerms({ database, clock: options.clock, log: options.log, onEnded: options.onMappingEnded }),
  });
};

/** What exists only while a data path is open. */
interface Live {
  readonly engine: Engine;
  readonly instance: string;
  readonly feed: FlowFeed;
  readonly reader: FlowReader;
}

/** What is on disk. */
interface Kept {
  readonly ledger: CounterLedger;
  readonly lists: HostDenyLists;
  readonly choices: EngineChoices;
  readonly terms: MappingTerms;
}

class HostTraffic implements Traffic {
  readonly #options: TrafficOptions;
  readonly #ledger: CounterLedger;
  readonly #terms: MappingTerms;
  readonly #compiler = createDocumentCompiler((policy) => this.#terms.inForce(policy));
  readonly #plans;
  readonly #choices: EngineChoices;
  readonly #steering: Steering;
  readonly #interfaces;
  readonly #local: LocalTraffic;
  readonly #users: UserEngines;
  #live: Live | null = null;
  #attachments: Attachments;
  #observeReason = 'The agent is starting. Try again in a moment.';
  #probes: readonly EngineProbe[] = [];
  #tables: PolicyTables | null = null;
  #desiredGeneration = '';
  #activations: Promise<unknown> = Promise.resolve();
  #timer: Timer | undefined;
  #sampling: Timer | undefined;
  #upkeeps = 0;
  #isClosed = false;
  readonly #failures;
  readonly #nextHops;

  constructor(options: TrafficOptions, { ledger, lists, choices, terms }: Kept) {
    this.#options = options;
    this.#terms = terms;
    this.#ledger = ledger;
    this.#choices = choices;
    this.#steering = createSteering({
      clock: options.clock,
      log: options.log,
      probe: options.probe ?? probeBackend,
      sources: createDenySources({
        directory: options.denyListDir,
        copies: createDenyCopies({ directory: join(options.stateDir, 'deny-copies'), log: options.log }),
        lists,
        nowMs: () => options.clock.nowMs(),
      }),
      lists,
      enqueue: (what, work) => void this.#change(what, work),
      reload: () => void this.#change(denyListChanges, async () => await this.#reload()),
    });
    this.#failures = createFailedChanges(options.raise);
    this.#nextHops = createNextHops(options);
    this.#plans = createPlanCache(options.clock);
    this.#interfaces = createInterfaceWatch(options.virtualFunctionsOf ?? readVirtualFunctions);
    this.#local = createLocalTraffic({ wanted: options.local ?? 'auto', log: options.log });
    this.#users = createUserEngines({
      fastpath: options.fastpath,
      choiceOf: (name) => this.#choices.of(name),
      names: async () => wantedNames(options.interfaces, await (options.listInterfaces ?? listNetworkInterfaces)()),
      attachments: () => this.#attachments,
      raise: options.raise,
      log: options.log,
    });
    this.#attachments = this.#newAttachments(null);
  }

  async start(signal: AbortSignal): Promise<void> {
    const { engine: kernel, reason, probes } = await this.#options.engine.open();
    this.#probes = await this.#users.probes(probes);
    this.#observeReason = reason;
    if (kernel === null) warnObserving(this.#options, reason);
    const engine = kernel === null ? null : this.#users.join(kernel);
    this.#attachments = this.#newAttachments(engine);
    await this.#users.align();
    if (engine !== null) {
      this.#goLive(engine);
      await this.#interfaces.refresh(engine, [...engine.state().interfaces, ...this.#users.links()]);
      await this.#local.refresh(engine);
    }
    this.#armUpkeep();
    this.#armSampling();
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
      withheld: this.#terms.withheld(),
      adopted: state?.adopted ?? false,
      flows: live?.feed.live ?? null,
      flowsMax,
      engines: this.#probes,
      interfaces: this.#attachments.status().map((attachment) =>
        interfaceService(attachment, {
          choice: this.#choices.of(attachment.name),
          probes: this.#probes,
          facts: this.#interfaces.facts(attachment.name),
          user: this.#users.service(attachment.name),
        }),
      ),
    };
  }

  async activate(policyJson: string, signal: AbortSignal): ReturnType<Traffic['activate']> {
    return await this.#inTurn(async () => {
      const tables = await this.#compiler.compile(policyJson);
      this.#desiredGeneration = tables.generation;
      signal.throwIfAborted();
      return await this.#makeCurrent(tables);
    });
  }

  async plan(request: PlanRequest, signal: AbortSignal): Promise<Plan> {
    const context = {
      compiler: this.#compiler,
      attachments: this.#attachments.status(),
      observeReason: this.#observeReason,
      complete: async (tables: PolicyTables) => await this.#steering.preview(tables),
      nowMs: this.#options.clock.nowMs(),
      readSetting: this.#options.readSetting,
      replay: async (candidate: PolicyImage, windowMinutes: number) =>
        (await this.#live?.reader.replay(candidate, this.#tables?.judge ?? null, { windowMinutes, signal })) ?? null,
    };
    const plan = await makePlan(request, context, signal);
    if (plan.planHash !== '') this.#plans.put(plan);
    return plan;
  }

  async takePlan(planHash: string, policyJson: string): Promise<Plan> {
    return await this.#plans.take(planHash, async () => (await this.#compiler.compile(policyJson)).generation);
  }

  checkApprovals = checkApprovals;

  approve(request: ApprovalRequest): string {
    return approveIn(request, this.#options.clock.nowMs());
  }

  async inspect(): ReturnType<Traffic['inspect']> {
    return await this.#inTurn(async () => (this.#live === null ? [] : await findDrift(this.#live.engine, this.status())));
  }

  async heal(resources: readonly string[]): Promise<void> {
    const context = { attachments: this.#attachments, local: this.#local, reload: () => this.#reload() };
    await this.#inTurn(async () => await (this.#live && healDrift(resources, { engine: this.#live.engine, ...context })));
  }

  setRevision(revision: number): void {
    const live = this.#live;
    if (live !== null)
      this.#keep('the revision of the tables', () => this.#ledger.setRevision(live.instance, live.engine.state().sequence, revision));
  }

  counters(): TrafficCounters {
    const counters = this.#live?.engine.counters() ?? noCounters;
    return trafficCounters(counters, this.#ledger.totals(this.#live?.instance ?? '', counters), this.#steering);
  }

  async flows(query: FlowListQuery, signal: AbortSignal): ReturnType<Traffic['flows']> {
    return this.#live === null ? noFlows : await this.#live.reader.flows(query, signal);
  }

  async sumFlows(query: FlowSumsQuery, signal: AbortSignal): Promise<FlowSums> {
    return this.#live === null ? noSums : await this.#live.reader.sumFlows(query, signal);
  }

  async *watchFlows(filter: FlowFilter, signal: AbortSignal): AsyncGenerator<{ readonly flows: readonly Flow[]; readonly lost: number }> {
    if (this.#live !== null) yield* this.#live.feed.watch(filter, signal);
    else if (!signal.aborted) await once(signal, 'abort');
  }

  balancers(): readonly Balancer[] {
    return this.#steering.balancers(this.#live?.engine.counters() ?? noCounters, this.#live?.feed.backendFlows ?? null);
  }

  denyLists(prefixes: number): readonly DenyList[] {
    return this.#steering.denyLists(this.#live?.engine.counters() ?? noCounters, prefixes);
  }

  async updateDenyList(update: DenyListUpdate): ReturnType<Traffic['updateDenyList']> {
    if (this.#live === null) throw this.#observeOnly();
    return await this.#inTurn(async () => {
      const { added, removed, prefixes } = this.#steering.updateDenyList(update);
      if (added.length + removed.length > 0) await this.#reload();
      return { added: added.length, removed: removed.length, prefixes };
    });
  }

  async setInterfaceEngine(name: string, engine: EngineName): ReturnType<Traffic['setInterfaceEngine']> {
    if (this.#live === null) throw this.#observeOnly();
    const known = this.#attachments.status().map((attachment) => attachment.name);
    if (!known.includes(name))
      throw new NestError('INTERFACE_UNKNOWN', `There is no interface ${JSON.stringify(name)} here. There are ${known.join(', ')}.`);
    checkEngineChoice(engine, this.#probes);
    this.#choices.set(name, engine);
    this.#users.forgive(name);
    await this.#users.align();
    const service = this.status().interfaces.find((candidate) => candidate.name === name);
    return { engine: service?.engine ?? '', reason: service?.reason ?? '', warning: this.#warnEngines() };
  }

  async trace(request: { readonly interface: string; readonly packet: Uint8Array }, signal: AbortSignal): ReturnType<Traffic['trace']> {
    const live = this.#live;
    if (live === null) throw this.#observeOnly();
    return await tracePacket(
      request,
      {
        engine: live.engine,
        sequence: (sequence) => this.#ledger.sequence(live.instance, sequence),
        tables: () => this.#tables,
        userEngines: this.#users.serving(),
        nameOf: (index) => this.#attachments.nameOf(index),
      },
      signal,
    );
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#sampling?.cancel();
    this.#steering.close();
    await this.#activations.catch(() => undefined);
    const live = this.#live;
    this.#live = null;
    live?.feed.close();
    this.#options.exporter?.detach();
    if (live !== null) this.#keep('the counters', () => this.#ledger.checkpoint(live.instance, live.engine.counters()));
    await this.#users.close();
    await live?.engine.close();
    this.#ledger.close();
  }

  #goLive(engine: Engine): void {
    const { instance, adopted, sequence } = engine.state();
    const { clock, log, exporter } = this.#options;
    const sources = { engine, instance, ledger: this.#ledger, steering: this.#steering, attachments: () => this.#attachments };
    const names = flowNamesOf({ ...sources, image: () => this.#tables?.judge ?? null });
    exporter?.attach(engine, names);
    const feed = startFlowFeed({ engine, names, clock, log, onRecords: (batch) => exporter?.accept(batch) });
    this.#live = { engine, instance, feed, reader: createFlowReader({ engine, feed, names, clock }) };
    log.info(adopted ? 'data path adopted' : 'data path loaded', { instance, sequence });
  }

  async #makeCurrent(tables: PolicyTables, isReload = false): ReturnType<Traffic['activate']> {
    if (this.#live === null) throw this.#observeOnly();
    const { loadable, loadMs, flipMs } = await loadPolicy(
      { tables, current: this.#tables, isReload },
      {
        live: this.#live,
        ledger: this.#ledger,
        steering: this.#steering,
        users: this.#users,
        log: this.#options.log,
        keep: (what, work) => this.#keep(what, work),
      },
    );
    if (loadable !== null) this.#inForce(tables, loadable);
    await this.#nextHops.look(tables.policy, this.#live.engine);
    return { generation: tables.generation, loadMs, flipMs };
  }

  #inForce(tables: PolicyTables, loadable: LoadableTables): void {
    this.#tables = tables;
    this.#steering.loaded(tables, loadable);
    this.#keep('which mappings have ended', () => this.#terms.loaded(tables.terms));
    this.#failures.succeeded(denyListChanges);
    warnDenyLists(this.#options.raise, this.#steering.denyLists(noCounters, 0));
    this.#warnEngines();
  }

  #warnEngines(): string {
    return warnMixedEngines(this.#options.raise, this.status().interfaces, this.#tables?.policy);
  }

  /** Loads the policy in force once more, with its deny lists as they are now. */
  async #reload(): Promise<void> {
    if (this.#tables !== null) await this.#makeCurrent(this.#tables, true);
  }

  /** Takes mappings whose time is over out of the data path; flows they allowed are judged anew. */
  async #endMappings(): Promise<void> {
    if (this.#tables === null) return;
    const tables = await this.#compiler.again(this.#tables);
    this.#desiredGeneration = tables.generation;
    await this.#makeCurrent(tables, true);
  }

  /** One change of the data path after the other. */
  async #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const turn = this.#activations.catch(() => undefined).then(work);
    this.#activations = turn;
    return await turn;
  }

  /** A change that nobody waits for. */
  async #change(what: string, work: (engine: Engine) => Promise<void>): Promise<void> {
    try {
      await this.#inTurn(async () => {
        if (this.#live !== null && !this.#isClosed) await work(this.#live.engine);
      });
      this.#failures.succeeded(what);
    } catch (error) {
      this.#options.log.error('the data path was not changed', { what, error });
      this.#failures.failed(what, error);
    }
  }

  #newAttachments(engine: Engine | null): Attachments {
    const { interfaces, log, listInterfaces } = this.#options;
    return createAttachments({
      engine,
      observeReason: this.#observeReason,
      wanted: interfaces,
      isOff: (name) => this.#choices.of(name) === 'off' || this.#users.holds(name),
      list: listInterfaces ?? listNetworkInterfaces,
      log,
    });
  }

  #armUpkeep(): void {
    if (!this.#isClosed) this.#timer = this.#options.clock.after(upkeepMs, () => void this.#upkeep());
  }

  async #upkeep(): Promise<void> {
    try {
      await this.#users.align();
      const live = this.#live;
      warnAttachments(this.#options.raise, live === null ? [] : this.#attachments.status());
      if (live !== null) {
        const counters = live.engine.counters();
        warnTables(this.#options.raise, counters);
        this.#warnEngines();
        await warnLocalSource(this.#options, this.#tables?.policy, live.engine.state().interfaces);
        await this.#steering.checkDenyLists();
        warnDenyLists(this.#options.raise, this.#steering.denyLists(counters, 0));
        await this.#interfaces.refresh(live.engine, [...live.engine.state().interfaces, ...this.#users.links()]);
        await this.#local.refresh(live.engine);
        if (this.#upkeeps % upkeepsPerLook === 0) await this.#nextHops.look(this.#tables?.policy, live.engine);
        if (++this.#upkeeps % upkeepsPerCheckpoint === 0)
          this.#keep('the counters', () => this.#ledger.checkpoint(live.instance, counters));
      }
    } catch (error) {
      if (!this.#isClosed) this.#options.log.warn('upkeep of the data path failed', { error });
    }
    this.#armUpkeep();
  }

  #armSampling(): void {
    if (!this.#isClosed) this.#sampling = this.#options.clock.after(sampleMs, () => this.#sample());
  }

  #sample(): void {
    const live = this.#live;
    try {
      if (live !== null) this.#steering.sample(live.engine, live.engine.counters());
      if (live !== null && this.#terms.isDue()) void this.#change(mappingEnds, () => this.#endMappings());
    } catch (error) {
      this.#options.log.warn('the miss rate was not read', { error });
    }
    this.#armSampling();
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

  #observeOnly(): NestError {
    return new NestError('OBSERVE_ONLY', this.#observeReason);
  }
}
