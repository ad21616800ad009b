import type { DenyProblem } from './deny-sources.ts';

const units = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
  ['second', 1_000],
] as const;

/** What is wrong with a list's file, and what stands in its place since when; empty when nothing is wrong. */
export const denyProblemWords = (problem: DenyProblem | undefined, nowMs: number): string => {
  if (problem === undefined) return '';
  const { text, keptSinceMs } = problem;
  if (keptSinceMs === null) return `${text} Nothing has been read from it yet: the list is empty.`;
  return `${text} Until then the list stays in force as it was read ${ageWords(nowMs - keptSinceMs)} ago (${new Date(keptSinceMs).toISOString()}).`;
};

/** In the largest unit of which there is one at least. */
const ageWords = (ageMs: number): string => {
  const [unit, unitMs] = units.find(([, milliseconds]) => ageMs >= milliseconds) ?? units[3];
  const count = Math.max(0, Math.floor(ageMs / unitMs));
  return `${String(count)} ${unit}${count === 1 ? '' : 's'}`;
};
