/** The editor's state: the document with its undo steps, the text when it is not a document, the hosts, and what the core says. */
import { useCallback, useEffect, useRef, useState } from 'react';
import type { Draft, PolicyCheck } from '../../../bridge/model.ts';
import { usePutDraftMutation, useValidatePolicyMutation } from '../../client/bridge-api.ts';
import type { Failure } from '../../client/failure.ts';
import { failureOf } from '../../client/query-failure.ts';
import { emptyPolicy, readPolicyText, writePolicyText } from '../../client/policy-document.ts';
import type { PolicyDraft } from '../../client/policy-document.ts';
import { commitEdit, redoEdit, startHistory, undoEdit } from './edit-history.ts';
import type { EditHistory } from './edit-history.ts';

const validateAfterMs = 200;
const saveAfterMs = 600;

/** What one undo step holds. */
export interface EditorContent {
  /** Null while the text is no document the tables can show. */
  readonly policy: PolicyDraft | null;
  readonly text: string;
  readonly hostIds: readonly string[];
  /** The revision the text was made on, of hosts whose policy it began as. */
  readonly bases: Readonly<Record<string, number>>;
}

export const contentOf = (text: string, hostIds: readonly string[], bases: EditorContent['bases'] = {}): EditorContent => ({
  policy: readPolicyText(text),
  text,
  hostIds,
  bases,
});

export interface PolicyEditor extends EditorContent {
  readonly canUndo: boolean;
  readonly canRedo: boolean;
  readonly undo: () => void;
  readonly redo: () => void;
  /** `key` joins consecutive edits of the same field into one undo step. */
  readonly setPolicy: (policy: PolicyDraft, key: string | null) => void;
  readonly setText: (text: string) => void;
  readonly setHostIds: (hostIds: readonly string[]) => void;
  readonly replace: (text: string, hostIds: readonly string[], bases?: EditorContent['bases']) => void;
}

export const usePolicyEditor = (draft: Draft | null): PolicyEditor => {
  const [history, setHistory] = useState<EditHistory<EditorContent>>(() =>
    startHistory(contentOf(draft?.policy ?? writePolicyText(emptyPolicy), draft?.hostIds ?? [], draft?.bases)),
  );
  const { present } = history;
  const commit = useCallback(
    (change: (before: EditorContent) => EditorContent, key: string | null) =>
      setHistory((before) => commitEdit(before, change(before.present), key)),
    [],
  );
  return {
    ...present,
    canUndo: history.past.length > 0,
    canRedo: history.future.length > 0,
    undo: useCallback(() => setHistory(undoEdit), []),
    redo: useCallback(() => setHistory(redoEdit), []),
    setPolicy: useCallback((policy, key) => commit((before) => ({ ...before, policy, text: writePolicyText(policy) }), key), [commit]),
    setText: useCallback((text) => commit((before) => contentOf(text, before.hostIds, before.bases), 'text'), [commit]),
    setHostIds: useCallback((hostIds) => commit((before) => ({ ...before, hostIds }), null), [commit]),
    replace: useCallback((text, hostIds, bases) => commit(() => contentOf(text, hostIds, bases), null), [commit]),
  };
};

export interface CheckedPolicy {
  /** Of the last text that was checked. */
  readonly check: PolicyCheck | null;
  /** The text has changed since. */
  readonly isStale: boolean;
  readonly failure: Failure | null;
}

/** Asks the core about the text a moment after it stopped changing; an answer that is overtaken is cancelled. */
export const usePolicyCheck = (text: string): CheckedPolicy => {
  const [validate, { error }] = useValidatePolicyMutation();
  const [checked, setChecked] = useState<{ readonly text: string; readonly check: PolicyCheck } | null>(null);
  useEffect(() => {
    let cancel = (): void => undefined;
    const timer = setTimeout(() => {
      const running = validate({ policy: text });
      cancel = () => running.abort();
      void running.then(({ data }) => {
        if (data !== undefined) setChecked({ text, check: data });
      });
    }, validateAfterMs);
    return () => {
      clearTimeout(timer);
      cancel();
    };
  }, [text, validate]);
  return { check: checked?.check ?? null, isStale: checked?.text !== text, failure: failureOf(error) };
};

/** Keeps the draft on disk a moment after every change, and at once when the editor is left. */
export const useDraftSaving = ({
  text,
  hostIds,
  bases,
}: EditorContent): { readonly isSaved: boolean; readonly failure: Failure | null } => {
  const [put, { error }] = usePutDraftMutation();
  const [saved, setSaved] = useState({ text, hostIds, bases });
  const isChanged = saved.text !== text || saved.hostIds !== hostIds || saved.bases !== bases;
  const latest = useRef({ text, hostIds, bases, isChanged });
  useEffect(() => {
    latest.current = { text, hostIds, bases, isChanged };
  });
  useEffect(() => {
    if (!isChanged) return undefined;
    const timer = setTimeout(() => {
      void put({ policy: text, hostIds: [...hostIds], bases }).then(({ data }) => {
        if (data !== undefined) setSaved({ text, hostIds, bases });
      });
    }, saveAfterMs);
    return () => clearTimeout(timer);
  }, [put, text, hostIds, bases, isChanged]);
  useEffect(
    () => () => {
      const left = latest.current;
      if (left.isChanged) void put({ policy: left.text, hostIds: [...left.hostIds], bases: left.bases });
    },
    [put],
  );
  return { isSaved: !isChanged, failure: failureOf(error) };
};
