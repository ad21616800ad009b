/** The left side of the editor: mappings, services, or the text itself. */
import Button from '@mui/material/Button';
import { ListPlus, Plus } from 'lucide-react';
import type { PolicyProblem } from '../../../bridge/model.ts';
import { freeName, readPolicyPath } from '../../client/policy-document.ts';
import type { MappingDraft, PolicyDraft } from '../../client/policy-document.ts';
import { Blank } from '../../widgets/blank.tsx';
import { VerdictLabel } from '../../widgets/host-state.tsx';
import { Tabs } from '../../widgets/tabs.tsx';
import { VirtualGrid } from '../../widgets/virtual-grid.tsx';
import type { PolicyEditor } from './policy-editor-state.ts';

export interface EditorPlace {
  readonly tab: 'mappings' | 'services' | 'text';
  readonly mapping: number;
  readonly service: number;
  /** The field to go to; the count makes a second press of the same problem a new request. */
  readonly focus: { readonly field: string; readonly count: number } | null;
}

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
    { id: 'text' as const, title: 'JSON' },
  ];
  return (
    <section className="card fill" aria-label="Policy document">
      <div className="toolbar tabs-bar">
        <Tabs
          label="Parts of the policy"
          current={tab}
          tabs={policy === null ? tabs.slice(2) : tabs}
          onChange={(next) => onPlace({ ...place, tab: next, focus: null })}
        />
        <span className="grow" />
        {policy === null || tab === 'text' ? null : <AddEntry editor={editor} policy={policy} place={place} onPlace={onPlace} />}
      </div>
      {policy === null || tab === 'text' ? (
        <PolicyText editor={editor} />
      ) : tab === 'mappings' ? (
        <MappingsGrid policy={policy} problems={problems} place={place} onPlace={onPlace} />
      ) : (
        <ServicesGrid policy={policy} problems={problems} place={place} onPlace={onPlace} />
      )}
    </section>
  );
};

interface PolicyListProps extends Omit<EditorListProps, 'editor'> {
  readonly policy: PolicyDraft;
}

const newPriority = 100;

const AddEntry = ({
  editor,
  policy,
  place,
  onPlace,
}: {
  readonly editor: PolicyEditor;
  readonly policy: PolicyDraft;
  readonly place: EditorPlace;
  readonly onPlace: (place: EditorPlace) => void;
}) => {
  const focus = { field: 'name', count: (place.focus?.count ?? 0) + 1 };
  const addMapping = (): void => {
    const mapping: MappingDraft = {
      name: freeName('mapping', policy.mappings),
      sources: ['any'],
      destinations: ['any'],
      protocols: ['tcp'],
      ports: [],
      action: 'deny',
      priority: newPriority,
    };
    editor.setPolicy({ ...policy, mappings: [...policy.mappings, mapping] }, null);
    onPlace({ ...place, tab: 'mappings', mapping: policy.mappings.length, focus });
  };
  const addService = (): void => {
    editor.setPolicy({ ...policy, services: [...policy.services, { name: freeName('service', policy.services), addresses: [] }] }, null);
    onPlace({ ...place, tab: 'services', service: policy.services.length, focus });
  };
  return (
    <span className="line" style={{ alignSelf: 'center', paddingBlock: 6 }}>
      {place.tab === 'mappings' ? (
        <Button variant="text" size="small" startIcon={<Plus size={14} />} onClick={addMapping} data-testid="add-mapping">
          Add mapping
        </Button>
      ) : (
        <Button variant="text" size="small" startIcon={<Plus size={14} />} onClick={addService} data-testid="add-service">
          Add service
        </Button>
      )}
    </span>
  );
};

const faultyIndexes = (problems: readonly PolicyProblem[], list: 'services' | 'mappings'): ReadonlySet<number> =>
  new Set(
    problems.flatMap(({ path, severity }) => {
      const place = readPolicyPath(path);
      return severity === 'error' && place?.list === list ? [place.index] : [];
    }),
  );

const MappingsGrid = ({ policy, problems, place, onPlace }: PolicyListProps) => {
  const faulty = faultyIndexes(problems, 'mappings');
  const select = (index: number): void => onPlace({ ...place, mapping: index, focus: null });
  if (policy.mappings.length === 0) {
    return (
      <Blank title="No mappings yet" icon={<ListPlus size={28} aria-hidden="true" />}>
        A mapping says who may reach what. Without any, the default action decides: everything is{' '}
        {policy.defaultAction === 'allow' ? 'allowed' : 'denied'}.
      </Blank>
    );
  }
  return (
    <VirtualGrid
      label="Mappings"
      layout="mapping-grid"
      testId="mappings-grid"
      columns={[
        { id: 'priority', title: 'Prio', isRight: true },
        { id: 'name', title: 'Mapping' },
        { id: 'sources', title: 'From' },
        { id: 'destinations', title: 'To' },
        { id: 'traffic', title: 'Traffic' },
        { id: 'action', title: 'Action' },
        { id: 'problems', title: <span className="unseen">Problems</span> },
      ]}
      count={policy.mappings.length}
      keyOf={String}
      shown={place.mapping}
      isSelected={(index) => index === place.mapping}
      hasProblem={(index) => faulty.has(index)}
      isPressable
      cells={(index) => {
        const mapping = policy.mappings[index];
        if (mapping === undefined) return [];
        return [
          <span key="priority" className="mono">
            {mapping.priority}
          </span>,
          <RowButton key="name" name={mapping.name} isCurrent={index === place.mapping} onPress={() => select(index)} />,
          <span key="sources" className="mono">
            {mapping.sources.join(', ')}
          </span>,
          <span key="destinations" className="mono">
            {mapping.destinations.join(', ')}
          </span>,
          <span key="traffic" className="mono">
            {trafficText(mapping)}
          </span>,
          <VerdictLabel key="action" isAllowed={mapping.action === 'allow'} word={mapping.action} />,
          faulty.has(index) ? (
            <span key="problems" className="crit" role="img" aria-label="has a problem">
              <span className="dot square" />
            </span>
          ) : null,
        ];
      }}
    />
  );
};

/** "tcp 443, 8000-8100". */
export const trafficText = ({ protocols, ports = [] }: MappingDraft): string =>
  `${protocols.join(', ')}${ports.length === 0 ? '' : ` ${ports.join(', ')}`}`;

const RowButton = ({ name, isCurrent, onPress }: { readonly name: string; readonly isCurrent: boolean; readonly onPress: () => void }) => (
  <button type="button" className="link-button mono cut" aria-pressed={isCurrent} onClick={onPress}>
    {name === '' ? 'unnamed' : name}
  </button>
);

const ServicesGrid = ({ policy, problems, place, onPlace }: PolicyListProps) => {
  const faulty = faultyIndexes(problems, 'services');
  const select = (index: number): void => onPlace({ ...place, service: index, focus: null });
  const uses = new Map<string, number>();
  for (const { sources, destinations } of policy.mappings)
    for (const name of new Set([...sources, ...destinations])) uses.set(name, (uses.get(name) ?? 0) + 1);
  if (policy.services.length === 0) {
    return (
      <Blank title="No services yet" icon={<ListPlus size={28} aria-hidden="true" />}>
        A service is a name for addresses, IPv4 and IPv6. Mappings speak of services, so that an address is written once.
      </Blank>
    );
  }
  return (
    <VirtualGrid
      label="Services"
      layout="service-grid"
      testId="services-grid"
      columns={[
        { id: 'name', title: 'Service' },
        { id: 'addresses', title: 'Addresses' },
        { id: 'uses', title: 'Mappings', isRight: true },
      ]}
      count={policy.services.length}
      keyOf={String}
      shown={place.service}
      isSelected={(index) => index === place.service}
      hasProblem={(index) => faulty.has(index)}
      isPressable
      cells={(index) => {
        const service = policy.services[index];
        if (service === undefined) return [];
        return [
          <RowButton key="name" name={service.name} isCurrent={index === place.service} onPress={() => select(index)} />,
          <span key="addresses" className="mono">
            {service.addresses.length === 0 ? <span className="off">none</span> : service.addresses.join(', ')}
          </span>,
          <span key="uses" className="mono">
            {uses.get(service.name) ?? 0}
          </span>,
        ];
      }}
    />
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
