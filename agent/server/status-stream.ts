/** What one reader of a host's statuses is sent, and when. */
import type { HostDescription, HostStatus, WatchStatusResponse } from '../../proto/gen/nest/v1/host.ts';
import { statusHeartbeatMs } from '../../proto/model/limits.ts';
import { deltaBetween, isQuiet } from '../../proto/model/status-delta.ts';
import type { Clock } from '../lib/clock.ts';
import type { Outlet } from './call-adapter.ts';

/** Statuses a slow reader may be behind before it misses the oldest: five seconds' worth. */
export const queueMax = 5;

/** What a reader is told of a state; null = nothing. */
export type Telling = (status: HostStatus, lost: number) => WatchStatusResponse | null;

/** Tells each state as soon as the one before has left. Never waits: who is too slow misses the oldest, and is told how many. */
export const statusesInto = (outlet: Outlet<WatchStatusResponse>, tell: Telling): ((status: HostStatus) => void) => {
  const queue: HostStatus[] = [];
  let isBusy = false;
  let lost = 0;
  const left = (): void => {
    isBusy = false;
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) if (send(next)) return;
  };
  /** False when there is nothing to say of it. */
  const send = (status: HostStatus): boolean => {
    const message = tell(status, lost);
    if (message === null) return false;
    isBusy = true;
    outlet.write(message, left);
    return true;
  };
  return (status) => {
    if (!isBusy) {
      send(status);
      return;
    }
    queue.push(status);
    if (queue.length <= queueMax) return;
    queue.shift();
    lost += 1;
  };
};

/** Each state in full; the description goes with the first. */
export const wholeStatuses = (description?: HostDescription): Telling => {
  let sequence = 0n;
  return (status, lost) => {
    sequence += 1n;
    return { position: { sequence, lost: BigInt(lost) }, status, description: sequence === 1n ? description : undefined };
  };
};

/** What changed since the last message; the whole state first, and whenever more than counters changed. */
export const statusDeltas = (clock: Pick<Clock, 'monotonicMs'>, description?: HostDescription): Telling => {
  let sequence = 0n;
  let sent: HostStatus | null = null;
  let sentMs = 0;
  return (status, lost) => {
    const delta = sent === null ? null : deltaBetween(sent, status);
    const nowMs = clock.monotonicMs();
    if (sent !== null && delta !== null && isQuiet(sent, delta) && nowMs - sentMs < statusHeartbeatMs - tickSlackMs) return null;
    sequence += 1n;
    sent = status;
    sentMs = nowMs;
    const position = { sequence, lost: BigInt(lost) };
    return delta === null ? { position, status, description: sequence === 1n ? description : undefined } : { position, delta };
  };
};

/** Readings do not come to the millisecond: a heartbeat that is nearly due leaves with this one. */
const tickSlackMs = 500;
