/** Hosts and enrolments, as the bridge asks for them. With all agents gone everything still answers, from the cache and with its age. */
import { agentPortDefault } from '../../../proto/model/limits.ts';
import type { BridgeHandlers } from '../../bridge/contract.ts';
import { changedHostLabels, checkedHostLabels } from '../../bridge/host-label.ts';
import type { HostLabelChange } from '../../bridge/host-label.ts';
import type { HostCounters, HostRow } from '../../bridge/model.ts';
import type { HandlerContext } from '../handler-context.ts';
import type { HostRoster } from './host-roster.ts';
import { liveOrKept } from './live-or-kept.ts';
import { trafficHandlers } from './traffic-handlers.ts';
import type { TrafficMethod } from './traffic-handlers.ts';
import { countersOf } from './wire-model.ts';

/** Streams of samples and of the fleet tick so often. */
const tickMs = 1_000;

type Handled = Extract<keyof BridgeHandlers, `host.${string}` | `hosts.${string}` | `enrollment.${string}`>;

export const hostHandlers = (context: HandlerContext): Pick<BridgeHandlers, Handled> => ({
  ...fleetHandlers(context),
  ...enrollmentHandlers(context),
  ...oneHostHandlers(context),
  ...trafficHandlers(context),
});

const fleetHandlers = ({ roster, clock }: HandlerContext): Pick<BridgeHandlers, Extract<Handled, `hosts.${string}`>> => ({
  'hosts.list': () => Promise.resolve(roster.all.map((host) => host.row())),
  'hosts.watch': async function* (_input, signal) {
    while (!signal.aborted) {
      yield { at: clock.now(), hosts: roster.all.map((host) => host.row()) };
      await clock.sleep(tickMs, signal).catch(() => undefined);
    }
  },
  'hosts.rename': ({ hostId, name, labels }) => attempt(() => roster.rename(hostId, { name, labels: checkedHostLabels(labels) })),
  'hosts.label': ({ hostIds, ...change }) => attempt(() => labelHosts(roster, hostIds, change)),
  'hosts.remove': async ({ hostId }) => {
    await roster.remove(hostId);
    return null;
  },
});

const enrollmentHandlers = ({ keeper }: HandlerContext): Pick<BridgeHandlers, Extract<Handled, `enrollment.${string}`>> => ({
  'enrollment.begin': async ({ name, address, port, labels, hostName, cluster }) => {
    const { desk, license } = await keeper.session();
    await license.settle();
    return desk.begin({ name, address, port: port ?? agentPortDefault, labels: checkedHostLabels(labels ?? []), hostName, cluster });
  },
  'enrollment.list': async () => (await keeper.session()).desk.list(),
  'enrollment.watch': async function* ({ enrollmentId }, signal) {
    yield* (await keeper.session()).desk.watch(enrollmentId, signal);
  },
  'enrollment.approve': async ({ enrollmentId }, signal) => (await keeper.session()).desk.approve(enrollmentId, signal),
  'enrollment.cancel': async ({ enrollmentId }) => (await keeper.session()).desk.cancel(enrollmentId),
});

const oneHostHandlers = (context: HandlerContext): Pick<BridgeHandlers, Exclude<Extract<Handled, `host.${string}`>, TrafficMethod>> => {
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
  };
};

/** All or none: what one host cannot take is found before any is changed. Raises HOST_UNKNOWN, INPUT_INVALID. */
const labelHosts = (roster: HostRoster, hostIds: readonly string[], change: HostLabelChange): readonly HostRow[] => {
  const changed = [...new Set(hostIds)].map((hostId) => {
    const { labels } = roster.get(hostId).record;
    return { hostId, labels: changedHostLabels(labels, change) };
  });
  return changed.map(({ hostId, labels }) => roster.relabel(hostId, labels));
};

/** A synchronous answer as a promise that also carries what was raised. */
const attempt = async <Result>(work: () => Result): Promise<Result> => Promise.resolve(work());
