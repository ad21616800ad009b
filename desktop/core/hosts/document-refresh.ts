/** Takes what an operator will want to read when a host is gone into the cache. */
import type { AgentClient } from '../../grpc/api.ts';
import { throwIfCancelled } from '../../lib/api.ts';
import type { Clock } from '../../lib/api.ts';
import type { FleetCache } from '../cache/fleet-cache.ts';
import { balancerListOf, denyListTableOf } from './balancing-model.ts';
import { countersOf, flowListOf, revisionOf } from './wire-model.ts';

/** Flows kept per host for offline reading. */
export const cachedFlowsMax = 500;
/** Prefixes shown of each deny list that a host keeps. */
export const cachedPrefixesMax = 100;

/** Reads counters, flows, revisions and the current policy and stores what the host gives: one that only observes has no counters. Raises CANCELLED. */
export const refreshDocuments = async (
  context: { readonly client: AgentClient; readonly cache: FleetCache; readonly hostId: string; readonly clock: Clock },
  signal: AbortSignal,
): Promise<void> => {
  const { client, cache, hostId, clock } = context;
  const taken = await Promise.allSettled([
    client.getCounters({ signal }).then((counters) => ({ kind: 'counters' as const, content: countersOf(counters, clock.now()) })),
    client
      .listFlows({ filter: undefined, limit: cachedFlowsMax, windowSeconds: 0 }, { signal })
      .then((flows) => ({ kind: 'flows' as const, content: flowListOf(flows, clock.now()) })),
    client.listBalancers({ signal }).then((balancers) => ({ kind: 'balancers' as const, content: balancerListOf(balancers, clock.now()) })),
    client
      .listDenyLists(cachedPrefixesMax, { signal })
      .then((lists) => ({ kind: 'deny-lists' as const, content: denyListTableOf(lists, clock.now()) })),
    client.listRevisions({ signal }).then((revisions) => ({
      kind: 'revisions' as const,
      content: revisions.map((revision) => revisionOf(hostId, revision, clock.now())),
    })),
    client.getConfig(0, { signal }).then((revision) => ({ kind: 'policy' as const, content: revisionOf(hostId, revision, clock.now()) })),
  ]);
  throwIfCancelled(signal);
  const at = clock.now();
  cache.putDocuments(taken.flatMap((result) => (result.status === 'fulfilled' ? [{ hostId, at, ...result.value }] : [])));
};
