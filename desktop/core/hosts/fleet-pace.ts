/** What a host may cost grows with how few there are: periods of background work stretch with the fleet, so that its sum stays the same. */
import { createGate } from '../../lib/api.ts';
import type { Clock, Gate } from '../../lib/api.ts';

/** The last sample goes to disk so often at most: a crash loses no more. */
const samplePersistMs = 5_000;
/** Samples of the whole fleet that go to disk in a second. */
const samplesPersistedPerSecond = 20;
/** Counters, flows and revisions are taken into the cache so often, for when the host is gone. */
const documentsRefreshMs = 30_000;
/** Hosts whose documents are taken in a second; a slow one holds up only its place. */
const refreshesPerSecond = 2;
const refreshesInFlightMax = 4;
const refreshesWaitingMax = 100_000;
/** Hosts whose audit logs are looked at in a second. */
const checksPerSecond = 50;
/** What can wait waits so long for something urgent, and looks so often whether that is over, milliseconds. */
const hurryMs = 2_000;
const hurryPollMs = 100;
/** Hosts that need not wait for their second: all of a small fleet. */
const burstMax = 16;

export interface FleetPace {
  readonly samplePersistMs: number;
  readonly documentsRefreshMs: number;
  /** Takes the documents of a host when it is its turn. Raises CANCELLED when the signal aborts before. */
  readonly refresh: Turns;
  /** The same for a look at its audit log. */
  readonly check: Turns;
  /** For what must not wait for its second; only a few at once, all the same. */
  readonly checkNow: Turns;
  /** True while hosts wait for a handshake: whatever can wait does. */
  readonly isConnecting: boolean;
  /** Something urgent goes out to all hosts: turns that have not begun wait for a moment. */
  hurry(): void;
}

export type Turns = (work: () => Promise<void>, signal: AbortSignal) => Promise<void>;

/** The pace of a fleet whose size and handshakes may change any time. */
export const createFleetPace = (fleet: {
  readonly hostCount: () => number;
  readonly handshakes: Pick<Gate, 'waiting'>;
  readonly clock: Pick<Clock, 'monotonicMs' | 'sleep'>;
}): FleetPace => {
  const refreshes = createGate({ inFlightMax: refreshesInFlightMax, waitingMax: refreshesWaitingMax });
  let urgentUntilMs = Number.NEGATIVE_INFINITY;
  const turns = (perSecond: number): Turns => {
    const wait = turnsOf(fleet.clock, perSecond);
    return async (work, signal) => {
      await wait(signal);
      while (fleet.clock.monotonicMs() < urgentUntilMs) await fleet.clock.sleep(hurryPollMs, signal);
      await refreshes.run(work, signal);
    };
  };
  return {
    get samplePersistMs() {
      return Math.max(samplePersistMs, (fleet.hostCount() / samplesPersistedPerSecond) * 1000);
    },
    get documentsRefreshMs() {
      return Math.max(documentsRefreshMs, (fleet.hostCount() / refreshesPerSecond) * 1000);
    },
    refresh: turns(refreshesPerSecond),
    check: turns(checksPerSecond),
    checkNow: (work, signal) => refreshes.run(work, signal),
    get isConnecting() {
      return fleet.handshakes.waiting > 0;
    },
    hurry: () => {
      // The work of a few hosts holds up nothing.
      if (fleet.hostCount() > burstMax) urgentUntilMs = fleet.clock.monotonicMs() + hurryMs;
    },
  };
};

/** Waits for the next free turn: so many a second, and `burstMax` at once after a quiet time. A turn that was given up is lost. */
const turnsOf = (clock: Pick<Clock, 'monotonicMs' | 'sleep'>, perSecond: number): ((signal: AbortSignal) => Promise<void>) => {
  const periodMs = 1000 / perSecond;
  let nextMs = Number.NEGATIVE_INFINITY;
  return async (signal) => {
    const nowMs = clock.monotonicMs();
    nextMs = Math.max(nextMs, nowMs - burstMax * periodMs) + periodMs;
    if (nextMs > nowMs) await clock.sleep(nextMs - nowMs, signal);
  };
};
