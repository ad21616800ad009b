import Button from '@mui/material/Button';
import { FileInput, Redo2, Undo2 } from 'lucide-react';
import { Suspense, lazy, useEffect, useState } from 'react';
import { useNavigate, useSearchParams } from 'react-router';
import type { Draft, HostPlan } from '../../../bridge/model.ts';
import { usePlanPolicyMutation } from '../../client/bridge-api.ts';
import { failureOf } from '../../client/query-failure.ts';
import { readPolicyPath } from '../../client/policy-document.ts';
import { useConsoleDispatch, useConsoleSelector } from '../../client/store.ts';
import { countOf } from '../../client/units.ts';
import { planMade } from '../../client/window-slice.ts';
import { FailureView } from '../../widgets/blank.tsx';
import { Page } from '../../widgets/page.tsx';
import { EditorList } from './editor-list.tsx';
import { fieldOfPlace, firstPlace, selectEntry } from './editor-place.ts';
import type { EditorPlace } from './editor-place.ts';
import { EditorsNote } from './editors-note.tsx';
import { EntryForm } from './entry-form.tsx';
import { HostPicker } from './host-picker.tsx';
import { useDraftSaving, usePolicyCheck, usePolicyEditor } from './policy-editor-state.ts';
import type { PolicyEditor } from './policy-editor-state.ts';
import { ProblemsCard } from './problems-card.tsx';
import { useHostPolicyLoad } from './host-policy-load.ts';

const MergeDialog = lazy(async () => ({ default: (await import('./merge-dialog.tsx')).MergeDialog }));
const ImportDialog = lazy(async () => ({ default: (await import('./import-dialog.tsx')).ImportDialog }));

export const PolicyEditorView = ({ draft }: { readonly draft: Draft | null }) => {
  const editor = usePolicyEditor(draft);
  const [place, setPlace] = useState<EditorPlace>(firstPlace);
  const [search, setSearch] = useSearchParams();
  const selected = useConsoleSelector(({ window }) => window.selectedHosts);
  const checked = usePolicyCheck(editor.text);
  const saving = useDraftSaving(editor);
  const load = useHostPolicyLoad(editor);
  const problems = checked.check?.problems ?? [];
  useUndoKeys(editor);
  useEffect(() => {
    if (search.get('hosts') !== 'selected') return;
    editor.setHostIds(selected);
    setSearch({}, { replace: true });
  }, [search, setSearch, selected, editor]);

  const show = (path: string): void => {
    const target = readPolicyPath(path);
    if (target === null || editor.policy === null) setPlace({ ...place, tab: 'text' });
    else setPlace(selectEntry(place, { list: target.list, index: target.index, field: fieldOfPlace(target) }));
  };
  const { mappings = [], services = [], denyLists = [] } = editor.policy ?? {};
  return (
    <Page
      title="Policy"
      about={
        editor.policy === null
          ? 'the text is no policy document yet'
          : `${countOf(mappings.length, 'mapping')} · ${countOf(services.length, 'service')}${denyLists.length === 0 ? '' : ` · ${countOf(denyLists.length, 'deny list')}`}`
      }
      actions={
        <EditorActions
          editor={editor}
          isReady={checked.check?.valid === true && !checked.isStale}
          onImport={() => setSearch({ import: '1' })}
        />
      }
    >
      <EditorsNote hostIds={editor.hostIds} />
      {load.failure === null ? null : <FailureView failure={load.failure} />}
      {saving.failure === null ? null : <FailureView failure={saving.failure} />}
      <div className="editor">
        <div className="column">
          <EditorList editor={editor} problems={problems} place={place} onPlace={setPlace} />
          <ProblemsCard checked={checked} onShow={show} />
        </div>
        <div className="column scroll">
          <HostPicker editor={editor} onLoad={load.load} isLoading={load.isLoading} isSaved={saving.isSaved} />
          <EntryForm editor={editor} problems={problems} place={place} onPlace={setPlace} />
        </div>
      </div>
      <Suspense fallback={null}>
        {search.has('import') ? <ImportDialog editor={editor} onClose={() => setSearch({}, { replace: true })} /> : null}
      </Suspense>
    </Page>
  );
};

const useUndoKeys = ({ undo, redo }: PolicyEditor): void => {
  useEffect(() => {
    const press = (event: KeyboardEvent): void => {
      if (!(event.ctrlKey || event.metaKey) || event.altKey) return;
      const key = event.key.toLowerCase();
      if (key !== 'z' && key !== 'y') return;
      event.preventDefault();
      if (key === 'y' || event.shiftKey) redo();
      else undo();
    };
    window.addEventListener('keydown', press);
    return () => window.removeEventListener('keydown', press);
  }, [undo, redo]);
};

interface EditorActionsProps {
  readonly editor: PolicyEditor;
  readonly isReady: boolean;
  readonly onImport: () => void;
}

const EditorActions = ({ editor, isReady, onImport }: EditorActionsProps) => {
  const [plan, { isLoading, error }] = usePlanPolicyMutation();
  const [moved, setMoved] = useState<HostPlan | null>(null);
  const dispatch = useConsoleDispatch();
  const navigate = useNavigate();
  const failure = failureOf(error);
  const review = async (): Promise<void> => {
    const { text, hostIds, bases } = editor;
    const { data } = await plan({ policy: text, hostIds: [...hostIds], bases });
    if (data === undefined) return;
    const first = data.hosts.find(({ conflict }) => conflict !== null);
    if (first !== undefined) {
      setMoved(first);
      return;
    }
    dispatch(planMade({ plan: data, policy: text, hostIds }));
    await navigate(`/policy/review/${data.planId}`);
  };
  return (
    <>
      <Suspense fallback={null}>
        {moved === null || moved.conflict === null ? null : (
          <MergeDialog editor={editor} host={moved} conflict={moved.conflict} onClose={() => setMoved(null)} />
        )}
      </Suspense>
      {failure === null ? null : (
        <span className="crit cut" role="alert" title={failure.message}>
          {failure.code}: {failure.message}
        </span>
      )}
      <span className="line" style={{ gap: 2 }}>
        <button
          type="button"
          className="icon-button"
          aria-label="Undo"
          title="Undo (Ctrl Z)"
          disabled={!editor.canUndo}
          onClick={editor.undo}
          data-testid="undo-edit"
        >
          <Undo2 size={16} aria-hidden="true" />
        </button>
        <button
          type="button"
          className="icon-button"
          aria-label="Redo"
          title="Redo (Ctrl Shift Z)"
          disabled={!editor.canRedo}
          onClick={editor.redo}
          data-testid="redo-edit"
        >
          <Redo2 size={16} aria-hidden="true" />
        </button>
      </span>
      <Button variant="outlined" startIcon={<FileInput size={16} />} onClick={onImport} data-testid="import">
        Import
      </Button>
      <Button
        variant="contained"
        disabled={!isReady || editor.hostIds.length === 0 || isLoading}
        onClick={() => void review()}
        data-testid="review-effect"
      >
        {isLoading ? 'Replaying flows…' : 'Review effect'}
      </Button>
    </>
  );
};
