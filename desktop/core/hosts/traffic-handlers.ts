/** What a host does with traffic, beyond its policy: flows, balancers, deny lists, engines. Reads answer from the cache when the host is gone. */
import type { BridgeHandlers } from '../../bridge/contract.ts';
import type { BalancerList, DenyListTable, FlowList, FlowSums } from '../../bridge/model.ts';
import { isCancelled } from '../../lib/api.ts';
import type { HandlerContext } from '../handler-context.ts';
import { balancerListOf, denyListTableOf, flowSumsOf, wireFilterOf } from './balancing-model.ts';
import { cachedPrefixesMax } from './document-refresh.ts';
import { filterFlows, sumFlows, wireBy } from './flow-filter.ts';
import { isAbsence, liveOrKept } from './live-or-kept.ts';
import { flowListOf } from './wire-model.ts';

export type TrafficMethod =
  'host.flows' | 'host.flowSums' | 'host.balancers' | 'host.denyLists' | 'host.denyList.update' | 'host.interface.engine';

const flowsDefault = 200;
const sumsDefault = 10;

export const trafficHandlers = (context: HandlerContext): Pick<BridgeHandlers, TrafficMethod> => {
  const { roster, cache, clock } = context;
  return {
    'host.flows': async ({ hostId, ...query }, signal) => {
      const limit = query.limit ?? flowsDefault;
      const request = { filter: wireFilterOf(query), limit, windowSeconds: query.windowSeconds ?? 0 };
      const list = await liveOrKept<FlowList>(
        context,
        { hostId, kind: 'flows', read: async (client) => flowListOf(await client.listFlows(request, { signal }), clock.now()) },
        signal,
      );
      return list.live ? list : filterFlows(list, query, limit);
    },
    'host.flowSums': async ({ hostId, by, limit = sumsDefault, ...query }, signal) => {
      const request = { filter: wireFilterOf(query), by: wireBy[by], limit, windowSeconds: query.windowSeconds ?? 0 };
      try {
        const client = await roster.get(hostId).client(signal);
        return flowSumsOf(await client.summarizeFlows(request, { signal }), clock.now());
      } catch (error) {
        const kept = cache.document<FlowList>(hostId, 'flows');
        if (kept === null || isCancelled(error) || !isAbsence(error)) throw error;
        return sumFlows(filterFlows(kept.content, query, kept.content.flows.length), by, limit) satisfies FlowSums;
      }
    },
    'host.balancers': ({ hostId }, signal) =>
      liveOrKept<BalancerList>(
        context,
        { hostId, kind: 'balancers', read: async (client) => balancerListOf(await client.listBalancers({ signal }), clock.now()) },
        signal,
      ),
    'host.denyLists': ({ hostId }, signal) =>
      liveOrKept<DenyListTable>(
        context,
        {
          hostId,
          kind: 'deny-lists',
          read: async (client) => denyListTableOf(await client.listDenyLists(cachedPrefixesMax, { signal }), clock.now()),
        },
        signal,
      ),
    'host.denyList.update': async ({ hostId, name, add, remove, expiresAt, delete: whole }, signal) => {
      const client = await roster.get(hostId).client(signal);
      const answer = await client.updateDenyList(
        { name, add: [...add], remove: [...remove], expiresAtMs: BigInt(expiresAt ?? 0), delete: whole ?? false },
        { signal },
      );
      return { added: Number(answer.added), removed: Number(answer.removed), prefixes: Number(answer.prefixes) };
    },
    'host.interface.engine': async ({ hostId, interface: name, engine }, signal) => {
      const client = await roster.get(hostId).client(signal);
      const answer = await client.setInterfaceEngine({ interface: name, engine }, { signal });
      return { engine: answer.engine === '' ? null : answer.engine, reason: answer.reason, warning: answer.warning };
    },
  };
};
