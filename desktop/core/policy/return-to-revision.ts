import type { ConfigRevision } from '../../../proto/gen/nest/v1/config.ts';
import type { AgentClient } from '../../grpc/api.ts';

/** How long the host waits for the word that follows at once, seconds: long enough for a retry on a slow line. */
const confirmWithinSeconds = 30;
const deadlineMs = 40_000;

/**
 * Makes an older document current as a new revision, under the host's dead-man timer: made current and confirmed over this very
 * connection, so that a revision that cuts it off is taken back by the host. Raises what the host raises.
 */
export const returnToRevision = async (
  client: AgentClient,
  request: { readonly toRevision: number; readonly transactionId: string; readonly comment?: string; readonly signal: AbortSignal },
): Promise<ConfigRevision> => {
  const { toRevision, transactionId, signal, comment = `Back to revision ${String(toRevision)}` } = request;
  const { config } = await client.rollbackConfig(
    { toRevision: BigInt(toRevision), transactionId, confirmWithinSeconds, comment },
    { signal, deadlineMs },
  );
  return client.confirmConfig({ revision: config?.revision ?? 0n, transactionId, withoutDocument: false }, { signal });
};
