/** What is known about one staged rollout, and what follows from it. Pure. */
import { hostStateLetters, settledPhases } from '../../../proto/model/rollout.ts';
import type { RolloutHostRecord, RolloutHostState, RolloutPhase, RolloutPlan, RolloutState } from '../../../proto/model/rollout.ts';
import type { RolloutGate, StagedRollout } from '../../bridge/rollout-model.ts';
import { goneProblem } from './rollout-problems.ts';

export interface HostProgress extends RolloutHostRecord {
  readonly hostName: string;
  /** 0-based. */
  readonly wave: number;
  /** Console clock, milliseconds; null when nothing waits there. */
  readonly rollbackAt: number | null;
  readonly gates: readonly RolloutGate[];
  /** It did not answer when the rollout began, so its absence later says nothing about the change. */
  readonly wasAway: boolean;
  /** What became of it under another console, or before a restart, is not known yet. */
  readonly isInherited: boolean;
  /** Its record says that the rollout has ended, so that the host is free for another. */
  readonly isInformed: boolean;
  /** A return to its earlier revision was tried so often. */
  readonly returns: number;
}

export interface RolloutProgress {
  readonly rolloutId: string;
  readonly startedAt: number;
  readonly term: number;
  readonly conductor: string;
  readonly phase: RolloutPhase;
  /** Another console is in charge. */
  readonly isYielded: boolean;
  readonly wave: number;
  readonly reason: { readonly code: string; readonly message: string } | null;
  readonly hosts: readonly HostProgress[];
}

/** May still change or be changed by the rollout: counted against max unavailable. */
const unavailable: ReadonlySet<RolloutHostState> = new Set(['applying', 'soaking', 'keeping', 'undoing', 'failed', 'unreachable']);
const settled: ReadonlySet<RolloutHostState> = new Set(['kept', 'taken-back', 'reverted', 'failed', 'unreachable', 'deferred', 'skipped']);
const inFlight: ReadonlySet<RolloutHostState> = new Set(['applying', 'soaking', 'keeping', 'undoing', 'reverting']);
/** While the rollout goes on, these mean that something went wrong. */
const failures: ReadonlySet<RolloutHostState> = new Set(['failed', 'unreachable', 'taken-back']);

export const isSettledHost = ({ state }: HostProgress): boolean => settled.has(state);
export const isInFlight = ({ state }: HostProgress): boolean => inFlight.has(state);
export const isSettled = ({ phase }: RolloutProgress): boolean => settledPhases.has(phase);
export const isStopping = ({ phase }: RolloutProgress): boolean => phase === 'stopping' || phase === 'aborting';
export const unavailableOf = ({ hosts }: RolloutProgress): number => hosts.filter(({ state }) => unavailable.has(state)).length;
export const failuresOf = ({ hosts }: RolloutProgress): readonly HostProgress[] => hosts.filter(({ state }) => failures.has(state));

/** Hosts whose turn has come: those of the present wave, and those of an earlier one that came back too late for it. */
export const turnsOf = ({ hosts, wave }: RolloutProgress): readonly HostProgress[] =>
  hosts.filter((host) => host.wave === wave || (host.wave < wave && !isSettledHost(host)));

/** True when a rollout that has ended still has something to say to a host, or to learn from it. */
export const isUnfinished = (progress: RolloutProgress): boolean =>
  isSettled(progress) && progress.hosts.some((host) => host.state === 'unreachable' || (!host.isInformed && !host.wasAway));

/** True while the stop still has to bring this host back to the revision it had. */
export const owesReturn = ({ wave }: RolloutProgress, { rollback }: RolloutPlan, host: HostProgress): boolean =>
  host.state === 'kept' && (rollback === 'all' || host.wave === wave);

/** The rollout before anything happened. */
export const firstProgress = (
  plan: RolloutPlan,
  from: { readonly conductor: string; readonly startedAt: number; readonly nameOf: (hostId: string) => string },
): RolloutProgress => ({
  rolloutId: plan.rolloutId,
  startedAt: from.startedAt,
  term: 1,
  conductor: from.conductor,
  phase: 'running',
  isYielded: false,
  wave: 0,
  reason: null,
  hosts: plan.waves.flatMap((hostIds, wave) => hostIds.map((hostId) => ({ ...waitingHost(hostId, wave), hostName: from.nameOf(hostId) }))),
});

/** A rollout that was refused as a whole: every host is left as it was. */
export const notBegun = (progress: RolloutProgress): RolloutProgress => ({
  ...progress,
  hosts: progress.hosts.map((host) => ({
    ...host,
    state: 'skipped',
    problem: { code: 'ROLLOUT_CONFLICT', message: 'The rollout did not begin.' },
  })),
});

const waitingHost = (hostId: string, wave: number): Omit<HostProgress, 'hostName'> => ({
  hostId,
  wave,
  state: 'waiting',
  attempt: 0,
  baseRevision: null,
  revision: null,
  generation: '',
  baseline: null,
  problem: null,
  rollbackAt: null,
  gates: [],
  wasAway: false,
  isInherited: false,
  isInformed: false,
  returns: 0,
});

/** The progress with one host changed. */
export const withProgress = (progress: RolloutProgress, hostId: string, change: Partial<HostProgress>): RolloutProgress => ({
  ...progress,
  hosts: progress.hosts.map((host) => (host.hostId === hostId ? { ...host, ...change } : host)),
});

/** What the record of one host says. */
export const stateFor = (
  progress: RolloutProgress,
  hostId: string,
  at: { readonly sequence: number; readonly now: number },
): RolloutState => {
  const found = progress.hosts.find((host) => host.hostId === hostId);
  const { rolloutId, term, conductor, phase, wave, reason } = progress;
  const host = found ?? { ...waitingHost(hostId, 0), hostName: '' };
  const { state, attempt, baseRevision, revision, generation, baseline, problem } = host;
  return {
    rolloutId,
    term,
    conductor,
    phase,
    wave,
    reason,
    sequence: at.sequence,
    atMs: Math.round(at.now),
    states: progress.hosts.map((one) => (one.wasAway && one.state === 'waiting' ? awayLetter : hostStateLetters[one.state])).join(''),
    host: { hostId, state, attempt, baseRevision, revision, generation, baseline, problem },
  };
};

const stateOfLetter = new Map<string, RolloutHostState>(
  Object.entries(hostStateLetters).map(([state, letter]) => [letter, state as RolloutHostState]),
);

/**
 * The rollout as a console finds it that goes on with it: from what it wrote down itself and from the records of the hosts, the newest
 * first. Hosts that were being changed are inherited: they have to be asked what became of them.
 */
export const inherited = (
  plan: RolloutPlan,
  from: { readonly own: RolloutProgress | null; readonly records: readonly RolloutState[] },
  by: { readonly conductor: string; readonly startedAt: number; readonly nameOf: (hostId: string) => string },
): RolloutProgress => {
  const [newest] = [...from.records].sort((a, b) => b.term - a.term || b.sequence - a.sequence);
  const base = from.own ?? firstProgress(plan, { ...by, startedAt: plan.createdAtMs });
  const isOwnNewer = from.own !== null && (newest === undefined || from.own.term >= newest.term);
  const head = isOwnNewer || newest === undefined ? base : newest;
  const hosts = base.hosts.map((host, index) => {
    const own = from.records.find((record) => record.host.hostId === host.hostId);
    const told = own === undefined ? lettered(host, isOwnNewer ? undefined : newest?.states[index]) : { ...host, ...own.host };
    // Its own record is from before the end, which it was not there to learn.
    if (told.state === 'waiting' && settledPhases.has(head.phase))
      return { ...told, state: 'skipped' as const, problem: head.reason ?? goneProblem };
    return { ...told, ...inheritedState(told) };
  });
  const term = Math.max(base.term, newest?.term ?? 0) + 1;
  const { phase, wave, reason } = head;
  return { ...base, term, conductor: by.conductor, phase, isYielded: false, wave, reason, hosts };
};

/** What another console has begun on a host is to be asked for. */
export const inheritedState = ({ state }: RolloutHostRecord): Partial<HostProgress> => {
  if (state === 'reverting') return { state: 'kept' };
  return inFlight.has(state) ? { state: 'applying', isInherited: true, rollbackAt: null } : {};
};

const lostReason = {
  code: 'HOST_UNREACHABLE',
  message: 'The console before this one said so; the host, which keeps the reason, does not answer.',
};
/** Waits, and was away when the rollout began. */
const awayLetter = 'x';

const lettered = (host: HostProgress, letter: string | undefined): HostProgress => {
  if (letter === awayLetter) return { ...host, wasAway: true };
  const state = letter === undefined ? undefined : stateOfLetter.get(letter);
  if (state === undefined) return host;
  const isReasonLost = state !== 'waiting' && state !== 'kept' && !inFlight.has(state);
  return { ...host, state, problem: isReasonLost ? lostReason : null };
};

/** As the bridge shows it. */
export const stagedOf = (
  plan: RolloutPlan,
  progress: RolloutProgress,
  seen: {
    readonly conducted: StagedRollout['conducted'];
    readonly operator: string;
    readonly soakLeftMs: (hostId: string) => number | null;
  },
): StagedRollout => ({
  rolloutId: progress.rolloutId,
  name: plan.name,
  startedAt: progress.startedAt,
  phase: progress.isYielded ? 'yielded' : progress.phase,
  reason: progress.reason,
  conducted: seen.conducted,
  operator: seen.operator,
  term: progress.term,
  wave: progress.wave,
  waves: plan.waves.length,
  settings: settingsOf(plan),
  hosts: progress.hosts.map(
    ({
      generation: _generation,
      baseline: _baseline,
      wasAway: _away,
      isInherited: _inherited,
      isInformed: _informed,
      returns: _returns,
      ...host
    }) => ({
      ...host,
      soakLeftMs: host.state === 'soaking' ? seen.soakLeftMs(host.hostId) : null,
    }),
  ),
});

export const settingsOf = (plan: RolloutPlan): StagedRollout['settings'] => {
  const { maxUnavailable, failuresMax, soakSeconds, baselineSeconds, gates, rollback, offline } = plan;
  return { maxUnavailable, failuresMax, soakSeconds, baselineSeconds, gates, rollback, offline };
};
