/** Numbers that change slowly and look alive, the same for the same seed. */
export interface Walk {
  /** Wanders between the bounds; each name wanders by itself. */
  between(name: string, low: number, high: number): number;
  /** Grows with time by about `perSecond`, never shrinks. */
  total(name: string, elapsedMs: number, perSecond: number): bigint;
}

/** A walk that begins where the seed says. */
export const createWalk = (seed: number): Walk => {
  let state = (seed * 2_654_435_761 + 12_345) >>> 0;
  const positions = new Map<string, number>();
  const totals = new Map<string, { readonly elapsedMs: number; readonly total: number }>();
  const random = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  return {
    between: (name, low, high) => {
      const before = positions.get(name) ?? random();
      const next = Math.min(1, Math.max(0, before + (random() - 0.5) * 0.1));
      positions.set(name, next);
      return low + next * (high - low);
    },
    total: (name, elapsedMs, perSecond) => {
      const before = totals.get(name) ?? { elapsedMs: 0, total: 0 };
      const grown = ((elapsedMs - before.elapsedMs) / 1000) * perSecond * (0.5 + random());
      const total = before.total + Math.max(0, Math.round(grown));
      totals.set(name, { elapsedMs, total });
      return BigInt(total);
    },
  };
};
