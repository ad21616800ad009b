import { describe, expect, it } from 'vitest';
import { commitEdit, redoEdit, startHistory, undoEdit } from './edit-history.ts';

describe('undo and redo', () => {
  it('go back and forth over single commits', () => {
    let history = commitEdit(commitEdit(startHistory('a'), 'b', null), 'c', null);
    history = undoEdit(undoEdit(history));
    expect(history.present).toBe('a');
    expect(redoEdit(redoEdit(history)).present).toBe('c');
  });

  it('take back what was typed into one field as one step', () => {
    let history = startHistory('');
    for (const text of ['w', 'we', 'web']) history = commitEdit(history, text, 'name');
    expect(undoEdit(history).present).toBe('');
    history = commitEdit(history, 'web 443', 'ports');
    expect(undoEdit(history).present).toBe('web');
  });

  it('forget what was undone once something else is done', () => {
    const history = commitEdit(undoEdit(commitEdit(startHistory('a'), 'b', null)), 'x', null);
    expect(redoEdit(history).present).toBe('x');
  });

  it('do not join an edit after an undo with the one before it', () => {
    const history = commitEdit(undoEdit(commitEdit(commitEdit(startHistory('a'), 'b', 'k'), 'c', null)), 'd', 'k');
    expect(undoEdit(history).present).toBe('b');
  });

  it('keep 200 steps and stay put at either end', () => {
    let history = startHistory(0);
    for (let step = 1; step <= 300; step += 1) history = commitEdit(history, step, null);
    expect(history.past).toHaveLength(200);
    for (let step = 0; step < 300; step += 1) history = undoEdit(history);
    expect(history.present).toBe(100);
    expect(undoEdit(history)).toBe(history);
  });
});
