import type { Clock } from '../../lib/clock.ts';

export interface WantedPort {
  readonly name: string;
  readonly index: number;
  readonly queues: number;
  /** Who judges while no process does: the kernel's verdict, or nobody. */
  readonly fallback: 'xdp' | 'pass';
}

export type PortStanding =
  | { readonly state: 'opening' | 'serving' }
  /** covered: its packet program is still there and falls back. lost: nothing is there. refused: the process does not take it. */
  | { readonly state: 'covered' | 'lost' | 'refused'; readonly reason: string };

/** How each port of one process stands. */
export interface PortBook {
  of(name: string): PortStanding | null;
  set(name: string, standing: PortStanding): void;
  /** It is tried again after a growing pause, a limited number of times. */
  refuse(name: string, reason: string): void;
  isDue(name: string): boolean;
  forget(name: string): void;
  /** Forgets what went wrong before. */
  forgive(name: string): void;
  keepOnly(names: readonly string[]): void;
}

export const portTriesMax = 3;
const retryFirstMs = 10_000;

/** A book without entries. */
export const createPortBook = (clock: Clock): PortBook => {
  const standings = new Map<string, PortStanding>();
  const refusals = new Map<string, { readonly tries: number; readonly dueMs: number }>();
  return {
    of: (name) => standings.get(name) ?? null,
    set: (name, standing) => {
      standings.set(name, standing);
      if (standing.state === 'serving') refusals.delete(name);
    },
    refuse: (name, reason) => {
      const tries = (refusals.get(name)?.tries ?? 0) + 1;
      const dueMs = tries >= portTriesMax ? Infinity : clock.monotonicMs() + retryFirstMs * 2 ** tries;
      refusals.set(name, { tries, dueMs });
      standings.set(name, { state: 'refused', reason });
    },
    isDue: (name) => clock.monotonicMs() >= (refusals.get(name)?.dueMs ?? 0),
    forget: (name) => void standings.delete(name),
    forgive: (name) => void refusals.delete(name),
    keepOnly: (names) => {
      for (const name of [...standings.keys(), ...refusals.keys()]) {
        if (names.includes(name)) continue;
        standings.delete(name);
        refusals.delete(name);
      }
    },
  };
};
