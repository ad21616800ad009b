/** Places of times on an axis: round, and few enough that no label repeats. */

const stepsSeconds = [5, 10, 15, 30, 60, 120, 300, 600, 1_800, 3_600] as const;
const ticksMax = 6;

export interface TimeTicks {
  /** Milliseconds since the epoch. */
  readonly at: readonly number[];
  /** Labels need seconds to differ. */
  readonly hasSeconds: boolean;
}

export const timeTicks = (from: number, to: number): TimeTicks => {
  const span = Math.max(0, to - from) / 1_000;
  const step = stepsSeconds.find((seconds) => span / seconds <= ticksMax) ?? stepsSeconds.at(-1) ?? 3_600;
  const stepMs = step * 1_000;
  const first = Math.ceil(from / stepMs) * stepMs;
  const count = Math.max(0, Math.min(ticksMax + 1, Math.floor((to - first) / stepMs) + 1));
  return { at: Array.from({ length: count }, (_, index) => first + index * stepMs), hasSeconds: step < 60 };
};
