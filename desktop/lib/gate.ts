/** Bounded concurrency: at most so many at work, the rest in a bounded line. */
import { NestError } from '../../proto/model/error.ts';
import { cancelled, throwIfCancelled } from './clock.ts';

export interface Gate {
  /**
   * Runs `work` when a place is free. Raises LIMIT_REACHED when the line is full, CANCELLED when the signal aborts while waiting. Work that
   * only waits from now on may `leave` early: the next in line takes its place.
   */
  run<Result>(work: (leave: () => void) => Promise<Result>, signal: AbortSignal): Promise<Result>;
  readonly inFlight: number;
  readonly waiting: number;
}

/** A gate with `inFlightMax` places and a first-come line of at most `waitingMax`. */
export const createGate = (limits: { readonly inFlightMax: number; readonly waitingMax: number }): Gate => {
  let inFlight = 0;
  const line = new Set<() => void>();
  const enter = async (signal: AbortSignal): Promise<void> => {
    throwIfCancelled(signal);
    if (inFlight < limits.inFlightMax) {
      inFlight += 1;
      return;
    }
    if (line.size >= limits.waitingMax)
      throw new NestError('LIMIT_REACHED', 'Too much is waiting already. Try again when it has become less.', {
        details: { waiting: line.size },
      });
    await new Promise<void>((resolve, reject) => {
      const leave = (): void => {
        line.delete(turn);
        reject(cancelled(signal.reason));
      };
      // The place is handed over, not released: nobody can overtake the line.
      const turn = (): void => {
        signal.removeEventListener('abort', leave);
        resolve();
      };
      line.add(turn);
      signal.addEventListener('abort', leave, { once: true });
    });
  };
  const exit = (): void => {
    const [next] = line;
    if (next === undefined) {
      inFlight -= 1;
      return;
    }
    line.delete(next);
    next();
  };
  return {
    run: async (work, signal) => {
      await enter(signal);
      let isInside = true;
      const leave = (): void => {
        if (isInside) exit();
        isInside = false;
      };
      try {
        return await work(leave);
      } finally {
        leave();
      }
    },
    get inFlight() {
      return inFlight;
    },
    get waiting() {
      return line.size;
    },
  };
};

/** Applies `work` to every item, at most `inFlightMax` at once; results in the order of the items. The first failure is raised after all have settled. */
export const mapConcurrently = async <Item, Result>(
  items: readonly Item[],
  inFlightMax: number,
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> => {
  const results: PromiseSettledResult<Result>[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let index = next++; index < items.length; index = next++) {
      const item = items[index] as Item;
      results[index] = await work(item).then(
        (value) => ({ status: 'fulfilled', value }) as const,
        (reason: unknown) => ({ status: 'rejected', reason }) as const,
      );
    }
  };
  await Promise.all(Array.from({ length: Math.min(inFlightMax, items.length) }, lane));
  return results.map((result) => {
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  });
};
