import { describe, expect, it } from 'vitest';
import { median, mergeSection, steadyRounds, toRow, toSectionReport, toTable } from './report.ts';
import type { Report } from './report.ts';

describe('the median', () => {
  it('is the middle one, or between the two middle ones', () => {
    expect(median([9, 1, 5])).toBe(5);
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(() => median([])).toThrow(RangeError);
  });
});

describe('steady rounds', () => {
  it('are the most that lie within a share of their lowest, in order', () => {
    expect(steadyRounds([10, 20, 10.9, 21, 20.5, 11.2], 0.1)).toEqual([1, 3, 4]);
    expect(steadyRounds([10, 11, 12.1], 0.1)).toEqual([0, 1]);
  });

  it('are one when all differ, and none when there are none', () => {
    expect(steadyRounds([10, 20, 40], 0.1)).toEqual([0]);
    expect(steadyRounds([], 0.1)).toEqual([]);
  });
});

describe('a row', () => {
  it('holds the median of the ratios, not the ratio of the medians', () => {
    const row = toRow({ figure: 'ours', unit: 'kpps', samples: [10, 20, 60], baseline: { figure: 'theirs', samples: [10, 10, 100] } });
    expect(row).toMatchObject({ value: 20, baseline: 'theirs', baselineValue: 10, ratio: 1, target: null, ok: null });
  });

  it('is held to its target by the ratio where there is one, else by the value', () => {
    const target = { op: '>=', value: 5 } as const;
    expect(toRow({ figure: 'a', unit: 'x', samples: [6], target }).ok).toBe(true);
    expect(toRow({ figure: 'a', unit: 'x', samples: [6], target, baseline: { figure: 'b', samples: [2] } }).ok).toBe(false);
    expect(toRow({ figure: 'a', unit: 'x', samples: [6], target: { op: '<=', value: 5 } }).ok).toBe(false);
    expect(toRow({ figure: 'a', unit: 'x', samples: [5], target: { op: '<=', value: 5 } }).ok).toBe(true);
  });

  it('shows in the table whether it was missed', () => {
    const lines = toTable([toRow({ figure: 'a', unit: 'ms', samples: [7], target: { op: '<=', value: 5 } })]).split('\n');
    expect(lines[1]).toMatch(/^a +7 +ms +<= 5 +MISSED$/);
  });
});

describe('merging', () => {
  const order = ['cost', 'events', 'engines'];
  const sectionOf = (name: string, day: number, values: readonly number[]): ReturnType<typeof toSectionReport> =>
    toSectionReport(
      name,
      new Date(Date.UTC(2026, 0, day)),
      values.map((value, index) => toRow({ figure: `${name} ${String(index)}`, unit: 'x', samples: [value] })),
    );
  const empty: Report = { suite: 'packet', sections: [], rows: [] };
  const valuesOf = ({ rows }: Report): unknown => rows.map(({ section, figure, value }) => [section, figure, value]);

  it('replaces the rows and the date of that section alone', () => {
    const before = mergeSection(mergeSection(empty, sectionOf('cost', 1, [1, 2]), order), sectionOf('events', 1, [3]), order);
    const after = mergeSection(before, sectionOf('cost', 9, [5]), order);
    expect(valuesOf(after)).toEqual([
      ['cost', 'cost 0', 5],
      ['events', 'events 0', 3],
    ]);
    expect(after.sections.map(({ name, startedAt }) => [name, startedAt.slice(0, 10)])).toEqual([
      ['cost', '2026-01-09'],
      ['events', '2026-01-01'],
    ]);
  });

  it('keeps the order of the suite, and leaves out what the suite no longer has', () => {
    const old = mergeSection(mergeSection(empty, sectionOf('engines', 1, [1]), order), sectionOf('gone', 1, [2]), [...order, 'gone']);
    const after = mergeSection(old, sectionOf('events', 2, [3]), order);
    expect(after.sections.map(({ name }) => name)).toEqual(['events', 'engines']);
    expect(after.rows.map(({ section }) => section)).toEqual(['events', 'engines']);
  });
});
