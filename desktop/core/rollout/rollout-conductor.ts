/**
 * Conducts one staged rollout: decides at each tick from what is known, and lets the acts of the hosts run beside. Whatever happens, no
 * more than max unavailable hosts are being changed, failed or silent at once, and every host ends in a state with a reason.
 */
import { rolloutTransaction } from '../../../proto/model/rollout.ts';
import type { RolloutPlan } from '../../../proto/model/rollout.ts';
import { createLatest, createTaskGroup, isCancelled, mapConcurrently } from '../../lib/api.ts';
import type { Latest, TaskGroup } from '../../lib/api.ts';
import type { HostChange } from '../policy/rollout-steps.ts';
import { confirmWithinOf, marginSeconds } from './conductor-options.ts';
import type { ConductorOptions } from './conductor-options.ts';
import type { Problem, Waiting } from './rollout-hosts.ts';
import {
  isInFlight,
  isSettled,
  isSettledHost,
  isStopping,
  isUnfinished,
  notBegun,
  owesReturn,
  turnsOf,
  unavailableOf,
  withProgress,
} from './rollout-progress.ts';
import type { HostProgress, RolloutProgress } from './rollout-progress.ts';
import { createPace } from './pace.ts';
import type { Pace } from './pace.ts';
import { learned, recalled, touched } from './rollout-answer.ts';
import { awayProblem, endedProblem, goneProblem, silentProblem, staysProblem } from './rollout-problems.ts';
import { RolloutSaver } from './rollout-saver.ts';
import { RolloutTeller } from './rollout-teller.ts';
import { RolloutWatch } from './rollout-watch.ts';

const awayCodes: ReadonlySet<string> = new Set(['HOST_UNREACHABLE', 'TIMED_OUT']);
const tickMs = 500;
/** Hosts spoken to at the same time. */
const callsInFlightMax = 16;
/** Hosts that are being connected are given so long before a rollout begins or goes on. */
const connectWaitMs = 5_000;
/** A host whose turn has come and that has just gone is waited for. */
const turnWaitMs = 10_000;
/** The host's own timer needs a moment after its deadline. */
const overdueMs = 3_000;
/** Watched at least so long, or as long as it soaks, before it is kept. */
const observedMsMin = 5_000;
const toldMsMax = 10_000;
const returnsMax = 5;

export class RolloutConductor {
  readonly #options: ConductorOptions;
  readonly #tasks: TaskGroup;
  readonly #state: Latest<RolloutProgress>;
  readonly #watch: RolloutWatch;
  readonly #teller: RolloutTeller;
  readonly #pace: Pace;
  readonly #saver: RolloutSaver;
  readonly #busy = new Set<string>();
  /** Hosts that know of this console: one before it begins nothing there any more. */
  readonly #claimed = new Set<string>();
  #telling: Promise<void> = Promise.resolve();

  constructor(options: ConductorOptions) {
    this.#options = options;
    this.#state = createLatest(options.progress);
    this.#watch = new RolloutWatch(options);
    this.#teller = new RolloutTeller(options);
    this.#pace = createPace(options.clock);
    this.#saver = new RolloutSaver(options);
    this.#tasks = createTaskGroup((task, error) =>
      options.report('work of a rollout failed', { task, rolloutId: options.plan.rolloutId, error }),
    );
  }

  get plan(): RolloutPlan {
    return this.#options.plan;
  }

  get progress(): Latest<RolloutProgress> {
    return this.#state;
  }

  /** Milliseconds of soak that are left; null when it does not soak. */
  soakLeftMs(hostId: string): number | null {
    return this.#watch.soakLeftMs(hostId);
  }

  start(): void {
    this.#tasks.start('conduct', async (signal) => {
      if (!isSettled(this.#now)) await this.#claim(signal);
      while (!this.#tick()) await this.#pace.wait(tickMs, signal);
    });
  }

  /** No new hosts; those that soak go on. */
  pause(): void {
    if (this.#now.phase === 'running') this.#enter('paused', this.#now.reason);
  }

  resume(): void {
    if (this.#now.phase === 'paused') this.#enter('running', null);
  }

  /** Takes back what the plan says, and ends. */
  abort(): void {
    if (this.#now.phase === 'running' || this.#now.phase === 'paused')
      this.#enter('aborting', { code: 'CANCELLED', message: 'An operator aborted the rollout.' });
  }

  /** Resolves when the hosts that answer know the last change of phase, or after some seconds. */
  async told(signal: AbortSignal): Promise<void> {
    await this.#telling.catch(() => undefined);
    const isTold = (host: HostProgress): boolean => host.isInformed || host.wasAway || !this.#options.hosts.isLive(host.hostId);
    await this.#pace.until(() => !isSettled(this.#now) || this.#now.isYielded || this.#now.hosts.every(isTold), toldMsMax, signal);
  }

  /** Ends all work at once, as a crash would; the hosts' timers decide about what waits. */
  async close(): Promise<void> {
    await this.#tasks.close();
    this.#state.close();
  }

  get #now(): RolloutProgress {
    return this.#state.value;
  }

  #set(progress: RolloutProgress): void {
    this.#state.set(progress);
    this.#pace.wake();
  }

  #change(hostId: string, change: Partial<HostProgress>): void {
    this.#set(withProgress(this.#now, hostId, change));
  }

  #host(hostId: string): HostProgress {
    const found = this.#now.hosts.find((host) => host.hostId === hostId);
    if (found === undefined) throw new Error('a host that is not in the rollout');
    return found;
  }

  #enter(phase: RolloutProgress['phase'], reason: RolloutProgress['reason']): void {
    this.#set({ ...this.#now, phase, reason });
    this.#saver.save(this.#now);
    this.#tasks.start('tell', (signal) => (this.#telling = this.#tell(signal)));
  }

  #stop(message: string): void {
    this.#enter('stopping', { code: 'ROLLOUT_STOPPED', message });
  }

  #yield(message: string | null): void {
    if (message === null || this.#now.isYielded) return;
    this.#set({ ...this.#now, isYielded: true, reason: { code: 'ROLLOUT_CONFLICT', message } });
    this.#saver.save(this.#now);
  }

  /** Writes the record to every host that answers: from now on this console is in charge there. */
  async #claim(signal: AbortSignal): Promise<void> {
    const { hosts, isNew } = this.#options;
    // The console before this one may still be at work: that ends before any host that is being connected is waited for.
    let conflict = isNew ? null : await this.#claimPresent(signal);
    if (conflict === null) {
      await this.#pace.until(() => this.#now.hosts.every(({ hostId }) => hosts.isLive(hostId)), connectWaitMs, signal);
      for (const { hostId } of this.#now.hosts) if (!hosts.isLive(hostId) && isNew) this.#change(hostId, { wasAway: true });
      conflict = await this.#claimPresent(signal);
    }
    if (conflict === null || !isNew) return this.#yield(conflict);
    // Another rollout holds a host: this one has changed nothing and gives the others free again.
    this.#set(notBegun(this.#now));
    return this.#enter('aborted', { code: 'ROLLOUT_CONFLICT', message: conflict });
  }

  /** Why another console holds one of the hosts; null when none does. */
  async #claimPresent(signal: AbortSignal): Promise<string | null> {
    const present = this.#now.hosts.filter(({ hostId }) => this.#options.hosts.isLive(hostId) && !this.#claimed.has(hostId));
    const conflicts = await mapConcurrently(present, callsInFlightMax, ({ hostId }) => this.#claimHost(hostId, signal));
    return conflicts.find((conflict) => conflict !== null) ?? null;
  }

  async #claimHost(hostId: string, signal: AbortSignal): Promise<string | null> {
    const problem = await this.#put(hostId, signal);
    if (problem?.code === 'ROLLOUT_CONFLICT') return `${this.#host(hostId).hostName}: ${problem.message}`;
    if (problem !== null && this.#host(hostId).state === 'waiting' && !awayCodes.has(problem.code))
      this.#change(hostId, { state: 'failed', problem });
    return null;
  }

  async #put(hostId: string, signal: AbortSignal): Promise<Problem | null> {
    if (!this.#options.isNew && !this.#claimed.has(hostId)) {
      // What the console before this one has begun on the host until now is in the record that is replaced here.
      const record = await this.#options.recordOf(hostId, signal);
      if (record !== null && record.term < this.#now.term) this.#change(hostId, touched(record.host));
    }
    const before = this.#now;
    const problem = await this.#teller.put(before, hostId, signal);
    if (problem === null || !awayCodes.has(problem.code)) this.#claimed.add(hostId);
    if (problem === null && before.phase === this.#now.phase && isSettled(before)) this.#change(hostId, { isInformed: true });
    return problem;
  }

  /** The hosts keep the record; one that does not answer learns it when it is spoken to next. */
  async #tell(signal: AbortSignal): Promise<void> {
    const present = this.#now.hosts.filter(({ hostId }) => this.#options.hosts.isLive(hostId) && !this.#busy.has(hostId));
    await mapConcurrently(present, callsInFlightMax, async ({ hostId }) => {
      const problem = await this.#put(hostId, signal);
      if (problem?.code === 'ROLLOUT_CONFLICT') this.#yield(problem.message);
    });
  }

  /** Decides what happens now. True when nothing is left to do. */
  #tick(): boolean {
    const { clock, plan } = this.#options;
    for (const { hostId, gates } of this.#watch.observe(this.#now)) this.#change(hostId, { gates });
    if (!this.#now.isYielded) {
      this.#inquire();
      if (isStopping(this.#now)) this.#unwind();
      else if (!isSettled(this.#now)) this.#advance();
      else {
        this.#repay();
        this.#inform();
      }
    }
    this.#saver.saveInTurn(this.#now);
    const isTended = clock.now() < plan.notAfterMs && (isUnfinished(this.#now) || this.#now.hosts.some((host) => this.#owes(host)));
    const isOver = this.#now.isYielded || (isSettled(this.#now) && !isTended);
    if (!isOver || this.#busy.size > 0) return false;
    this.#saver.save(this.#now);
    return true;
  }

  /** Hosts that were being changed when their console went, or that fell silent: what became of them? */
  #inquire(): void {
    const { hosts, isNew, progress } = this.#options;
    for (const host of this.#now.hosts) {
      const { hostId } = host;
      if (this.#busy.has(hostId)) continue;
      if (!isNew && !isSettled(progress) && !this.#claimed.has(hostId) && hosts.isLive(hostId)) {
        this.#act(hostId, async (signal) => this.#yield(await this.#claimHost(hostId, signal)));
        continue;
      }
      const isUnknown = host.state === 'kept' && host.revision === null;
      if (!(host.state === 'unreachable' || host.isInherited || isUnknown)) continue;
      if (hosts.isLive(hostId)) {
        if (host.attempt === 0) this.#act(hostId, (signal) => this.#recall(host, signal));
        else this.#act(hostId, async (signal) => this.#learn(host, await hosts.inquire(hostId, this.#waiting(host), signal)));
        continue;
      }
      if (host.isInherited && this.#watch.missedMs(hostId) > confirmWithinOf(this.plan) * 1000 + overdueMs)
        this.#change(hostId, { state: 'unreachable', isInherited: false, problem: silentProblem });
    }
  }

  /** It is back, and this console does not know whether another one has tried anything on it: its record does. */
  async #recall(host: HostProgress, signal: AbortSignal): Promise<void> {
    const record = (await this.#options.recordOf(host.hostId, signal))?.host ?? null;
    const endReason = isStopping(this.#now) || isSettled(this.#now) ? (this.#now.reason ?? goneProblem) : null;
    this.#change(host.hostId, recalled(host, record, endReason));
  }

  #learn(host: HostProgress, change: HostChange, rollbackAt: number | null = null): void {
    const { clock, hosts } = this.#options;
    const { hostId } = host;
    this.#watch.found(hostId);
    const windowMs = confirmWithinOf(this.plan) * 1000;
    const until = change.rollbackAt ?? rollbackAt ?? clock.now() + (hosts.view(hostId)?.pendingRemainingMs ?? windowMs);
    if (change.state === 'pending') this.#watch.soaks(hostId, Math.max(0, windowMs - (until - clock.now())));
    const mayTryAgain = !isStopping(this.#now) && !isSettled(this.#now);
    this.#change(hostId, learned(host, change, { until, mayTryAgain }));
  }

  /** Keeps what has passed, begins with the next, stops at a breach. */
  #advance(): void {
    const { plan, clock } = this.#options;
    const breach = this.#watch.breach(this.#now);
    if (breach !== null) return this.#stop(breach);
    for (const host of this.#now.hosts) if (host.state === 'soaking' && !this.#busy.has(host.hostId)) this.#soak(host);
    if (clock.now() > plan.notAfterMs) return this.#stop('The time of the rollout is over.');
    if (this.#now.phase === 'paused') return undefined;
    const turns = turnsOf(this.#now);
    if (turns.every((host) => isSettledHost(host) && !host.isInherited && !this.#busy.has(host.hostId))) return this.#nextWave();
    for (const host of turns) if (host.state === 'waiting' && !this.#busy.has(host.hostId)) this.#turn(host);
    const isStuck =
      !this.#now.hosts.some((host) => isInFlight(host)) && this.#busy.size === 0 && unavailableOf(this.#now) >= plan.maxUnavailable;
    return isStuck ? this.#stop(`${String(unavailableOf(this.#now))} hosts have failed, as many as may be unavailable.`) : undefined;
  }

  #soak(host: HostProgress): void {
    const { hosts, plan } = this.#options;
    const { hostId } = host;
    const soakedMs = this.#watch.soakedMs(hostId);
    if (soakedMs > confirmWithinOf(plan) * 1000 + overdueMs) {
      if (hosts.isLive(hostId))
        this.#act(hostId, async (signal) => this.#learn(host, await hosts.inquire(hostId, this.#waiting(host), signal)));
      else this.#change(hostId, { state: 'unreachable', rollbackAt: null, problem: silentProblem });
      return;
    }
    const soakMs = plan.soakSeconds * 1000;
    if (!hosts.isLive(hostId) || soakedMs < soakMs || this.#watch.observedMs(hostId) < Math.min(soakMs, observedMsMin)) return;
    if (host.gates.length === 0 || (soakMs > 0 && host.gates.some(({ verdict }) => verdict !== 'passed'))) return;
    this.#change(hostId, { state: 'keeping' });
    this.#act(hostId, async (signal) => {
      if (!(await this.#isInCharge(hostId, 'soaking', signal))) return;
      this.#learn(this.#host(hostId), { state: 'unreachable', ...(await hosts.keep(hostId, this.#waiting(host), signal)) });
    });
  }

  /** False when the record could not be written: the host is left as it was. */
  async #isInCharge(hostId: string, before: HostProgress['state'], signal: AbortSignal): Promise<boolean> {
    const problem = await this.#put(hostId, signal);
    if (problem === null) return true;
    if (problem.code === 'ROLLOUT_CONFLICT') this.#yield(problem.message);
    this.#change(hostId, { state: before });
    return false;
  }

  #nextWave(): void {
    const next = this.#now.wave + 1;
    if (next >= this.plan.waves.length) return this.#enter('finished', null);
    this.#watch.nextWave();
    this.#set({ ...this.#now, wave: next });
    return this.#enter('running', null);
  }

  /** A host whose turn has come. */
  #turn(host: HostProgress): void {
    const { hosts, plan } = this.#options;
    const { hostId } = host;
    if (!hosts.isLive(hostId)) {
      if (host.wasAway) return this.#defer(host);
      const isDoubtful = this.#isDoubtful(host);
      const waitMs = isDoubtful ? confirmWithinOf(plan) * 1000 + overdueMs : turnWaitMs;
      const isMissed = this.#watch.missedMs(hostId) > waitMs && unavailableOf(this.#now) < plan.maxUnavailable;
      return isMissed ? this.#change(hostId, { state: 'unreachable', problem: isDoubtful ? silentProblem : goneProblem }) : undefined;
    }
    this.#watch.found(hostId);
    const baseline = this.#watch.baseline(hostId);
    const view = hosts.view(hostId);
    const doubtful = turnsOf(this.#now).filter((one) => this.#isDoubtful(one)).length;
    if (baseline === null || view === null || unavailableOf(this.#now) + doubtful >= plan.maxUnavailable) return undefined;
    const attempt = host.attempt + 1;
    this.#change(hostId, {
      state: 'applying',
      attempt,
      baseline: { drops: baseline, warnings: [...view.criticalWarnings].slice(0, 64) },
      gates: [],
    });
    return this.#act(hostId, (signal) => this.#apply(hostId, attempt, signal));
  }

  /** It is silent, and the console before this one may have begun on it without another host's record telling so. */
  #isDoubtful({ hostId, state, wasAway }: HostProgress): boolean {
    const { hosts, isNew } = this.#options;
    return state === 'waiting' && !isNew && !wasAway && !this.#claimed.has(hostId) && !hosts.isLive(hostId);
  }

  /** The record tells before the apply what would come of it: whoever goes on with the rollout can ask the host for it. */
  async #apply(hostId: string, attempt: number, signal: AbortSignal): Promise<void> {
    const { hosts, clock } = this.#options;
    const { policy, name } = this.plan;
    const planned = await hosts.plan(hostId, policy, signal);
    if ('code' in planned) {
      this.#change(hostId, { state: awayCodes.has(planned.code) ? 'unreachable' : 'failed', attempt: attempt - 1, problem: planned });
      return;
    }
    const { planHash, baseRevision, generation } = planned;
    this.#change(hostId, { baseRevision, generation });
    if (!(await this.#isInCharge(hostId, 'waiting', signal))) return;
    const { rolloutId, term } = this.#now;
    const change = await hosts.apply(
      hostId,
      {
        planHash,
        policy,
        transactionId: rolloutTransaction(rolloutId, attempt),
        confirmWithinSeconds: confirmWithinOf(this.plan),
        comment: `Rollout ${name}`,
        conducted: { rolloutId, term },
      },
      signal,
    );
    if (change.problem?.code === 'ROLLOUT_CONFLICT') {
      this.#change(hostId, { state: 'waiting' });
      this.#yield(change.problem.message);
      return;
    }
    // Answered from the memory of the host, it was planned on top of itself: what was before is not known.
    if ((change.revision ?? Infinity) <= baseRevision) {
      this.#change(hostId, { baseRevision: null, revision: change.revision ?? null });
      await this.#put(hostId, signal);
    }
    // An apply of a console before this one, that was answered from the host's memory, may have ended already.
    if (change.state === 'rolled-back') this.#change(hostId, { isInherited: true });
    this.#learn(this.#host(hostId), change, clock.now() + confirmWithinOf(this.plan) * 1000);
  }

  #defer(host: HostProgress): void {
    const { plan, leaveIntent } = this.#options;
    if (plan.offline === 'skip') this.#change(host.hostId, { state: 'skipped', problem: awayProblem });
    else this.#change(host.hostId, { state: 'deferred', problem: leaveIntent(host.hostId, plan) });
  }

  /** A stop: what waits is undone, what the plan says is brought back, what never began is skipped. */
  #unwind(): void {
    const { hosts, clock } = this.#options;
    const problem = this.#now.reason;
    for (const host of this.#now.hosts) {
      const { hostId } = host;
      if (this.#busy.has(hostId)) continue;
      if (host.state === 'waiting') this.#change(hostId, { state: 'skipped', problem });
      else if (host.state === 'soaking') {
        this.#change(hostId, { state: 'undoing' });
        this.#act(hostId, async (signal) => {
          // The host itself decides at its deadline: until then it is tried.
          const rollbackAt = clock.now() + (this.soakLeftMs(hostId) ?? 0) + marginSeconds * 1000;
          this.#undone(host, await hosts.undo(hostId, { ...this.#waiting(host), rollbackAt }, signal));
        });
      }
    }
    this.#repay();
    const isOver = this.#now.hosts.every(
      (host) => isSettledHost(host) && !host.isInherited && !(this.#owes(host) && this.#options.hosts.isLive(host.hostId)),
    );
    if (isOver && this.#busy.size === 0) this.#enter(this.#now.phase === 'aborting' ? 'aborted' : 'stopped', this.#now.reason);
  }

  #undone(host: HostProgress, change: HostChange): void {
    const problem = this.#now.reason ?? endedProblem;
    if (change.state === 'rolled-back') this.#change(host.hostId, { state: 'taken-back', rollbackAt: null, problem });
    else this.#learn(host, { state: 'unreachable', ...change });
  }

  /** True while a kept host has to go back and may still be tried. */
  #owes(host: HostProgress): boolean {
    const { phase } = this.#now;
    if (phase === 'finished' || !(isStopping(this.#now) || isSettled(this.#now))) return false;
    return owesReturn(this.#now, this.plan, host) && host.returns < returnsMax && host.problem?.code !== 'REVISION_CONFLICT';
  }

  /** Brings kept hosts back, paced like the way there: never more than may be unavailable. */
  #repay(): void {
    const { hosts, plan } = this.#options;
    let free = plan.maxUnavailable - this.#now.hosts.filter(({ state }) => state === 'reverting').length;
    for (const host of this.#now.hosts) {
      const { hostId } = host;
      if (host.state === 'soaking' && isSettled(this.#now) && !this.#busy.has(hostId))
        this.#act(hostId, async (signal) => this.#undone(host, await hosts.undo(hostId, this.#waiting(host), signal)));
      if (free <= 0 || this.#busy.has(hostId) || !this.#owes(host) || (host.revision === null && hosts.isLive(hostId))) continue;
      if (!hosts.isLive(hostId)) {
        // It is brought back when it answers again, for as long as the rollout may last.
        if (host.problem === null) this.#change(hostId, { problem: staysProblem });
        continue;
      }
      free -= 1;
      this.#change(hostId, { state: 'reverting', returns: host.returns + 1 });
      this.#act(hostId, async (signal) => {
        if (!(await this.#isInCharge(hostId, 'kept', signal))) return;
        const problem = await hosts.revert(hostId, this.#waiting(host), signal);
        this.#change(hostId, problem === null ? { state: 'reverted', problem: this.#now.reason } : { state: 'kept', problem });
      });
    }
  }

  /** A host that was away when the rollout ended is told when it is back: until then it is not free for another. */
  #inform(): void {
    for (const host of this.#now.hosts) {
      const { hostId, isInformed, wasAway } = host;
      if (isInformed || wasAway || !isSettledHost(host) || this.#busy.has(hostId) || !this.#options.hosts.isLive(hostId)) continue;
      this.#act(hostId, async (signal) => {
        const problem = await this.#put(hostId, signal);
        if (problem?.code === 'ROLLOUT_CONFLICT') this.#yield(problem.message);
      });
    }
  }

  #waiting({ revision, baseRevision, generation, attempt, rollbackAt }: HostProgress): Waiting {
    return { revision, baseRevision, generation, rollbackAt, transactionId: rolloutTransaction(this.#now.rolloutId, attempt) };
  }

  /** One act a host at a time; its record is renewed at the end. */
  #act(hostId: string, work: (signal: AbortSignal) => Promise<void>): void {
    this.#busy.add(hostId);
    this.#tasks.start('act', async (signal) => {
      try {
        await work(signal);
        if (isSettledHost(this.#host(hostId)) && !this.#host(hostId).isInformed && !this.#now.isYielded) await this.#put(hostId, signal);
      } catch (error) {
        if (isCancelled(error)) throw error;
        this.#change(hostId, {
          state: 'failed',
          problem: { code: 'INTERNAL', message: 'The console failed on this host. Look into its log.' },
        });
        throw error;
      } finally {
        this.#busy.delete(hostId);
        this.#pace.wake();
      }
    });
  }
}
