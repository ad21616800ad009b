/** What a host may cost grows with how few there are: periods of background work stretch with the fleet, so that its sum stays the same. */
import { createGate } from '../../lib/api.ts';
import type { Gate } from '../../lib/api.ts';

/** The last sample goes to disk so often at most: a crash loses no more. */
const samplePersistMs = 5_000;
/** Samples of the whole fleet that go to disk in a second. */
const samplesPersistedPerSecond = 50;
/** Counters, flows and revisions are taken into the cache so often, for when the host is gone. */
const documentsRefreshMs = 30_000;
/** Hosts whose documents are taken in a second; a slow one holds up only its place. */
const refreshesPerSecond = 2;
const refreshesInFlightMax = 4;
const refreshesWaitingMax = 100_000;

export interface FleetPace {
  readonly samplePersistMs: number;
  readonly documentsRefreshMs: number;
  /** Documents are taken through it. */
  readonly refreshes: Gate;
  /** True while hosts wait for a handshake: whatever can wait does. */
  readonly isConnecting: boolean;
}

/** The pace of a fleet whose size and handshakes may change any time. */
export const createFleetPace = (fleet: { readonly hostCount: () => number; readonly handshakes: Pick<Gate, 'waiting'> }): FleetPace => {
  const refreshes = createGate({ inFlightMax: refreshesInFlightMax, waitingMax: refreshesWaitingMax });
  return {
    get samplePersistMs() {
      return Math.max(samplePersistMs, (fleet.hostCount() / samplesPersistedPerSecond) * 1000);
    },
    get documentsRefreshMs() {
      return Math.max(documentsRefreshMs, (fleet.hostCount() / refreshesPerSecond) * 1000);
    },
    refreshes,
    get isConnecting() {
      return fleet.handshakes.waiting > 0;
    },
  };
};
