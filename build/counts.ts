/** How every test script ends: one line with three numbers, which npm test adds up. */
import { stripVTControlCharacters } from 'node:util';

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export const noCounts: Counts = { passed: 0, failed: 0, skipped: 0 };

/** The last line of a test script. */
export const countsLine = ({ passed, failed, skipped }: Counts): string => `${passed} passed, ${failed} failed, ${skipped} skipped`;

export const addCounts = (a: Counts, b: Counts): Counts => ({
  passed: a.passed + b.passed,
  failed: a.failed + b.failed,
  skipped: a.skipped + b.skipped,
});

/** The counts a line states; undefined when it is another line. */
export const parseCounts = (line: string): Counts | undefined => {
  const match = /^(\d+) passed, (\d+) failed, (\d+) skipped$/.exec(line.trim());
  if (match === null) return undefined;
  return { passed: Number(match[1]), failed: Number(match[2]), skipped: Number(match[3]) };
};

/** The test that a line of Vitest or Playwright says has failed; undefined when it is another line. */
export const parseFailure = (line: string): string | undefined =>
  /^\s*(?:FAIL|✘)\s+(\S.*)$/.exec(stripVTControlCharacters(line))?.[1]?.trim();
