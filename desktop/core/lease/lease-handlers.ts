/** Who edits which host's policy, as the bridge asks for it. */
import { isDeepStrictEqual } from 'node:util';
import type { BridgeHandlers } from '../../bridge/contract.ts';
import type { HostEditors } from '../../bridge/change-model.ts';
import { isCancelled, mapConcurrently, ulidOf } from '../../lib/api.ts';
import type { HandlerContext } from '../handler-context.ts';
import type { ManagedHost } from '../hosts/managed-host.ts';
import { hostsInFlightMax } from '../policy/planner.ts';
import { editorOf } from './lease-model.ts';

type Handled = Extract<keyof BridgeHandlers, `lease.${string}`>;

/** A lease lasts 60 s on the host: two renewals may be lost. */
const renewMs = 15_000;
/** Hosts that are being left are given so long. */
const releaseMs = 2_000;

export const leaseHandlers = ({ roster, clock, random }: HandlerContext): Pick<BridgeHandlers, Handled> => ({
  'lease.list': () =>
    Promise.resolve(
      roster.all.flatMap((host) => {
        const editors = host.isLive ? (host.reading?.editors ?? []) : [];
        return editors.length === 0 ? [] : [{ hostId: host.record.hostId, hostName: host.record.name, editors }];
      }),
    ),
  'lease.hold': async function* ({ hostIds }, signal) {
    const leaseId = ulidOf(clock.now(), random);
    const hosts = hostIds.map((hostId) => roster.get(hostId));
    let last: readonly HostEditors[] | null = null;
    try {
      while (!signal.aborted) {
        const now = await mapConcurrently(hosts, hostsInFlightMax, (host) => renew(host, leaseId, signal));
        const others = now.filter(({ editors }) => editors.length > 0);
        if (!isDeepStrictEqual(others, last)) yield others;
        last = others;
        await clock.sleep(renewMs, signal).catch(() => undefined);
      }
    } finally {
      await mapConcurrently(hosts, hostsInFlightMax, (host) => release(host, leaseId));
    }
  },
});

/** Who else edits the host. A host that does not answer, or is too old to tell, has nobody: leases are advice. */
const renew = async (host: ManagedHost, leaseId: string, signal: AbortSignal): Promise<HostEditors> => {
  const { hostId, name: hostName } = host.record;
  try {
    const leases = await (await host.client(signal, 0)).holdEditLease({ leaseId, release: false }, { signal });
    return { hostId, hostName, editors: leases.filter((lease) => lease.leaseId !== leaseId).map(editorOf) };
  } catch (error) {
    if (isCancelled(error) && !signal.aborted) throw error;
    return { hostId, hostName, editors: [] };
  }
};

const release = async (host: ManagedHost, leaseId: string): Promise<void> => {
  const signal = AbortSignal.timeout(releaseMs);
  try {
    await (await host.client(signal, 0)).holdEditLease({ leaseId, release: true }, { signal });
  } catch {
    // It ends by itself within a minute.
  }
};
