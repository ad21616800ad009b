/** Numbers that change slowly and look alive, the same for the same seed. */
export interface Walk {
  /** Wanders between the bounds; each number wanders by itself. */
  between(number: number, low: number, high: number): number;
  /** Grows with time by about `perSecond`, never shrinks. */
  total(number: number, elapsedMs: number, perSecond: number): number;
}

/** Numbers of each kind that a walk has. */
const numbersMax = 16;

/** A walk that begins where the seed says. */
export const createWalk = (seed: number): Walk => {
  let state = (seed * 2_654_435_761 + 12_345) >>> 0;
  const random = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  const positions = Float64Array.from({ length: numbersMax }, random);
  const elapsed = new Float64Array(numbersMax);
  const totals = new Float64Array(numbersMax);
  return {
    between: (number, low, high) => {
      const next = Math.min(1, Math.max(0, (positions[number] ?? 0) + (random() - 0.5) * 0.1));
      positions[number] = next;
      return low + next * (high - low);
    },
    total: (number, elapsedMs, perSecond) => {
      const grown = ((elapsedMs - (elapsed[number] ?? 0)) / 1000) * perSecond * (0.5 + random());
      const total = (totals[number] ?? 0) + Math.max(0, Math.round(grown));
      elapsed[number] = elapsedMs;
      totals[number] = total;
      return total;
    },
  };
};
