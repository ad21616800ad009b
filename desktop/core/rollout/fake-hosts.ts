/** Hosts without a wire for tests of the conductor: they keep records, apply, wait for their confirmation and take back, by a clock of the test. */
import { NestError } from '../../../proto/model/error.ts';
import type { Envelope } from '../../../proto/model/operator-signature.ts';
import { parseRolloutPlan, parseRolloutState, settledPhases } from '../../../proto/model/rollout.ts';
import type { RolloutState } from '../../../proto/model/rollout.ts';
import type { Clock } from '../../lib/api.ts';
import type { HostChange } from '../policy/rollout-steps.ts';
import type { RolloutHosts, Waiting } from './rollout-hosts.ts';

export interface FakeHost {
  readonly hostId: string;
  isLive: boolean;
  /** Refuses every apply with this. */
  refusal: NestError | null;
  /** The next answers are lost after the host has acted. */
  answersLost: number;
  /** Packets dropped per second for POLICY_DENY: always, and on top of it under the new policy. */
  dropsBefore: number;
  dropsAfter: number;
  warningAfter: string | null;
  isDrifting: boolean;
  dropped: number;
  countedMs: number;
  policy: string;
  revisions: { revision: number; policy: string; state: 'confirmed' | 'pending' | 'rolled-back'; transactionId: string }[];
  pending: { revision: number; transactionId: string; untilMs: number } | null;
  records: Map<string, { plan: Envelope; state: Envelope; parsed: RolloutState }>;
}

/** Plain bytes in place of signatures: whose they are is under test elsewhere. */
export const unsigned = (payload: Uint8Array): Envelope => ({ payloadType: 'test', payload: Buffer.from(payload), signatures: [] });

export interface FakeHosts extends RolloutHosts {
  readonly all: ReadonlyMap<string, FakeHost>;
}

export const createFakeHosts = (hostIds: readonly string[], clock: Clock): FakeHosts => {
  const all = new Map(hostIds.map((hostId) => [hostId, newHost(hostId)]));
  const get = (hostId: string): FakeHost => {
    const host = all.get(hostId);
    if (host === undefined) throw new Error('no such host');
    return host;
  };
  /** Runs the dead-man timers first: their time goes on whatever the console does. */
  const reach = (hostId: string): FakeHost => {
    const host = get(hostId);
    expire(host, clock);
    if (!host.isLive) throw new NestError('HOST_UNREACHABLE', 'It does not answer.');
    return host;
  };
  const answered = async (hostId: string, work: (host: FakeHost) => HostChange): Promise<HostChange> => {
    await Promise.resolve();
    try {
      const change = work(reach(hostId));
      const host = get(hostId);
      if (host.answersLost > 0) {
        host.answersLost -= 1;
        throw new NestError('HOST_UNREACHABLE', 'The answer was lost.');
      }
      return change;
    } catch (error) {
      if (!(error instanceof NestError)) throw error;
      const { code, message } = error;
      return { state: code === 'HOST_UNREACHABLE' ? 'unreachable' : 'failed', problem: { code, message } };
    }
  };
  return {
    all,
    isLive: (hostId) => get(hostId).isLive,
    view: (hostId) => viewOf(get(hostId), clock),
    put: async (hostId, record) => {
      await Promise.resolve();
      store(reach(hostId), record);
    },
    plan: async (hostId, policy) => {
      await Promise.resolve();
      const host = get(hostId);
      if (!host.isLive) return { code: 'HOST_UNREACHABLE', message: 'It does not answer.' };
      expire(host, clock);
      const baseRevision = host.pending?.revision ?? host.revisions.find(({ state }) => state === 'confirmed')?.revision ?? 0;
      return { planHash: 'h', baseRevision, generation: policy };
    },
    apply: (hostId, request) => answered(hostId, (host) => apply(host, request, clock)),
    keep: (hostId, { transactionId }) => answered(hostId, (host) => keep(host, transactionId)),
    undo: (hostId) =>
      answered(hostId, (host) => {
        takeBack(host);
        return { state: 'rolled-back', rollbackAt: null, problem: null };
      }),
    revert: async (hostId, change) => (await answered(hostId, (host) => revert(host, change))).problem ?? null,
    inquire: async (hostId, change) => {
      const found = await answered(hostId, (host) => inquire(host, change));
      return found.state === 'unreachable' ? {} : found;
    },
    records: async (hostId, rolloutId) => {
      await Promise.resolve();
      const host = get(hostId);
      if (!host.isLive) return [];
      return [...host.records]
        .filter(([id]) => rolloutId === '' || id === rolloutId)
        .map(([id, { plan, state }]) => ({ rolloutId: id, plan, state, storedAtMs: 0n }));
    },
  };
};

const newHost = (hostId: string): FakeHost => ({
  hostId,
  isLive: true,
  refusal: null,
  answersLost: 0,
  dropsBefore: 0,
  dropsAfter: 0,
  warningAfter: null,
  isDrifting: false,
  dropped: 0,
  countedMs: 0,
  policy: 'old',
  revisions: [{ revision: 1, policy: 'old', state: 'confirmed', transactionId: '' }],
  pending: null,
  records: new Map(),
});

const nextOf = ({ revisions }: FakeHost): number => (revisions[0]?.revision ?? 0) + 1;

const viewOf = (host: FakeHost, clock: Clock): ReturnType<RolloutHosts['view']> => {
  if (!host.isLive) return null;
  expire(host, clock);
  const isChanged = host.policy !== 'old';
  const { dropsBefore, dropsAfter, warningAfter, pending } = host;
  const rate = dropsBefore + (isChanged ? dropsAfter : 0);
  host.dropped += (rate * (clock.monotonicMs() - host.countedMs)) / 1000;
  host.countedMs = clock.monotonicMs();
  return {
    drops: { POLICY_DENY: Math.round(host.dropped) },
    criticalWarnings: isChanged && warningAfter !== null ? [warningAfter] : [],
    isDrifting: isChanged && host.isDrifting,
    pendingTransactionId: pending?.transactionId ?? '',
    pendingRemainingMs: pending === null ? 0 : Math.max(0, pending.untilMs - clock.monotonicMs()),
  };
};

const takeBack = (host: FakeHost): void => {
  if (host.pending === null) return;
  const { revision } = host.pending;
  host.pending = null;
  host.revisions = host.revisions.map((one) => (one.revision === revision ? { ...one, state: 'rolled-back' } : one));
  host.policy = host.revisions.find(({ state }) => state === 'confirmed')?.policy ?? 'old';
};

const expire = (host: FakeHost, clock: Clock): void => {
  if (host.pending !== null && clock.monotonicMs() >= host.pending.untilMs) takeBack(host);
};

const apply = (host: FakeHost, request: Parameters<RolloutHosts['apply']>[1], clock: Clock): HostChange => {
  const record = host.records.get(request.conducted.rolloutId);
  if (record?.parsed.term !== request.conducted.term) throw new NestError('ROLLOUT_CONFLICT', 'Another console is in charge.');
  const repeated = host.revisions.find(({ transactionId }) => transactionId === request.transactionId);
  if (repeated !== undefined) return { state: repeated.state, revision: repeated.revision, problem: null };
  if (host.refusal !== null) throw host.refusal;
  if (host.pending !== null) throw new NestError('APPLY_IN_PROGRESS', 'Another change waits.');
  const revision = nextOf(host);
  host.revisions.unshift({ revision, policy: request.policy, state: 'pending', transactionId: request.transactionId });
  host.policy = request.policy;
  host.pending = { revision, transactionId: request.transactionId, untilMs: clock.monotonicMs() + request.confirmWithinSeconds * 1000 };
  return { state: 'pending', revision, rollbackAt: clock.now() + request.confirmWithinSeconds * 1000, problem: null };
};

const revert = (host: FakeHost, { baseRevision, revision, transactionId }: Waiting): HostChange => {
  const [newest] = host.revisions.filter(({ state }) => state === 'confirmed');
  if (newest?.transactionId === `${transactionId}-back`) return {};
  if (revision === null || newest?.revision !== revision) throw new NestError('REVISION_CONFLICT', 'It has moved on.');
  const isBase = (one: FakeHost['revisions'][number]): boolean =>
    baseRevision === null ? one.revision < revision && one.state === 'confirmed' : one.revision === baseRevision;
  const old = host.revisions.find(isBase)?.policy ?? 'empty';
  host.revisions.unshift({ revision: nextOf(host), policy: old, state: 'confirmed', transactionId: `${transactionId}-back` });
  host.policy = old;
  return {};
};

const inquire = (host: FakeHost, { revision, generation, baseRevision }: Waiting): HostChange => {
  const found = host.revisions.find((one) =>
    revision === null ? one.policy === generation && one.revision > (baseRevision ?? 0) : one.revision === revision,
  );
  if (found === undefined) return { state: 'failed', problem: { code: 'APPLY_FAILED', message: 'It did not reach the host.' } };
  return { state: found.state, revision: found.revision, problem: null };
};

const keep = (host: FakeHost, transactionId: string): HostChange => {
  if (host.pending?.transactionId !== transactionId) {
    const ended = host.revisions.find((one) => one.transactionId === transactionId);
    return { state: ended?.state ?? 'failed', problem: { code: 'NOTHING_TO_CONFIRM', message: 'Nothing waits.' } };
  }
  const { revision } = host.pending;
  host.pending = null;
  host.revisions = host.revisions.map((one) => (one.revision === revision ? { ...one, state: 'confirmed' } : one));
  return { state: 'confirmed', revision, rollbackAt: null, problem: null };
};

/** The rules of the agent's own record keeping, in short. */
const store = (host: FakeHost, { plan, state }: { readonly plan: Envelope | null; readonly state: Envelope }): void => {
  const next = parseRolloutState(state.payload);
  const known = host.records.get(next.rolloutId);
  const isOlder = known !== undefined && known.parsed.term === next.term && known.parsed.sequence > next.sequence;
  if (
    known !== undefined &&
    (known.parsed.term > next.term || isOlder || (known.parsed.term === next.term && known.parsed.conductor !== next.conductor))
  )
    throw new NestError('ROLLOUT_CONFLICT', 'Another console is in charge.');
  const isBeside = [...host.records.values()].some(({ parsed }) => parsed.rolloutId !== next.rolloutId && !settledPhases.has(parsed.phase));
  if (known === undefined && isBeside && !settledPhases.has(next.phase))
    throw new NestError('ROLLOUT_CONFLICT', 'Another rollout is open.');
  const kept = plan ?? known?.plan;
  if (kept === undefined) throw new NestError('NOT_FOUND', 'Send the plan.');
  parseRolloutPlan(kept.payload);
  host.records.set(next.rolloutId, { plan: kept, state, parsed: next });
};
