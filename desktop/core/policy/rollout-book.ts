/**
 * All rollouts: made here, remembered from before a restart, or found pending on the hosts. The hosts hold the truth; the book
 * follows it by their statuses and asks them when a status says that something ended.
 */
import { NestError } from '../../../proto/model/error.ts';
import { rolloutTransactionPrefix } from '../../../proto/model/rollout.ts';
import type { Rollout, RolloutHost } from '../../bridge/model.ts';
import { createLatest, createTaskGroup, mapConcurrently, ulidOf } from '../../lib/api.ts';
import type { Clock, Latest, RandomBytes, TaskGroup } from '../../lib/api.ts';
import type { FleetCache } from '../cache/fleet-cache.ts';
import type { HostRoster } from '../hosts/host-roster.ts';
import type { ManagedHost } from '../hosts/managed-host.ts';
import { hostsInFlightMax } from './planner.ts';
import type { KeptPlan } from './planner.ts';
import { afterRestart, isActive, isOpen, rolloutOf, withHosts } from './rollout.ts';
import type { RolloutPhase, RolloutRecord } from './rollout.ts';
import { applyStep, confirmStep, inquire, undoStep } from './rollout-steps.ts';
import type { HostChange } from './rollout-steps.ts';

/** Rollouts looked at after a restart. */
const rememberedMax = 20;
/** A command answers after so long even when a host still does not: the rest is told to those who watch. */
const commandAnswerMs = 3_000;
/** A status may be this much older than what was last done to its host. */
const statusLagMs = 1_500;
/** After its deadline a host that does not answer is given so long before it is called unreachable. */
const overdueMs = 2_000;
const overduePollMs = 1_000;
/** Changes of hosts within this time are shown and stored as one: a rollout of a thousand hosts costs a thousand changes, not their square. */
const togetherMs = 20;

export interface RolloutBookOptions {
  readonly roster: HostRoster;
  readonly cache: FleetCache;
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly report: (message: string, fields: Readonly<Record<string, unknown>>) => void;
}

interface Entry {
  record: RolloutRecord;
  phase: RolloutPhase;
  readonly state: Latest<Rollout>;
  /** Hosts a call is out to, and when each was last changed by one. */
  readonly busy: Set<string>;
  readonly changedAt: Map<string, number>;
  /** Changes of hosts that are not in `record` yet. */
  readonly changes: Map<string, HostChange>;
  /** They are about to be shown and stored. */
  isScheduled: boolean;
}

export class RolloutBook {
  readonly #options: RolloutBookOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #tasks: TaskGroup;

  constructor(options: RolloutBookOptions) {
    this.#options = options;
    this.#tasks = createTaskGroup((task, error) => {
      options.report('background work of a rollout failed', { task, error });
    });
    for (const record of options.cache.rollouts<RolloutRecord>(rememberedMax))
      if (isOpen(record)) this.#store(this.#enter(afterRestart(record), null).record);
    options.roster.onReading((host) => this.#follow(host), this.#tasks.signal);
    this.#tasks.start('overdue hosts', (signal) => this.#watchOverdue(signal));
  }

  /** Raises APPLY_IN_PROGRESS when one of the hosts is in another rollout that is not settled. Answers when all hosts have, or after 3 s. */
  async apply(
    kept: KeptPlan,
    request: { readonly confirmWithinSeconds: number; readonly comment: string },
    signal: AbortSignal,
  ): Promise<Rollout> {
    const { clock, random } = this.#options;
    const { plan } = kept;
    const undecided = [...this.#entries.values()].flatMap((entry) =>
      this.#recordOf(entry).hosts.filter(({ state }) => state === 'applying' || state === 'pending'),
    );
    const taken = new Set(undecided.map(({ hostId }) => hostId));
    const occupied = plan.hosts.find(({ hostId }) => taken.has(hostId));
    if (occupied !== undefined)
      throw new NestError(
        'APPLY_IN_PROGRESS',
        `${occupied.hostName} waits for a decision about another change. Keep or undo that one first.`,
        { details: { hostId: occupied.hostId } },
      );
    const rolloutId = ulidOf(clock.now(), random);
    const record: RolloutRecord = {
      rolloutId,
      planId: plan.planId,
      transactionId: rolloutId,
      startedAt: clock.now(),
      confirmWithinSeconds: request.confirmWithinSeconds,
      hosts: plan.hosts.map(firstState),
      generations: Object.fromEntries(kept.generations),
    };
    // A console that cannot write down what it is about to do does not begin.
    this.#options.cache.putRollout(rolloutId, record.startedAt, record);
    const entry = this.#enter(record, null);
    const planned = plan.hosts.flatMap(({ hostId, planHash, canApply }) => (canApply && planHash !== null ? [{ hostId, planHash }] : []));
    this.#tasks.start('apply', async (closed) => {
      await mapConcurrently(planned, hostsInFlightMax, ({ hostId, planHash }) =>
        this.#step(entry, hostId, (host) =>
          applyStep({ host, clock, transactionId: rolloutId, signal: closed }, { planHash, policy: kept.policy, ...request }),
        ),
      );
    });
    return this.#answer(entry, ({ state }) => state !== 'applying', signal);
  }

  /** Keeps the change on every host where it is pending. Raises NOT_FOUND, NOTHING_TO_CONFIRM. */
  confirm(rolloutId: string, signal: AbortSignal): Promise<Rollout> {
    return this.#command(rolloutId, { phase: 'confirming', step: confirmStep }, signal);
  }

  /** Takes the change back on every host where it is pending. Raises NOT_FOUND, NOTHING_TO_CONFIRM. */
  undo(rolloutId: string, signal: AbortSignal): Promise<Rollout> {
    return this.#command(rolloutId, { phase: 'undoing', step: undoStep }, signal);
  }

  /** The newest rollout somebody has to decide about; null when there is none. */
  current(): Rollout | null {
    const active = [...this.#entries.values()]
      .filter((entry) => isActive(this.#recordOf(entry)))
      .sort((a, b) => b.record.startedAt - a.record.startedAt);
    const [newest] = active;
    return newest === undefined ? null : rolloutOf(newest.record, newest.phase);
  }

  /** Raises NOT_FOUND. */
  watch(rolloutId: string, signal: AbortSignal): AsyncIterable<Rollout> {
    return this.#find(rolloutId).state.follow(signal);
  }

  async close(): Promise<void> {
    await this.#tasks.close();
    for (const entry of this.#entries.values()) {
      this.#keep(entry);
      entry.state.close();
    }
  }

  #enter(record: RolloutRecord, phase: RolloutPhase): Entry {
    const entry: Entry = {
      record,
      phase,
      state: createLatest(rolloutOf(record, phase)),
      busy: new Set(),
      changedAt: new Map(),
      changes: new Map(),
      isScheduled: false,
    };
    this.#entries.set(record.rolloutId, entry);
    return entry;
  }

  #find(rolloutId: string): Entry {
    const entry = this.#entries.get(rolloutId);
    if (entry === undefined) throw new NestError('NOT_FOUND', 'This rollout is settled or not known. Look at the revisions of the hosts.');
    return entry;
  }

  #change(entry: Entry, hostId: string, change: HostChange): void {
    entry.changes.set(hostId, { ...entry.changes.get(hostId), ...change });
    entry.changedAt.set(hostId, this.#options.clock.now());
    if (entry.isScheduled) return;
    entry.isScheduled = true;
    this.#tasks.start('changes of a rollout', async (signal) => {
      await this.#options.clock.sleep(togetherMs, signal);
      this.#keep(entry);
    });
  }

  /** Shows and stores what has changed. A disk that fails is reported: the hosts hold the truth. */
  #keep(entry: Entry): void {
    if (!entry.isScheduled) return;
    entry.isScheduled = false;
    this.#publish(entry);
    this.#store(entry.record);
  }

  #store(record: RolloutRecord): void {
    const { rolloutId, startedAt } = record;
    try {
      this.#options.cache.putRollout(rolloutId, startedAt, record);
    } catch (error) {
      this.#options.report('a rollout cannot be stored', { rolloutId, error });
    }
  }

  /** The record with all changes. */
  #recordOf(entry: Entry): RolloutRecord {
    if (entry.changes.size > 0) entry.record = withHosts(entry.record, entry.changes);
    entry.changes.clear();
    return entry.record;
  }

  /** With the changes that are not in the record yet. */
  #hostOf(entry: Entry, hostId: string): RolloutHost | undefined {
    const host = entry.record.hosts.find((candidate) => candidate.hostId === hostId);
    return host === undefined ? undefined : { ...host, ...entry.changes.get(hostId) };
  }

  #publish(entry: Entry): void {
    entry.state.set(rolloutOf(this.#recordOf(entry), entry.phase));
  }

  async #step(entry: Entry, hostId: string, work: (host: ManagedHost) => Promise<HostChange>): Promise<void> {
    entry.busy.add(hostId);
    try {
      if (this.#hostOf(entry, hostId)?.state === 'waiting') this.#change(entry, hostId, { state: 'applying' });
      this.#change(entry, hostId, await work(this.#options.roster.get(hostId)));
    } finally {
      entry.busy.delete(hostId);
    }
  }

  async #command(
    rolloutId: string,
    command: { readonly phase: 'confirming' | 'undoing'; readonly step: typeof confirmStep },
    signal: AbortSignal,
  ): Promise<Rollout> {
    const { clock } = this.#options;
    const entry = this.#find(rolloutId);
    const pending = this.#recordOf(entry).hosts.filter(({ state, hostId }) => state === 'pending' && !entry.busy.has(hostId));
    if (pending.length === 0)
      throw new NestError('NOTHING_TO_CONFIRM', 'No host waits for a decision any more. Look at the revisions of the hosts.');
    entry.phase = command.phase;
    this.#publish(entry);
    this.#tasks.start(command.phase, async (closed) => {
      try {
        await mapConcurrently(pending, hostsInFlightMax, (host) =>
          this.#step(entry, host.hostId, (managed) =>
            command.step({ host: managed, clock, transactionId: entry.record.transactionId, signal: closed }, host),
          ),
        );
      } finally {
        entry.phase = null;
        this.#publish(entry);
      }
    });
    return this.#answer(entry, () => entry.phase === null, signal);
  }

  /** The state once it is reached, or as it is after a few seconds. */
  async #answer(entry: Entry, isReached: (rollout: Rollout) => boolean, signal: AbortSignal): Promise<Rollout> {
    const giveUp = new AbortController();
    const timer = this.#options.clock.sleep(commandAnswerMs, AbortSignal.any([signal, giveUp.signal, this.#tasks.signal])).then(
      () => giveUp.abort(),
      () => undefined,
    );
    for await (const rollout of entry.state.follow(AbortSignal.any([signal, giveUp.signal, this.#tasks.signal])))
      if (isReached(rollout)) break;
    giveUp.abort();
    await timer;
    return entry.state.value;
  }

  /** A status came: does it say something about a rollout? */
  #follow(host: ManagedHost): void {
    const { standing, heardAt, record } = host;
    if (standing === null || heardAt === null) return;
    const pendingId = rolloutIdOf(host);
    if (pendingId !== null) this.#adopt(host, pendingId);
    for (const entry of this.#entries.values()) {
      const known = this.#hostOf(entry, record.hostId);
      if (known === undefined || (known.state !== 'pending' && known.state !== 'unreachable') || entry.busy.has(record.hostId)) continue;
      if (pendingId === entry.record.rolloutId && standing.policy.pending !== null) {
        const { revision, rollbackAt } = standing.policy.pending;
        if (known.state !== 'pending' || known.revision !== revision || Math.abs((known.rollbackAt ?? 0) - rollbackAt) > statusLagMs)
          this.#change(entry, record.hostId, { state: 'pending', revision, rollbackAt, problem: null });
      } else if (heardAt > (entry.changedAt.get(record.hostId) ?? 0) + statusLagMs) {
        this.#tasks.start('inquire', (signal) => this.#settle(entry, host, signal));
      }
    }
  }

  async #settle(entry: Entry, host: ManagedHost, signal: AbortSignal): Promise<void> {
    const { hostId } = host.record;
    const known = this.#hostOf(entry, hostId);
    if (known === undefined || entry.busy.has(hostId)) return;
    entry.busy.add(hostId);
    try {
      const context = { host, clock: this.#options.clock, transactionId: entry.record.transactionId, signal };
      const change = await inquire(context, known, entry.record.generations[hostId] ?? '');
      if (change.state !== undefined) this.#change(entry, hostId, change);
    } finally {
      entry.busy.delete(hostId);
    }
  }

  /** A change that another console, or this one in a lost life, has made: it can be kept or undone from here as well. */
  #adopt(host: ManagedHost, rolloutId: string): void {
    const { reading, record } = host;
    const known = this.#entries.get(rolloutId);
    if (
      reading?.policy.pending === null ||
      reading?.policy.pending === undefined ||
      known?.record.hosts.some(({ hostId }) => hostId === record.hostId) === true
    )
      return;
    const { revision, rollbackAt } = reading.policy.pending;
    const found: RolloutHost = {
      hostId: record.hostId,
      hostName: record.name,
      state: 'pending',
      revision,
      previousRevision: null,
      rollbackAt,
      loadMs: null,
      problem: null,
    };
    if (known !== undefined) {
      known.record = { ...known.record, hosts: [...known.record.hosts, found] };
      this.#change(known, record.hostId, {});
      return;
    }
    // Another process of this console may have written it down in full.
    const written = this.#options.cache.rollouts<RolloutRecord>(rememberedMax).find((candidate) => candidate.rolloutId === rolloutId);
    const confirmWithinSeconds = Math.ceil(reading.pendingRemainingMs / 1000);
    const entry = this.#enter(
      written ?? {
        rolloutId,
        planId: '',
        transactionId: reading.pendingTransactionId,
        startedAt: reading.at,
        confirmWithinSeconds,
        hosts: [found],
        generations: {},
      },
      null,
    );
    this.#store(entry.record);
  }

  async #watchOverdue(signal: AbortSignal): Promise<void> {
    const { clock, roster } = this.#options;
    for (;;) {
      await clock.sleep(overduePollMs, signal);
      for (const entry of this.#entries.values()) {
        for (const { hostId, state, rollbackAt, revision } of this.#recordOf(entry).hosts) {
          if (state !== 'pending' || rollbackAt === null || clock.now() < rollbackAt + overdueMs || entry.busy.has(hostId)) continue;
          if (roster.all.some((host) => host.record.hostId === hostId && host.isLive)) continue;
          const message = `The host does not answer. Its time is over: it has taken revision ${String(revision ?? '')} back by itself.`;
          this.#change(entry, hostId, { state: 'unreachable', rollbackAt: null, problem: { code: 'HOST_UNREACHABLE', message } });
        }
      }
    }
  }
}

/** A pending revision without a transaction (made by a roll back command) is known by its host and number. */
const rolloutIdOf = ({ standing, record }: ManagedHost): string | null => {
  if (standing?.policy.pending === null || standing?.policy.pending === undefined) return null;
  // A staged rollout waits for its gates, not for a person.
  if (standing.pendingTransactionId.startsWith(rolloutTransactionPrefix)) return null;
  return standing.pendingTransactionId === ''
    ? `${record.hostId}-${String(standing.policy.pending.revision)}`
    : standing.pendingTransactionId;
};

const firstState = ({
  hostId,
  hostName,
  baseRevision,
  canApply,
  planHash,
  problem,
  cannotApplyReason,
}: KeptPlan['plan']['hosts'][number]): RolloutHost => {
  const host = { hostId, hostName, revision: null, previousRevision: baseRevision, rollbackAt: null, loadMs: null };
  if (canApply && planHash !== null) return { ...host, state: 'waiting', problem: null };
  return {
    ...host,
    state: 'failed',
    problem: problem ?? {
      code: 'APPLY_FAILED',
      message: cannotApplyReason ?? 'The host refuses this policy. Look at the problems in its plan.',
    },
  };
};
