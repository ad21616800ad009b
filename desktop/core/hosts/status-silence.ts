/** When a host that sends no status is taken for dead: judged by what this console could have heard, not by its clock alone. */
import { statusHeartbeatMs } from '../../../proto/model/limits.ts';
import { NestError } from '../../../proto/model/error.ts';
import type { Clock } from '../../lib/api.ts';

/** Without a status for so long the connection is taken for dead. */
export const statusSilenceMaxMs = 2 * statusHeartbeatMs + 1_000;
/** A timer that comes so late says that this console was held up. */
const heldUpMs = 1_000;

export interface StatusSilence {
  /** A status came. */
  heard(): void;
  /** Ends by failing: TIMED_OUT after a silence, CANCELLED when the signal aborts. One timer for a connection, not one for each status. */
  watch(signal: AbortSignal): Promise<never>;
}

/** Begins to count now. */
export const createStatusSilence = (clock: Pick<Clock, 'monotonicMs' | 'sleep'>): StatusSilence => {
  let heardMs = clock.monotonicMs();
  return {
    heard: () => {
      heardMs = clock.monotonicMs();
    },
    watch: async (signal) => {
      for (;;) {
        const dueMs = heardMs + statusSilenceMaxMs;
        const leftMs = dueMs - clock.monotonicMs();
        if (leftMs <= 0) break;
        await clock.sleep(leftMs, signal);
        // Who was too busy to look at the time did not read either: what was said meanwhile still has to be heard.
        const lateMs = clock.monotonicMs() - dueMs;
        if (lateMs > heldUpMs) heardMs = Math.max(heardMs, clock.monotonicMs() - statusSilenceMaxMs + statusHeartbeatMs);
      }
      throw new NestError('TIMED_OUT', `No status for ${String(statusSilenceMaxMs / 1000)} s. The connection is made anew.`);
    },
  };
};
