/** Undo and redo. Commits with the same key follow each other as one step, so that undo takes back words, not letters. */

/** Older steps are forgotten. */
const stepsMax = 200;

export interface EditHistory<Value> {
  readonly past: readonly Value[];
  readonly present: Value;
  readonly future: readonly Value[];
  /** Of the last commit; null after undo, redo and the start. */
  readonly key: string | null;
}

export const startHistory = <Value>(present: Value): EditHistory<Value> => ({ past: [], present, future: [], key: null });

/** `key` names what is being typed into; null never joins its neighbour. */
export const commitEdit = <Value>(history: EditHistory<Value>, present: Value, key: string | null): EditHistory<Value> => {
  if (Object.is(present, history.present)) return history;
  const isJoined = key !== null && key === history.key;
  return { past: isJoined ? history.past : [...history.past.slice(1 - stepsMax), history.present], present, future: [], key };
};

export const undoEdit = <Value>(history: EditHistory<Value>): EditHistory<Value> => {
  const present = history.past.at(-1);
  return present === undefined
    ? history
    : { past: history.past.slice(0, -1), present, future: [history.present, ...history.future], key: null };
};

export const redoEdit = <Value>(history: EditHistory<Value>): EditHistory<Value> => {
  const [present, ...future] = history.future;
  return present === undefined ? history : { past: [...history.past, history.present], present, future, key: null };
};
