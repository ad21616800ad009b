/** Approvals of mappings, as the bridge asks for them. */
import type { BridgeHandlers } from '../../bridge/contract.ts';
import type { ApprovalRow } from '../../bridge/change-model.ts';
import type { PolicyRevision } from '../../bridge/model.ts';
import { isCancelled, mapConcurrently, ulidOf } from '../../lib/api.ts';
import { operatorSubject } from '../authority/operator-signer.ts';
import type { HandlerContext } from '../handler-context.ts';
import type { ManagedHost } from '../hosts/managed-host.ts';
import { revisionOf } from '../hosts/wire-model.ts';
import { hostsInFlightMax } from '../policy/planner.ts';
import { approvalsOf, inOrder } from './approval-list.ts';

type Handled = Extract<keyof BridgeHandlers, `approval.${string}`>;

/** How long a host waits for the word that follows at once, seconds: long enough for a retry on a slow line. */
const confirmWithinSeconds = 30;
const deadlineMs = 40_000;

export const approvalHandlers = (context: HandlerContext): Pick<BridgeHandlers, Handled> => ({
  'approval.list': async ({ hostIds }, signal) => {
    const { keeper, roster, clock } = context;
    const self = operatorSubject((await keeper.session()).keys).replace(/^spiffe:\/\/[^/]+\//, '');
    const hosts = hostIds === undefined ? roster.all : hostIds.map((hostId) => roster.get(hostId));
    const unknown: string[] = [];
    const found = await mapConcurrently(hosts, hostsInFlightMax, async (host): Promise<readonly ApprovalRow[]> => {
      const policy = await policyOfHost(context, host, signal);
      if (policy === null) {
        unknown.push(host.record.name);
        return [];
      }
      const told = host.isLive && host.reading?.policy.revision === policy.revision ? (host.reading.policy.withheld ?? null) : null;
      return approvalsOf({ hostName: host.record.name, policy, withheld: told, now: clock.now() });
    });
    return { self, rows: inOrder(found.flat()), unknown };
  },
  'approval.approve': async ({ hostId, mapping, revision, comment }, signal) => {
    const { roster, clock, random } = context;
    const client = await roster.get(hostId).client(signal);
    const transactionId = ulidOf(clock.now(), random);
    const request = { mapping, baseRevision: BigInt(revision), transactionId, confirmWithinSeconds, comment: comment ?? '' };
    const { config } = await client.approveMapping(request, { signal, deadlineMs });
    // Over this very connection: an approval that cuts it off is taken back by the host.
    const kept = await client.confirmConfig({ revision: config?.revision ?? 0n, transactionId, withoutDocument: false }, { signal });
    return revisionOf(hostId, kept, clock.now());
  },
});

/** What is kept, when the host says that it still has it; else what it has; null when neither is to be had. */
const policyOfHost = async ({ cache, clock }: HandlerContext, host: ManagedHost, signal: AbortSignal): Promise<PolicyRevision | null> => {
  const { hostId } = host.record;
  const kept = cache.document<PolicyRevision>(hostId, 'policy')?.content ?? null;
  if (kept !== null && host.isLive && host.reading?.policy.revision === kept.revision) return { ...kept, live: true };
  if (kept !== null && host.linkState?.kind !== 'up') return { ...kept, live: false };
  try {
    const policy = revisionOf(hostId, await (await host.client(signal)).getConfig(0, { signal }), clock.now());
    cache.putDocuments([{ hostId, kind: 'policy', at: clock.now(), content: policy }]);
    return policy;
  } catch (error) {
    if (isCancelled(error)) throw error;
    return kept === null ? null : { ...kept, live: false };
  }
};
