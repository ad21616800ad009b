/** Hosts and enrolments, as the bridge asks for them. With all agents gone everything still answers, from the cache and with its age. */
import { toErrorShape } from '../../../proto/model/error.ts';
import { agentPortDefault } from '../../../proto/model/limits.ts';
import type { BridgeHandlers } from '../../bridge/contract.ts';
import type { FlowList, HostCounters } from '../../bridge/model.ts';
import { isCancelled } from '../../lib/api.ts';
import type { AgentClient } from '../../grpc/api.ts';
import type { DocumentKind } from '../cache/fleet-cache.ts';
import type { HandlerContext } from '../handler-context.ts';
import { filterFlows } from './flow-filter.ts';
import { countersOf, flowListOf } from './wire-model.ts';

/** Streams of samples and of the fleet tick so often. */
const tickMs = 1_000;
const flowsDefault = 200;

type Handled = Extract<keyof BridgeHandlers, `host.${string}` | `hosts.${string}` | `enrollment.${string}`>;

export const hostHandlers = (context: HandlerContext): Pick<BridgeHandlers, Handled> => ({
  ...fleetHandlers(context),
  ...enrollmentHandlers(context),
  ...oneHostHandlers(context),
});

const fleetHandlers = ({ roster, clock }: HandlerContext): Pick<BridgeHandlers, Extract<Handled, `hosts.${string}`>> => ({
  'hosts.list': () => Promise.resolve(roster.all.map((host) => host.row())),
  'hosts.watch': async function* (_input, signal) {
    while (!signal.aborted) {
      yield { at: clock.now(), hosts: roster.all.map((host) => host.row()) };
      await clock.sleep(tickMs, signal).catch(() => undefined);
    }
  },
  'hosts.rename': ({ hostId, name, labels }) => attempt(() => roster.rename(hostId, { name, labels })),
  'hosts.remove': async ({ hostId }) => {
    await roster.remove(hostId);
    return null;
  },
});

const enrollmentHandlers = ({ keeper }: HandlerContext): Pick<BridgeHandlers, Extract<Handled, `enrollment.${string}`>> => ({
  'enrollment.begin': async ({ name, address, port, labels }) =>
    (await keeper.session()).desk.begin({ name, address, port: port ?? agentPortDefault, labels: labels ?? [] }),
  'enrollment.list': async () => (await keeper.session()).desk.list(),
  'enrollment.watch': async function* ({ enrollmentId }, signal) {
    yield* (await keeper.session()).desk.watch(enrollmentId, signal);
  },
  'enrollment.approve': async ({ enrollmentId }, signal) => (await keeper.session()).desk.approve(enrollmentId, signal),
  'enrollment.cancel': async ({ enrollmentId }) => (await keeper.session()).desk.cancel(enrollmentId),
});

const oneHostHandlers = (context: HandlerContext): Pick<BridgeHandlers, Extract<Handled, `host.${string}`>> => {
  const { roster, clock } = context;
  return {
    'host.get': ({ hostId }) => attempt(() => roster.get(hostId).detail()),
    'host.watch': async function* ({ hostId }, signal) {
      const host = roster.get(hostId);
      // A host that has never said anything has no sample to begin with.
      for await (const _change of host.changes(signal)) if (host.sample() !== null) break;
      while (!signal.aborted) {
        const sample = host.sample();
        if (sample !== null) yield sample;
        await clock.sleep(tickMs, signal).catch(() => undefined);
      }
    },
    'host.counters': ({ hostId }, signal) =>
      liveOrKept<HostCounters>(
        context,
        { hostId, kind: 'counters', read: async (client) => countersOf(await client.getCounters({ signal }), clock.now()) },
        signal,
      ),
    'host.flows': async ({ hostId, ...query }, signal) => {
      const limit = query.limit ?? flowsDefault;
      const filter = { address: query.address ?? '', port: query.port ?? 0, mapping: query.mapping ?? '', verdict: query.verdict ?? '' };
      const list = await liveOrKept<FlowList>(
        context,
        {
          hostId,
          kind: 'flows',
          read: async (client) =>
            flowListOf(await client.listFlows({ filter, limit, windowSeconds: query.windowSeconds ?? 0 }, { signal }), clock.now()),
        },
        signal,
      );
      return list.live ? list : filterFlows(list, { ...filter, limit, windowSeconds: query.windowSeconds ?? 0 });
    },
  };
};

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

/** A synchronous answer as a promise that also carries what was raised. */
const attempt = async <Result>(work: () => Result): Promise<Result> => Promise.resolve(work());
