/** Answers that a host gives while it is there, and the cache when it is not. */
import { toErrorShape } from '../../../proto/model/error.ts';
import type { AgentClient } from '../../grpc/api.ts';
import { isCancelled } from '../../lib/api.ts';
import type { DocumentKind } from '../cache/fleet-cache.ts';
import type { HandlerContext } from '../handler-context.ts';

/** Asks the host; when it is not there, what was last kept. Raises what the host said, or why it is not there when nothing is kept. */
export const liveOrKept = async <Content extends { readonly live: boolean }>(
  { roster, cache }: HandlerContext,
  question: { readonly hostId: string; readonly kind: DocumentKind; readonly read: (client: AgentClient) => Promise<Content> },
  signal: AbortSignal,
): Promise<Content> => {
  const host = roster.get(question.hostId);
  try {
    return await question.read(await host.client(signal));
  } catch (error) {
    if (isCancelled(error) || !isAbsence(error)) throw error;
    const kept = cache.document<Content>(question.hostId, question.kind);
    if (kept === null) throw error;
    return { ...kept.content, live: false };
  }
};

/** True when an error says that the host, or the key to it, is not there; not when the host refuses. */
export const isAbsence = (error: unknown): boolean =>
  ['HOST_UNREACHABLE', 'TIMED_OUT', 'FLEET_LOCKED', 'FLEET_MISSING', 'CERTIFICATE_INVALID', 'IDENTITY_MISMATCH'].includes(
    toErrorShape(error).code,
  );
