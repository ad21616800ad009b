import { NestError } from '../../../proto/model/error.ts';
import type { ConfigRevision } from '../../../proto/gen/nest/v1/config.ts';
import type { AgentClient } from '../../grpc/api.ts';

/** How long the host waits for the word that follows at once, seconds: long enough for a retry on a slow line. */
const confirmWithinSeconds = 30;
const applyDeadlineMs = 40_000;
/** Nobody looks at the effect of a return: the shortest replay. */
const flowWindowMinutes = 1;

/**
 * Makes an older document current as a new revision, under the host's dead-man timer: planned, applied and confirmed over
 * this very connection, so that a revision that cuts it off is taken back by the host. Raises what the host raises.
 */
export const returnToRevision = async (
  client: AgentClient,
  request: { readonly toRevision: number; readonly transactionId: string; readonly signal: AbortSignal },
): Promise<ConfigRevision> => {
  const { toRevision, transactionId, signal } = request;
  const [current, old] = [await client.getConfig(0, { signal }), await client.getConfig(toRevision, { signal })];
  const { policyJson } = old;
  const plan = await client.planConfig({ baseRevision: current.revision, policyJson, flowWindowMinutes }, { signal });
  if (!plan.canApply || plan.planHash === '') {
    throw new NestError(
      'APPLY_FAILED',
      plan.cannotApplyReason || 'The host cannot take that revision any more. Open it in the editor and review it.',
    );
  }
  const applied = await client.applyConfig(
    { planHash: plan.planHash, transactionId, confirmWithinSeconds, comment: `Back to revision ${String(toRevision)}`, policyJson },
    { signal, deadlineMs: applyDeadlineMs },
  );
  return client.confirmConfig({ revision: applied.config?.revision ?? 0n, transactionId }, { signal });
};
