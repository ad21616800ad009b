/** All staged rollouts: planned and begun here, gone on with after a restart, or taken over from another console. */
import { rolloutAct } from '../../../proto/model/act.ts';
import type { Act } from '../../../proto/model/act.ts';
import { NestError } from '../../../proto/model/error.ts';
import type { Envelope } from '../../../proto/model/operator-signature.ts';
import { rolloutHostsMax } from '../../../proto/model/rollout.ts';
import type { RolloutPlan } from '../../../proto/model/rollout.ts';
import { statementTexts } from '../../../proto/model/step-up.ts';
import type { StagedPlan, StagedRollout } from '../../bridge/rollout-model.ts';
import { createTaskGroup, ulidOf } from '../../lib/api.ts';
import type { Clock, RandomBytes, TaskGroup } from '../../lib/api.ts';
import type { HostRoster } from '../hosts/host-roster.ts';
import type { IntentQueue, IntentRequest } from '../intent/intent-queue.ts';
import type { Planner } from '../policy/planner.ts';
import { RolloutConductor } from './rollout-conductor.ts';
import type { RolloutHosts } from './rollout-hosts.ts';
import { planOf } from './rollout-plan.ts';
import type { RolloutRequest } from './rollout-plan.ts';
import { firstProgress, inherited, isSettled, isUnfinished, settingsOf, stagedOf } from './rollout-progress.ts';
import type { RolloutProgress } from './rollout-progress.ts';
import type { FoundState, RolloutCommand, RolloutRecords, SignedPlan } from './rollout-records.ts';

/** Plans kept until they are begun; the oldest goes. */
const plansMax = 8;
const planLifeMs = 10 * 60_000;
/** Rollouts conducted at the same time. */
const conductedMax = 16;
/** Leases are renewed, and commands of other processes taken, so often. */
const heartbeatMs = 1_000;
const watchPollMs = 500;
/** Hosts asked for rollouts of other consoles, in lists. */
const askedMax = 64;
const connectWaitMs = 5_000;
/** How long another process of this console may take to obey. */
const obeyMs = 10_000;

export interface RolloutDeskOptions {
  readonly roster: HostRoster;
  readonly hosts: RolloutHosts;
  readonly records: RolloutRecords;
  readonly intents: IntentQueue;
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly fleetId: string;
  /** Who signs here. */
  readonly operator: string;
  readonly conductor: string;
  /** Goes on by itself with what this console conducted before a restart. */
  readonly resumes: boolean;
  /** What witnesses have signed about an act; null when nobody asks for it. Raises MFA_REQUIRED. */
  readonly approve: (act: Act) => readonly Envelope[] | null;
  readonly report: (message: string, fields: Readonly<Record<string, unknown>>) => void;
}

export class RolloutDesk {
  readonly #options: RolloutDeskOptions;
  readonly #conductors = new Map<string, RolloutConductor>();
  readonly #plans = new Map<string, { readonly plan: RolloutPlan; readonly expiresAt: number }>();
  readonly #tasks: TaskGroup;

  constructor(options: RolloutDeskOptions) {
    this.#options = options;
    this.#tasks = createTaskGroup((task, error) => options.report('work on rollouts failed', { task, error }));
    this.#tasks.start('heartbeat', (signal) => this.#beat(signal));
    if (options.resumes) this.#tasks.start('resume', (signal) => this.#resumeAll(signal));
  }

  /** Plans the change on every host that answers, and says who is in which wave. Raises POLICY_INVALID, INPUT_INVALID, HOST_UNKNOWN. */
  async plan(request: RolloutRequest, planner: Planner, signal: AbortSignal): Promise<StagedPlan> {
    const { roster, clock, random, fleetId } = this.#options;
    const plan = planOf(request, { rolloutId: ulidOf(clock.now(), random), fleetId, now: clock.now() });
    const fleetPlan = await planner.plan(plan.policy, plan.waves.flat(), signal);
    const byHost = new Map(fleetPlan.hosts.map((host) => [host.hostId, host]));
    const expiresAt = clock.now() + planLifeMs;
    this.#plans.set(plan.rolloutId, { plan, expiresAt });
    for (const oldest of this.#plans.keys()) {
      if (this.#plans.size <= plansMax) break;
      this.#plans.delete(oldest);
    }
    const rows = plan.waves.map((wave) =>
      wave.map((hostId) => {
        const planned = byHost.get(hostId);
        const problem = planned?.problem?.message ?? planned?.cannotApplyReason ?? null;
        const host = roster.get(hostId);
        return { hostId, hostName: host.record.name, isLive: host.isLive, canApply: planned?.canApply ?? false, problem };
      }),
    );
    const { cutLive, newlyAllowed } = fleetPlan;
    return { planId: plan.rolloutId, name: plan.name, expiresAt, settings: settingsOf(plan), waves: rows, cutLive, newlyAllowed };
  }

  /** Signs the plan and begins. Raises PLAN_EXPIRED, LIMIT_REACHED, MFA_REQUIRED. */
  begin(planId: string): StagedRollout {
    const { records, clock, conductor } = this.#options;
    const kept = this.#plans.get(planId);
    if (kept === undefined || kept.expiresAt < clock.now())
      throw new NestError('PLAN_EXPIRED', 'This plan is too old or not known any more. Plan the rollout again.');
    const approval = this.#options.approve(rolloutAct(kept.plan));
    this.#plans.delete(planId);
    const plan = approval === null ? kept.plan : { ...kept.plan, stepUp: statementTexts(approval) };
    const signed = { plan, envelope: records.signPlan(plan), operator: this.#options.operator };
    records.savePlan(signed);
    const progress = firstProgress(plan, { conductor, startedAt: clock.now(), nameOf: (hostId) => this.#nameOf(hostId) });
    records.save(progress);
    return this.#shown(this.#conduct(signed, progress, true));
  }

  /** Rollouts this console knows, and those of others that the hosts keep, newest first. */
  async list(signal: AbortSignal): Promise<readonly StagedRollout[]> {
    const own = this.#options.records.all().flatMap(({ rolloutId }) => this.#ownShown(rolloutId) ?? []);
    const foreign = await this.#foreign(new Set(own.filter(({ phase }) => phase !== 'yielded').map(({ rolloutId }) => rolloutId)), signal);
    const found = new Set(foreign.map(({ rolloutId }) => rolloutId));
    return [...own.filter(({ rolloutId }) => !found.has(rolloutId)), ...foreign].sort((a, b) => b.startedAt - a.startedAt);
  }

  /** Raises NOT_FOUND. */
  async *watch(rolloutId: string, signal: AbortSignal): AsyncIterable<StagedRollout> {
    let last = '';
    while (!signal.aborted) {
      const conductor = this.#conductors.get(rolloutId);
      const shown =
        conductor === undefined ? (this.#ownShown(rolloutId) ?? (await this.#found(rolloutId, signal))) : this.#shown(conductor);
      if (isOver(shown)) await conductor?.told(signal);
      const text = JSON.stringify(shown);
      if (text !== last) yield shown;
      last = text;
      if (shown.phase === 'yielded' || isOver(shown)) return;
      await this.#options.clock.sleep(watchPollMs, signal).catch(() => undefined);
    }
  }

  /** Raises NOT_FOUND, ROLLOUT_CONFLICT when another console is in charge, TIMED_OUT when the process in charge does not obey. */
  async command(rolloutId: string, command: RolloutCommand, signal: AbortSignal): Promise<StagedRollout> {
    const { records, clock } = this.#options;
    const stored = records.progress(rolloutId);
    if (stored === null) await this.#found(rolloutId, signal);
    if (stored === null || stored.isYielded)
      throw new NestError('ROLLOUT_CONFLICT', 'Another console is in charge of this rollout. Take it over first, or ask its operator.');
    if (isSettled(stored) && !this.#conductors.has(rolloutId)) throw new NestError('NOTHING_TO_CONFIRM', 'This rollout has ended.');
    if (!this.#conductors.has(rolloutId) && records.lease(rolloutId) === 'beside') {
      records.putCommand(rolloutId, command);
      for (const until = clock.monotonicMs() + obeyMs; clock.monotonicMs() < until;) {
        await clock.sleep(watchPollMs, signal);
        const shown = this.#ownShown(rolloutId);
        if (shown !== null && shown.phase !== stored.phase) return shown;
      }
      throw new NestError('TIMED_OUT', 'The console that conducts the rollout does not answer. Take it over.');
    }
    const conductor = this.#conductors.get(rolloutId) ?? (await this.takeOver(rolloutId, signal));
    obey(conductor, command);
    await conductor.told(signal);
    return this.#shown(conductor);
  }

  /** Goes on with a rollout whose console is gone, or against it: from now on this one is in charge. Raises NOT_FOUND, CERTIFICATE_INVALID. */
  async takeOver(rolloutId: string, signal: AbortSignal): Promise<RolloutConductor> {
    const { roster, records, clock, conductor } = this.#options;
    await this.#untilConnected(signal);
    const signed = records.plan(rolloutId) ?? (await records.planFrom(this.#liveHosts(rolloutHostsMax), rolloutId, signal));
    if (signed === null) throw new NestError('NOT_FOUND', 'No host that answers knows this rollout. Look at the list.');
    const { plan } = signed;
    const known = plan.waves.flat().filter((hostId) => roster.all.some(({ record }) => record.hostId === hostId));
    const found = (await records.states(known, rolloutId, signal))
      .map(({ state }) => state)
      .filter((state) => state.rolloutId === rolloutId);
    const by = { conductor, startedAt: clock.now(), nameOf: (hostId: string) => this.#nameOf(hostId) };
    const progress = inherited(plan, { own: records.progress(rolloutId), records: found }, by);
    records.savePlan(signed);
    records.save(progress);
    return this.#conduct(signed, progress, false);
  }

  shownOf(conductor: RolloutConductor): StagedRollout {
    return this.#shown(conductor);
  }

  /** Stops conducting; the hosts' timers decide about what waits, and another console may go on. */
  /** Rollouts in this console's charge that have not ended, with their plans as they were signed. */
  open(): readonly SignedPlan[] {
    const { records } = this.#options;
    return records.all().flatMap((progress) => {
      const signed = isSettled(progress) || progress.isYielded ? null : records.plan(progress.rolloutId);
      return signed === null ? [] : [signed];
    });
  }

  async close(): Promise<void> {
    await this.#tasks.close();
    await Promise.all([...this.#conductors.values()].map((conductor) => conductor.close()));
    try {
      for (const rolloutId of this.#conductors.keys()) this.#options.records.dropLease(rolloutId);
    } catch (error) {
      // It ends by itself in a moment.
      this.#options.report('leases of rollouts cannot be dropped', { error });
    }
    this.#conductors.clear();
  }

  #conduct(signed: SignedPlan, progress: RolloutProgress, isNew: boolean): RolloutConductor {
    const { hosts, records, clock, intents, report } = this.#options;
    const { plan, envelope } = signed;
    const active = [...this.#conductors.values()].filter((one) => !isSettled(one.progress.value));
    if (active.length >= conductedMax)
      throw new NestError('LIMIT_REACHED', `${String(conductedMax)} rollouts are conducted here already. Let one end first.`);
    const before = this.#conductors.get(plan.rolloutId);
    if (before !== undefined && !before.progress.value.isYielded) return before;
    const conductor = new RolloutConductor({
      plan,
      planEnvelope: envelope,
      progress,
      isNew,
      hosts,
      clock,
      report,
      sign: (state) => records.signState(state),
      save: (next) => records.save(next),
      recordOf: async (hostId, signal) =>
        (await records.states([hostId], plan.rolloutId, signal)).find(({ state }) => state.rolloutId === plan.rolloutId)?.state ?? null,
      leaveIntent: (hostId) => leftIntent(intents, hostId, plan),
    });
    this.#conductors.set(plan.rolloutId, conductor);
    records.renewLease(plan.rolloutId);
    conductor.start();
    return conductor;
  }

  async #beat(signal: AbortSignal): Promise<void> {
    let hasFailed = false;
    for (;;) {
      await this.#options.clock.sleep(heartbeatMs, signal);
      try {
        this.#renewAll();
        hasFailed = false;
      } catch (error) {
        // A full disk passes; without a lease another process may go on meanwhile, and the hosts tell who is in charge.
        if (!hasFailed) this.#options.report('leases of rollouts cannot be renewed', { error });
        hasFailed = true;
      }
    }
  }

  #renewAll(): void {
    const { records } = this.#options;
    for (const [rolloutId, conductor] of this.#conductors) {
      if (conductor.progress.value.isYielded) continue;
      records.renewLease(rolloutId);
      const command = records.takeCommand(rolloutId);
      if (command !== null) obey(conductor, command);
    }
  }

  async #resumeAll(signal: AbortSignal): Promise<void> {
    const { records } = this.#options;
    const open = records
      .all()
      .filter(
        (progress) => !progress.isYielded && (!isSettled(progress) || isUnfinished(progress)) && records.lease(progress.rolloutId) === null,
      );
    for (const { rolloutId } of open.slice(0, conductedMax)) await this.takeOver(rolloutId, signal);
  }

  #nameOf(hostId: string): string {
    return this.#options.roster.all.find(({ record }) => record.hostId === hostId)?.record.name ?? hostId;
  }

  #liveHosts(max: number): readonly string[] {
    return this.#options.roster.all
      .filter(({ isLive }) => isLive)
      .slice(0, max)
      .map(({ record }) => record.hostId);
  }

  async #untilConnected(signal: AbortSignal): Promise<void> {
    const { clock, roster } = this.#options;
    const until = clock.monotonicMs() + connectWaitMs;
    while (clock.monotonicMs() < until && roster.all.some((host) => !host.isLive && host.row().state === 'connecting'))
      await clock.sleep(100, signal);
  }

  #shown(conductor: RolloutConductor): StagedRollout {
    const { plan, progress } = conductor;
    const { operator } = this.#options;
    return stagedOf(plan, progress.value, { conducted: 'here', operator, soakLeftMs: (hostId) => conductor.soakLeftMs(hostId) });
  }

  #ownShown(rolloutId: string): StagedRollout | null {
    const { records, operator } = this.#options;
    const conductor = this.#conductors.get(rolloutId);
    if (conductor !== undefined) return this.#shown(conductor);
    const progress = records.progress(rolloutId);
    const signed = progress === null ? null : records.plan(rolloutId);
    if (progress === null || signed === null) return null;
    const conducted = records.lease(rolloutId) === null ? 'idle' : 'beside';
    return stagedOf(signed.plan, progress, { conducted, operator, soakLeftMs: () => null });
  }

  async #foreign(known: ReadonlySet<string>, signal: AbortSignal): Promise<readonly StagedRollout[]> {
    const asked = this.#liveHosts(askedMax);
    const states = await this.#options.records.states(asked, '', signal);
    const ids = [...new Set(states.map(({ state }) => state.rolloutId))].filter((id) => !known.has(id));
    const shown: StagedRollout[] = [];
    for (const rolloutId of ids) {
      const signed = await this.#options.records.planFrom(asked, rolloutId, signal);
      if (signed !== null)
        shown.push(
          this.#foreignShown(
            signed,
            states.filter(({ state }) => state.rolloutId === rolloutId),
          ),
        );
    }
    return shown;
  }

  async #found(rolloutId: string, signal: AbortSignal): Promise<StagedRollout> {
    await this.#untilConnected(signal);
    const { records } = this.#options;
    const signed = await records.planFrom(this.#liveHosts(rolloutHostsMax), rolloutId, signal);
    if (signed === null) throw new NestError('NOT_FOUND', 'No host that answers knows this rollout. Look at the list.');
    return this.#foreignShown(signed, await records.states(this.#liveHosts(rolloutHostsMax), rolloutId, signal));
  }

  #foreignShown({ plan, operator }: SignedPlan, found: readonly FoundState[]): StagedRollout {
    const states = found.map(({ state }) => state);
    const by = { conductor: '', startedAt: plan.createdAtMs, nameOf: (hostId: string) => this.#nameOf(hostId) };
    const progress = inherited(plan, { own: null, records: states }, by);
    const newest = [...found].sort((a, b) => b.state.term - a.state.term || b.state.sequence - a.state.sequence)[0];
    const told = { ...progress, term: progress.term - 1 };
    return stagedOf(plan, told, { conducted: 'elsewhere', operator: newest?.operator ?? operator, soakLeftMs: () => null });
  }
}

const isOver = ({ phase }: StagedRollout): boolean => phase === 'finished' || phase === 'stopped' || phase === 'aborted';

const obey = (conductor: RolloutConductor, command: RolloutCommand): void => {
  switch (command) {
    case 'pause':
      return conductor.pause();
    case 'resume':
      return conductor.resume();
    case 'abort':
      return conductor.abort();
  }
};

/** What a rollout was approved with is good for what it leaves behind. */
const approvedBy = (plan: RolloutPlan): Pick<IntentRequest, 'stepUp'> =>
  plan.stepUp === undefined ? {} : { stepUp: { act: rolloutAct(plan).text, statements: plan.stepUp } };

const leftIntent = (intents: IntentQueue, hostId: string, plan: RolloutPlan): { readonly code: string; readonly message: string } => {
  try {
    const { expiresAt } = intents.leave({ hostId, policy: plan.policy, comment: `Rollout ${plan.name}`, ...approvedBy(plan) });
    return {
      code: 'HOST_UNREACHABLE',
      message: `The host was away. A signed change waits for it until ${new Date(expiresAt).toISOString()}.`,
    };
  } catch (error) {
    if (!(error instanceof NestError)) throw error;
    return { code: error.code, message: error.message };
  }
};
