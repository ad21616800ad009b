/** Three-way merges of a draft with what another operator has applied meanwhile, as the bridge asks for them. */
import { NestError } from '../../../proto/model/error.ts';
import type { BridgeHandlers } from '../../bridge/contract.ts';
import type { PolicyMerge } from '../../bridge/merge-model.ts';
import type { AgentClient } from '../../grpc/api.ts';
import type { HandlerContext } from '../handler-context.ts';
import { revisionOf } from '../hosts/wire-model.ts';
import { checkPolicy } from '../policy/policy-check.ts';
import { mergePolicies } from './three-way.ts';

type Handled = Extract<keyof BridgeHandlers, 'policy.merge'>;

/** What a host enforces before its first revision. */
const firstPolicy = '{"apiVersion":"nest/v1","kind":"Policy","defaultAction":"allow","services":[],"mappings":[]}';

export const mergeHandlers = ({ roster, clock }: HandlerContext): Pick<BridgeHandlers, Handled> => ({
  'policy.merge': async ({ hostId, baseRevision, policy, choices }, signal): Promise<PolicyMerge> => {
    const host = roster.get(hostId);
    const client = await host.client(signal);
    const current = await client.getConfig(0, { signal });
    const base = await baseOf(client, baseRevision, signal);
    const merged = mergePolicies({ base, ours: policy, theirs: current.policyJson, choices: choices ?? {} });
    const { revision, author, createdAt, comment } = revisionOf(hostId, current, clock.now());
    return {
      hostId,
      hostName: host.record.name,
      theirs: { baseRevision, revision, author, createdAt, comment },
      ...merged,
      unresolved: merged.conflicts.filter(({ choice }) => choice === null).length,
      problems: checkPolicy(merged.policy, clock).problems,
    };
  },
});

const baseOf = async (client: AgentClient, revision: number, signal: AbortSignal): Promise<string> => {
  if (revision === 0) return firstPolicy;
  const { policyJson } = await client.getConfig(revision, { signal });
  if (policyJson !== '') return policyJson;
  throw new NestError(
    'REVISION_UNKNOWN',
    `The host does not keep revision ${String(revision)} any more. Make the change on its current policy.`,
  );
};
