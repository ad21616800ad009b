/** Background work with an owner: nothing floats, closing waits for all of it. */
import { isCancelled } from './clock.ts';

export interface TaskGroup {
  /** Aborts when the group closes. */
  readonly signal: AbortSignal;
  /** Starts named work. What it throws, cancellation apart, goes to the group's reporter. */
  start(name: string, work: (signal: AbortSignal) => Promise<void>): void;
  /** Aborts all work and waits for its end. May be called again. */
  close(): Promise<void>;
}

/** A group whose unexpected failures go to `report`. */
export const createTaskGroup = (report: (name: string, error: unknown) => void): TaskGroup => {
  const controller = new AbortController();
  const running = new Set<Promise<void>>();
  return {
    signal: controller.signal,
    start: (name, work) => {
      if (controller.signal.aborted) return;
      const task = work(controller.signal)
        .catch((error: unknown) => {
          if (!isCancelled(error)) report(name, error);
        })
        .finally(() => running.delete(task));
      running.add(task);
    },
    close: async () => {
      controller.abort();
      await Promise.all(running);
    },
  };
};
