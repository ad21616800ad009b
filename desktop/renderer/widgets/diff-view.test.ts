import { describe, expect, it } from 'vitest';
import type { DiffLine } from '../../bridge/model.ts';
import { foldDiff } from './diff-view.tsx';

const same = (count: number): readonly DiffLine[] => Array.from({ length: count }, (_, index) => ({ kind: 'same', text: String(index) }));

describe('folding a difference', () => {
  it('keeps three lines around a change and folds the rest, losing none', () => {
    const lines = [...same(20), { kind: 'added', text: 'new' } as const, ...same(20)];
    const parts = foldDiff(lines);
    expect(parts.map(({ isFolded, lines: held }) => [isFolded, held.length])).toEqual([
      [true, 17],
      [false, 7],
      [true, 17],
    ]);
    expect(parts.flatMap((part) => part.lines)).toEqual(lines);
  });

  it('shows nothing folded when changes are near, and folds all when there is none', () => {
    expect(foldDiff([...same(3), { kind: 'removed', text: 'old' }])).toHaveLength(1);
    expect(foldDiff(same(5)).map(({ isFolded }) => isFolded)).toEqual([true]);
    expect(foldDiff([])).toEqual([]);
  });
});
