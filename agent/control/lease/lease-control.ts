import { NestError } from '../../../proto/model/error.ts';
import type { Clock } from '../../lib/clock.ts';
import type { EditLease, LeaseControl, LeaseHolder } from './api.ts';

/** How long a lease lasts without being renewed. */
export const leaseMs = 60_000;
/** Editors of one host at a time. */
const leasesMax = 32;

interface Held extends LeaseHolder {
  readonly sinceMs: number;
  readonly endsMs: number;
}

/** No leases yet. They last by monotonic time: a clock that is set moves none. */
export const createLeaseControl = (clock: Clock): LeaseControl => {
  const held = new Map<string, Held>();
  const keyOf = ({ device, leaseId }: LeaseHolder): string => `${device}/${leaseId}`;
  const prune = (): void => {
    for (const [key, { endsMs }] of held) if (endsMs <= clock.monotonicMs()) held.delete(key);
  };
  return {
    hold: (holder) => {
      prune();
      const key = keyOf(holder);
      const before = held.get(key);
      if (before === undefined && held.size >= leasesMax)
        throw new NestError('LIMIT_REACHED', `${String(leasesMax)} editors are open for this host already. Close some of them.`);
      const { leaseId, subject, device } = holder;
      held.set(key, { leaseId, subject, device, sinceMs: before?.sinceMs ?? clock.nowMs(), endsMs: clock.monotonicMs() + leaseMs });
    },
    release: (holder) => void held.delete(keyOf(holder)),
    list: () => {
      prune();
      const leftOf = ({ endsMs }: Held): number => Math.ceil(endsMs - clock.monotonicMs());
      return [...held.values()].map((each): EditLease => ({
        leaseId: each.leaseId,
        subject: each.subject,
        device: each.device,
        sinceMs: each.sinceMs,
        expiresAtMs: clock.nowMs() + leftOf(each),
      }));
    },
  };
};
