/** The hosts of a rollout as its conductor sees them: what they say, and the calls it makes to each. */
import { ConfigRevision_State } from '../../../proto/gen/nest/v1/config.ts';
import type { RolloutRecord } from '../../../proto/gen/nest/v1/rollout.ts';
import { errorCodeOf, toErrorShape } from '../../../proto/model/error.ts';
import type { Envelope } from '../../../proto/model/operator-signature.ts';
import type { RolloutHost } from '../../bridge/model.ts';
import type { AgentClient } from '../../grpc/api.ts';
import { isCancelled } from '../../lib/api.ts';
import type { Clock } from '../../lib/api.ts';
import type { HostRoster } from '../hosts/host-roster.ts';
import type { ManagedHost } from '../hosts/managed-host.ts';
import { planHost } from '../policy/planner.ts';
import { returnToRevision } from '../policy/return-to-revision.ts';
import { applyStep, confirmStep, inquire, undoStep } from '../policy/rollout-steps.ts';
import type { HostChange } from '../policy/rollout-steps.ts';
import type { HostView } from './rollout-gates.ts';

export interface ApplyRequest {
  readonly planHash: string;
  readonly policy: string;
  readonly transactionId: string;
  readonly confirmWithinSeconds: number;
  readonly comment: string;
  readonly conducted: { readonly rolloutId: string; readonly term: number };
}

export interface HostPlanned {
  readonly planHash: string;
  readonly baseRevision: number;
  /** What the host will report as its tables. */
  readonly generation: string;
}

export type Problem = NonNullable<RolloutHost['problem']>;

/** What is known about a change that waits, or waited, on a host. */
export interface Waiting {
  readonly revision: number | null;
  readonly baseRevision: number | null;
  readonly generation: string;
  readonly transactionId: string;
  readonly rollbackAt: number | null;
}

/** Calls end in what is then known, and raise nothing but CANCELLED; `put` raises what the host says. */
export interface RolloutHosts {
  isLive(hostId: string): boolean;
  /** Null when nothing is known now. */
  view(hostId: string): HostView | null;
  put(hostId: string, record: { readonly plan: Envelope | null; readonly state: Envelope }, signal: AbortSignal): Promise<void>;
  plan(hostId: string, policy: string, signal: AbortSignal): Promise<HostPlanned | Problem>;
  apply(hostId: string, request: ApplyRequest, signal: AbortSignal): Promise<HostChange>;
  keep(hostId: string, change: Waiting, signal: AbortSignal): Promise<HostChange>;
  undo(hostId: string, change: Waiting, signal: AbortSignal): Promise<HostChange>;
  /** Back to the revision before; null when done, else why not. */
  revert(hostId: string, change: Waiting, signal: AbortSignal): Promise<RolloutHost['problem']>;
  /** Empty when it does not answer. */
  inquire(hostId: string, change: Waiting, signal: AbortSignal): Promise<HostChange>;
  /** Records of one rollout with its plan, or of all without ("" = all); none when the host does not answer. */
  records(hostId: string, rolloutId: string, signal: AbortSignal): Promise<readonly RolloutRecord[]>;
}

const removedProblem = {
  code: 'HOST_UNKNOWN',
  message: 'The host was removed from the fleet. Its own timer decides about a change that waits.',
};
/** A host without any revision goes back to this: what agents enforce before the first. */
const emptyPolicy = '{"apiVersion":"nest/v1","kind":"Policy","defaultAction":"allow","services":[],"mappings":[]}';
const returnConfirmSeconds = 30;

/** Over the connections of the roster. */
export const createRolloutHosts = ({ roster, clock }: { readonly roster: HostRoster; readonly clock: Clock }): RolloutHosts => {
  const step = (hostId: string, transactionId: string, signal: AbortSignal) => ({ host: roster.get(hostId), clock, transactionId, signal });
  const find = (hostId: string): ManagedHost | undefined => {
    try {
      return roster.get(hostId);
    } catch (error) {
      if (errorCodeOf(error) === 'HOST_UNKNOWN') return undefined;
      throw error;
    }
  };
  /** A host that was removed from the fleet meanwhile does not answer any more. */
  const unlessRemoved = async (hostId: string, work: () => Promise<HostChange>): Promise<HostChange> =>
    find(hostId) === undefined ? { state: 'unreachable', rollbackAt: null, problem: removedProblem } : work();
  return {
    isLive: (hostId) => find(hostId)?.isLive ?? false,
    view: (hostId) => viewOf(find(hostId)),
    put: async (hostId, record, signal) => {
      const client = await roster.get(hostId).client(signal);
      await client.putRolloutRecord({ plan: record.plan ?? undefined, state: record.state }, { signal });
    },
    plan: async (hostId, policy, signal) => {
      const { plan, generation } = await planHost(roster.get(hostId), policy, { signal });
      const { baseRevision, planHash, canApply, problem, cannotApplyReason } = plan;
      if (planHash !== null && canApply && baseRevision !== null) return { planHash, baseRevision, generation };
      const said = {
        code: 'APPLY_FAILED',
        message: cannotApplyReason ?? 'The host refuses this policy. Look at the problems in its plan.',
      };
      return problem ?? said;
    },
    apply: (hostId, request, signal) => unlessRemoved(hostId, () => applyStep(step(hostId, request.transactionId, signal), request)),
    keep: (hostId, change, signal) =>
      unlessRemoved(hostId, () => confirmStep(step(hostId, change.transactionId, signal), rolloutHostOf(hostId, change))),
    undo: (hostId, change, signal) =>
      unlessRemoved(hostId, () => undoStep(step(hostId, change.transactionId, signal), rolloutHostOf(hostId, change))),
    revert: (hostId, change, signal) => revert(step(hostId, change.transactionId, signal), change),
    inquire: (hostId, change, signal) =>
      inquire(step(hostId, change.transactionId, signal), rolloutHostOf(hostId, change), change.generation),
    records: async (hostId, rolloutId, signal) => {
      try {
        return await (await roster.get(hostId).client(signal, 0)).getRolloutRecords(rolloutId, { signal });
      } catch (error) {
        if (isCancelled(error)) throw error;
        return [];
      }
    },
  };
};

const viewOf = (host: ManagedHost | undefined): HostView | null => {
  const reading = host?.isLive === true ? host.reading : null;
  if (reading === null) return null;
  const { mode, generation, desiredGeneration } = reading.policy;
  return {
    drops: Object.fromEntries(reading.reasons.filter(({ dropped }) => dropped).map(({ reason, packets }) => [reason, packets])),
    criticalWarnings: reading.warnings.filter(({ severity }) => severity === 'critical').map(({ code }) => code),
    isDrifting:
      (mode === 'enforce' && desiredGeneration !== '' && generation !== desiredGeneration) || (reading.drift?.findings.length ?? 0) > 0,
    pendingTransactionId: reading.pendingTransactionId,
    pendingRemainingMs: reading.pendingRemainingMs,
  };
};

const rolloutHostOf = (hostId: string, { revision, baseRevision, rollbackAt }: Waiting): RolloutHost => ({
  hostId,
  hostName: '',
  state: 'pending',
  revision,
  previousRevision: baseRevision,
  rollbackAt,
  loadMs: null,
  problem: null,
});

/** Only when the host still runs the revision of the rollout: somebody's later change is not undone. */
const revert = async (
  {
    host,
    transactionId,
    clock,
    signal,
  }: { readonly host: ManagedHost; readonly transactionId: string; readonly clock: Clock; readonly signal: AbortSignal },
  { revision, baseRevision: known }: Waiting,
): Promise<RolloutHost['problem']> => {
  try {
    const client = await host.client(signal);
    const inForce = await client.getConfig(0, { signal });
    const current = Number(inForce.revision);
    const comment = `Taken back: ${transactionId}`;
    // Another console in charge of the same rollout was faster.
    if (inForce.comment === comment) return null;
    if (current !== revision)
      return { code: 'REVISION_CONFLICT', message: `The host has moved on to revision ${String(current)}: that one is not taken back.` };
    const baseRevision = known ?? (await revisionBefore(client, current, signal));
    if (baseRevision > 0) {
      await returnToRevision(client, { toRevision: baseRevision, transactionId: `${transactionId}-back`, comment, signal });
      return null;
    }
    const { plan } = await planHost(host, emptyPolicy, { signal });
    if (plan.planHash === null) return plan.problem ?? { code: 'APPLY_FAILED', message: 'The host refuses to go back. Look into its log.' };
    const context = { host, clock, transactionId: `${transactionId}-back`, signal };
    const request = { planHash: plan.planHash, policy: emptyPolicy, confirmWithinSeconds: returnConfirmSeconds, comment };
    const applied = await applyStep(context, request);
    const kept =
      applied.state === 'pending'
        ? await confirmStep(context, {
            ...rolloutHostOf('', {
              revision: applied.revision ?? null,
              baseRevision,
              generation: '',
              transactionId,
              rollbackAt: applied.rollbackAt ?? null,
            }),
          })
        : applied;
    return kept.state === 'confirmed'
      ? null
      : (kept.problem ?? { code: 'APPLY_FAILED', message: 'The host did not go back. Look into its log.' });
  } catch (error) {
    if (isCancelled(error)) throw error;
    const { code, message } = toErrorShape(error);
    return { code, message };
  }
};

/** The newest that was in force before; 0 when there was none. */
const revisionBefore = async (client: AgentClient, revision: number, signal: AbortSignal): Promise<number> => {
  const earlier = (await client.listRevisions({ signal })).filter((one) => Number(one.revision) < revision);
  const [before] = earlier.filter(({ state }) => state === ConfigRevision_State.SUPERSEDED || state === ConfigRevision_State.CONFIRMED);
  return Number(before?.revision ?? 0n);
};
