/** The calls a rollout makes to one host, each ending in what is then known about that host. */
import { ConfigRevision_State } from '../../../proto/gen/nest/v1/config.ts';
import type { ConfigRevision } from '../../../proto/gen/nest/v1/config.ts';
import { toErrorShape } from '../../../proto/model/error.ts';
import type { NestErrorCode } from '../../../proto/model/error.ts';
import type { RolloutHost } from '../../bridge/model.ts';
import type { AgentClient } from '../../grpc/api.ts';
import { isCancelled } from '../../lib/api.ts';
import type { Clock } from '../../lib/api.ts';
import type { ManagedHost } from '../hosts/managed-host.ts';

export type HostChange = Partial<RolloutHost>;

/** An apply that has not answered by then was probably cut off by itself: the host's timer decides. */
const applyDeadlineMs = 15_000;
/** Pause between attempts to deliver a confirmation or an undo to a host that does not answer. */
const retryPauseMs = 500;
/** Applies sent to a host that broke off; the transaction id makes the repetition harmless. */
const appliesMax = 2;

const unansweredCodes: ReadonlySet<NestErrorCode> = new Set<NestErrorCode>(['HOST_UNREACHABLE', 'TIMED_OUT']);

export interface StepContext {
  readonly host: ManagedHost;
  readonly clock: Clock;
  readonly transactionId: string;
  readonly signal: AbortSignal;
}

/** Applies a planned policy. Never raises but CANCELLED. */
export const applyStep = async (
  context: StepContext,
  request: {
    readonly planHash: string;
    readonly policy: string;
    readonly confirmWithinSeconds: number;
    readonly comment: string;
    /** The staged rollout it belongs to. */
    readonly conducted?: { readonly rolloutId: string; readonly term: number };
  },
): Promise<HostChange> => {
  const { host, clock, signal, transactionId } = context;
  for (let attempt = 1; ; attempt += 1) {
    try {
      const client = await host.client(signal);
      const startedMs = clock.monotonicMs();
      const answer = await client.applyConfig(
        {
          planHash: request.planHash,
          transactionId,
          confirmWithinSeconds: request.confirmWithinSeconds,
          comment: request.comment,
          policyJson: request.policy,
          rolloutId: request.conducted?.rolloutId ?? '',
          rolloutTerm: BigInt(request.conducted?.term ?? 0),
          withoutDocument: true,
        },
        { signal, deadlineMs: applyDeadlineMs },
      );
      const halfTripMs = Math.min(answer.remainingMs, (clock.monotonicMs() - startedMs - answer.loadMs) / 2);
      const rollbackAt = answer.remainingMs === 0 ? null : Math.round(clock.now() + answer.remainingMs - Math.max(0, halfTripMs));
      return { ...changeOf(answer.config), rollbackAt, loadMs: answer.loadMs };
    } catch (error) {
      if (isCancelled(error)) throw error;
      const { code, message } = toErrorShape(error);
      if (!unansweredCodes.has(code)) return { state: 'failed', problem: { code, message } };
      if (code === 'HOST_UNREACHABLE' && attempt < appliesMax) {
        await clock.sleep(retryPauseMs, signal);
        continue;
      }
      const next = `If it got the policy and the policy cut the connection, it takes it back by itself within ${String(request.confirmWithinSeconds)} s.`;
      return { state: 'unreachable', problem: { code, message: `${message} ${next}` } };
    }
  }
};

/** Keeps the pending revision; tries until the host's time is over. Never raises but CANCELLED. */
export const confirmStep = (context: StepContext, pending: RolloutHost): Promise<HostChange> =>
  untilAnswered(context, pending, async (client) => {
    const config = await client.confirmConfig(
      { revision: BigInt(pending.revision ?? 0), transactionId: context.transactionId, withoutDocument: true },
      { signal: context.signal },
    );
    return changeOf(config);
  });

/** Takes the pending revision back now. Never raises but CANCELLED. */
export const undoStep = (context: StepContext, pending: RolloutHost): Promise<HostChange> =>
  untilAnswered(context, pending, async (client) => {
    await client.rollbackConfig(
      { toRevision: 0n, comment: 'on request', confirmWithinSeconds: 0, transactionId: '' },
      { signal: context.signal },
    );
    return { state: 'rolled-back', rollbackAt: null, problem: null };
  });

const untilAnswered = async (
  context: StepContext,
  pending: RolloutHost,
  work: (client: AgentClient) => Promise<HostChange>,
): Promise<HostChange> => {
  const { host, clock, signal } = context;
  for (;;) {
    try {
      return await work(await host.client(signal, retryPauseMs));
    } catch (error) {
      if (isCancelled(error)) throw error;
      const { code, message } = toErrorShape(error);
      const isTimeLeft = pending.rollbackAt !== null && clock.now() + retryPauseMs < pending.rollbackAt;
      if (!unansweredCodes.has(code)) return { ...(await inquire(context, pending, '')), problem: { code, message } };
      if (!isTimeLeft)
        return {
          state: 'unreachable',
          rollbackAt: null,
          problem: { code, message: `${message} Its time is over: it has taken the policy back by itself, unless it got the message.` },
        };
      await clock.sleep(retryPauseMs, signal);
    }
  }
};

/** Asks the host what became of a revision: by its number, or by its generation when the answer to the apply was lost. Empty when it does not answer. */
export const inquire = async ({ host, signal }: StepContext, known: RolloutHost, generation: string): Promise<HostChange> => {
  try {
    const revisions = await (await host.client(signal, retryPauseMs)).listRevisions({ signal });
    const found = revisions.find((revision) =>
      known.revision === null
        ? revision.generation === generation && Number(revision.revision) > (known.previousRevision ?? 0)
        : Number(revision.revision) === known.revision,
    );
    if (found !== undefined) return changeOf(found);
    return {
      state: 'failed',
      rollbackAt: null,
      problem: { code: 'APPLY_FAILED', message: 'The policy did not reach the host. Review and apply it again.' },
    };
  } catch (error) {
    if (isCancelled(error)) throw error;
    return {};
  }
};

/** What a revision's state means for the rollout. */
const changeOf = (config: ConfigRevision | undefined): HostChange => {
  const revision = config === undefined ? null : Number(config.revision);
  switch (config?.state) {
    case ConfigRevision_State.PENDING:
      return { state: 'pending', revision, problem: null };
    case ConfigRevision_State.CONFIRMED:
    case ConfigRevision_State.SUPERSEDED:
      return { state: 'confirmed', revision, rollbackAt: null, problem: null };
    case ConfigRevision_State.ROLLED_BACK:
      return {
        state: 'rolled-back',
        revision,
        rollbackAt: null,
        problem: config.settledReason === '' ? null : { code: 'TIMED_OUT', message: config.settledReason },
      };
    default:
      return {
        state: 'failed',
        revision,
        rollbackAt: null,
        problem: {
          code: 'APPLY_FAILED',
          message: config?.settledReason || 'The host could not apply the policy. Look into the log of its agent.',
        },
      };
  }
};
