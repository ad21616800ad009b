/** Ends connections of callers who lost their rights: not before their calls were told why, and not much later either. */
import type { Clock } from '../lib/clock.ts';
import type { Connection } from './connections.ts';

/**
 * So long the words are under way: what arrives with the end of a connection may not be read any more, milliseconds. In steps, because the
 * status of a call leaves some turns of the event loop after it was sent, and one turn of a busy agent may take longer than all of this.
 */
const graceMs = 200;
const graceSteps = 4;
/** A call that does not end is not waited for any longer, milliseconds. */
const latestMs = 700;

export interface Cutting {
  /** Ends the connection once none of its calls runs any more. */
  cut(connection: Connection): void;
  /** A call of the connection was told how it ended. */
  told(connection: Connection): void;
}

/** `isBusy` says whether calls of a connection are still to be told. */
export const createCutting = (clock: Clock, isBusy: (connection: Connection) => boolean): Cutting => {
  const waiting = new Set<Connection>();
  const end = ({ socket }: Connection): void => void socket.destroy();
  const wind = (connection: Connection, steps: number): void => {
    if (steps === 0) end(connection);
    else clock.after(graceMs / graceSteps, () => wind(connection, steps - 1));
  };
  const settle = (connection: Connection): void => {
    if (!waiting.has(connection) || isBusy(connection)) return;
    waiting.delete(connection);
    wind(connection, graceSteps);
  };
  return {
    cut: (connection) => {
      if (waiting.has(connection)) return;
      waiting.add(connection);
      clock.after(latestMs, () => {
        if (waiting.delete(connection)) end(connection);
      });
      settle(connection);
    },
    told: settle,
  };
};
