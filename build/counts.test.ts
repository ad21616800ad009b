import { describe, expect, it } from 'vitest';
import { addCounts, countsLine, noCounts, parseCounts, parseFailure } from './counts.ts';

describe('counts of a test run', () => {
  it('are read back from the line they were printed as', () => {
    const counts = { passed: 1220, failed: 12, skipped: 9 };
    expect(parseCounts(countsLine(counts))).toEqual(counts);
    expect(parseCounts(`  ${countsLine(counts)}\r`)).toEqual(counts);
  });

  it('are not found in lines that only look alike', () => {
    for (const line of [
      '',
      '10 passed (55.0s)',
      'Tests 1 passed, 0 failed, 0 skipped',
      '1 passed, 0 failed',
      '-1 passed, 0 failed, 0 skipped',
    ])
      expect(parseCounts(line), line).toBeUndefined();
  });

  it('stand beside the names of failed tests, with or without colours', () => {
    expect(parseFailure('\u001B[41m FAIL \u001B[49m build/counts.test.ts > counts > add up')).toBe(
      'build/counts.test.ts > counts > add up',
    );
    expect(parseFailure('  ✘   3 test/e2e/main-job.spec.ts:9:1 › enrols (6.8s)')).toBe('3 test/e2e/main-job.spec.ts:9:1 › enrols (6.8s)');
    for (const line of ['', ' ✓ FAIL', 'FAILED', 'it must FAIL here']) expect(parseFailure(line), line).toBeUndefined();
  });

  it('add up stage by stage', () => {
    const stages = [noCounts, { passed: 2, failed: 1, skipped: 0 }, { passed: 3, failed: 0, skipped: 4 }];
    expect(stages.reduce(addCounts, noCounts)).toEqual({ passed: 5, failed: 1, skipped: 4 });
  });
});
