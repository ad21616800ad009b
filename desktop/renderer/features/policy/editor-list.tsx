/** The left side of the editor: mappings, services, deny lists, or the text itself. */
import Button from '@mui/material/Button';
import { Plus } from 'lucide-react';
import type { PolicyProblem } from '../../../bridge/model.ts';
import { freeName } from '../../client/policy-document.ts';
import type { MappingDraft, PolicyDraft, PolicyListName } from '../../client/policy-document.ts';
import { Tabs } from '../../widgets/tabs.tsx';
import { selectEntry } from './editor-place.ts';
import type { EditorPlace } from './editor-place.ts';
import { DenyListsGrid, MappingsGrid, ServicesGrid } from './entry-grids.tsx';
import type { PolicyEditor } from './policy-editor-state.ts';

interface EditorListProps {
  readonly editor: PolicyEditor;
  readonly problems: readonly PolicyProblem[];
  readonly place: EditorPlace;
  readonly onPlace: (place: EditorPlace) => void;
}

export const EditorList = ({ editor, problems, place, onPlace }: EditorListProps) => {
  const { policy } = editor;
  const tab = policy === null ? 'text' : place.tab;
  const tabs = [
    { id: 'mappings' as const, title: 'Mappings' },
    { id: 'services' as const, title: 'Services' },
    { id: 'denyLists' as const, title: 'Deny lists' },
    { id: 'text' as const, title: 'JSON' },
  ];
  return (
    <section className="card fill" aria-label="Policy document">
      <div className="toolbar tabs-bar">
        <Tabs
          label="Parts of the policy"
          current={tab}
          tabs={policy === null ? tabs.slice(-1) : tabs}
          onChange={(next) => onPlace({ ...place, tab: next, focus: null })}
        />
        <span className="grow" />
        {policy === null || tab === 'text' ? null : <AddEntry editor={editor} policy={policy} list={tab} place={place} onPlace={onPlace} />}
      </div>
      {policy === null || tab === 'text' ? (
        <PolicyText editor={editor} />
      ) : (
        <EntryGrid list={tab} policy={policy} problems={problems} place={place} onPlace={onPlace} />
      )}
    </section>
  );
};

interface EntryGridProps extends Omit<EditorListProps, 'editor'> {
  readonly list: PolicyListName;
  readonly policy: PolicyDraft;
}

const EntryGrid = ({ list, ...props }: EntryGridProps) => {
  switch (list) {
    case 'mappings':
      return <MappingsGrid {...props} />;
    case 'services':
      return <ServicesGrid {...props} />;
    default:
      return <DenyListsGrid {...props} />;
  }
};

const newPriority = 100;

const newMapping = (policy: PolicyDraft): MappingDraft => ({
  name: freeName('mapping', policy.mappings),
  sources: ['any'],
  destinations: ['any'],
  protocols: ['tcp'],
  ports: [],
  action: 'deny',
  priority: newPriority,
});

/** The policy with a new entry at the end of a list. */
const withNewEntry = (policy: PolicyDraft, list: PolicyListName): PolicyDraft => {
  const { mappings, services, denyLists = [] } = policy;
  switch (list) {
    case 'mappings':
      return { ...policy, mappings: [...mappings, newMapping(policy)] };
    case 'services':
      return { ...policy, services: [...services, { name: freeName('service', services), addresses: [] }] };
    default:
      return { ...policy, denyLists: [...denyLists, { name: freeName('deny-list', denyLists), prefixes: [] }] };
  }
};

interface AddEntryProps {
  readonly editor: PolicyEditor;
  readonly policy: PolicyDraft;
  readonly list: PolicyListName;
  readonly place: EditorPlace;
  readonly onPlace: (place: EditorPlace) => void;
}

const addWords: Readonly<Record<PolicyListName, { readonly title: string; readonly testId: string }>> = {
  mappings: { title: 'Add mapping', testId: 'add-mapping' },
  services: { title: 'Add service', testId: 'add-service' },
  denyLists: { title: 'Add deny list', testId: 'add-deny-list' },
};

const AddEntry = ({ editor, policy, list, place, onPlace }: AddEntryProps) => {
  const add = (): void => {
    editor.setPolicy(withNewEntry(policy, list), null);
    onPlace(selectEntry(place, { list, index: policy[list]?.length ?? 0, field: 'name' }));
  };
  return (
    <span className="line" style={{ alignSelf: 'center', paddingBlock: 6 }}>
      <Button variant="text" size="small" startIcon={<Plus size={14} />} onClick={add} data-testid={addWords[list].testId}>
        {addWords[list].title}
      </Button>
    </span>
  );
};

const PolicyText = ({ editor }: { readonly editor: PolicyEditor }) => (
  <div className="editor-text">
    <textarea
      className="input mono"
      aria-label="Policy as JSON"
      spellCheck={false}
      value={editor.text}
      onChange={(event) => editor.setText(event.target.value)}
      data-testid="policy-json"
    />
  </div>
);
