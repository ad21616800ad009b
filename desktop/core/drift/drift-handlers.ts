/** Drift of hosts, as the bridge asks for it. */
import { DriftMode as WireMode } from '../../../proto/gen/nest/v1/config.ts';
import type { DriftStatus } from '../../../proto/gen/nest/v1/config.ts';
import { NestError } from '../../../proto/model/error.ts';
import type { BridgeHandlers } from '../../bridge/contract.ts';
import type { HostDrift } from '../../bridge/change-model.ts';
import type { HandlerContext } from '../handler-context.ts';
import { driftOf } from './drift-model.ts';

type Handled = Extract<keyof BridgeHandlers, `drift.${string}`>;

/** The kernel is read whole: that takes a moment on a host with large tables. */
const deadlineMs = 25_000;

export const driftHandlers = ({ roster }: HandlerContext): Pick<BridgeHandlers, Handled> => ({
  'drift.list': () =>
    Promise.resolve(
      roster.all.map((host) => ({
        hostId: host.record.hostId,
        hostName: host.record.name,
        drift: host.reading?.drift ?? null,
        live: host.isLive,
      })),
    ),
  'drift.check': async ({ hostId }, signal) => {
    const { drift } = await (await roster.get(hostId).client(signal)).checkDrift({ signal, deadlineMs });
    return told(drift);
  },
  'drift.mode': async ({ hostId, mode }, signal) => {
    const wire = mode === 'heal' ? WireMode.HEAL : WireMode.REPORT;
    const { drift } = await (await roster.get(hostId).client(signal)).setDriftMode(wire, { signal, deadlineMs });
    return told(drift);
  },
});

const told = (drift: DriftStatus | undefined): HostDrift => {
  if (drift !== undefined) return driftOf(drift);
  throw new NestError('INTERNAL', 'The agent left out what was asked for. Upgrade the agent of the host.');
};
