/** The right side of the editor: the form of the selected mapping, service or deny list. */
import { useEffect } from 'react';
import type { PolicyProblem } from '../../../bridge/model.ts';
import type { PolicyDraft } from '../../client/policy-document.ts';
import { Card } from '../../widgets/card.tsx';
import { Choice } from '../../widgets/field.tsx';
import { DenyListForm } from './deny-list-form.tsx';
import { inputIdOf } from './editor-place.ts';
import type { EditorPlace } from './editor-place.ts';
import { MappingForm } from './mapping-form.tsx';
import type { PolicyEditor } from './policy-editor-state.ts';
import { ServiceForm } from './service-form.tsx';

interface EntryFormProps {
  readonly editor: PolicyEditor;
  readonly problems: readonly PolicyProblem[];
  readonly place: EditorPlace;
  readonly onPlace: (place: EditorPlace) => void;
}

export const EntryForm = ({ editor, problems, place, onPlace }: EntryFormProps) => {
  const { policy } = editor;
  useFocus(place);
  if (policy === null) return null;
  const { selected, tab } = place;
  const mapping = tab === 'mappings' ? policy.mappings[selected.mappings] : undefined;
  const service = tab === 'services' ? policy.services[selected.services] : undefined;
  const list = tab === 'denyLists' ? policy.denyLists?.[selected.denyLists] : undefined;
  const props = { editor, policy, problems, place, onPlace };
  return (
    <>
      {mapping === undefined ? null : <MappingForm key={selected.mappings} {...props} mapping={mapping} />}
      {service === undefined ? null : <ServiceForm key={selected.services} {...props} service={service} />}
      {list === undefined ? null : <DenyListForm key={selected.denyLists} {...props} list={list} />}
      <DefaultActionCard editor={editor} policy={policy} />
    </>
  );
};

/** A problem's press leads here: the field gets the focus once its form is drawn. */
const useFocus = ({ focus, tab }: EditorPlace): void => {
  useEffect(() => {
    if (focus === null || tab === 'text') return;
    const field = document.querySelector<HTMLElement>(`[data-testid="${inputIdOf(tab, focus.field)}"]`);
    const target =
      field?.matches('input, select, textarea') === true ? field : field?.querySelector<HTMLElement>('input, select, textarea');
    target?.focus();
    if (target instanceof HTMLInputElement && focus.field === 'name') target.select();
  }, [focus, tab]);
};

const DefaultActionCard = ({ editor, policy }: { readonly editor: PolicyEditor; readonly policy: PolicyDraft }) => (
  <Card title="When nothing matches">
    <Choice
      label="Default action"
      value={policy.defaultAction}
      options={[
        { value: 'allow', title: 'Allow' },
        { value: 'deny', title: 'Deny', isDenying: true },
      ]}
      onValue={(defaultAction) => editor.setPolicy({ ...policy, defaultAction }, null)}
      testId="default-action"
    />
  </Card>
);
