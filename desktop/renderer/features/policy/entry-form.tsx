/** The right side of the editor: the form of the selected mapping or service. */
import { Copy, Trash2 } from 'lucide-react';
import { useEffect } from 'react';
import type { ReactNode } from 'react';
import type { PolicyProblem } from '../../../bridge/model.ts';
import { freeName, readPolicyPath } from '../../client/policy-document.ts';
import type { MappingDraft, PolicyDraft, ProtocolName, ServiceDraft } from '../../client/policy-document.ts';
import { Card } from '../../widgets/card.tsx';
import { Checks, Choice, TextField } from '../../widgets/field.tsx';
import type { Fault } from '../../widgets/field.tsx';
import { TokenInput } from '../../widgets/token-input.tsx';
import type { EditorPlace } from './editor-list.tsx';
import type { PolicyEditor } from './policy-editor-state.ts';

interface EntryFormProps {
  readonly editor: PolicyEditor;
  readonly problems: readonly PolicyProblem[];
  readonly place: EditorPlace;
  readonly onPlace: (place: EditorPlace) => void;
}

export const EntryForm = ({ editor, problems, place, onPlace }: EntryFormProps) => {
  const { policy } = editor;
  useFocus(place);
  if (policy === null || place.tab === 'text') return policy === null ? null : <DefaultActionCard editor={editor} policy={policy} />;
  const mapping = policy.mappings[place.mapping];
  const service = policy.services[place.service];
  const props = { editor, policy, problems, place, onPlace };
  return (
    <>
      {place.tab === 'mappings' && mapping !== undefined ? <MappingForm key={place.mapping} {...props} mapping={mapping} /> : null}
      {place.tab === 'services' && service !== undefined ? <ServiceForm key={place.service} {...props} service={service} /> : null}
      <DefaultActionCard editor={editor} policy={policy} />
    </>
  );
};

/** A problem's press leads here: the field gets the focus once its form is drawn. */
const useFocus = ({ focus, tab }: EditorPlace): void => {
  useEffect(() => {
    if (focus === null) return;
    const field = document.querySelector<HTMLElement>(`[data-testid="${tab === 'services' ? 'service' : 'mapping'}-${focus.field}"]`);
    const target = field?.matches('input') === true ? field : field?.querySelector('input');
    target?.focus();
    if (target instanceof HTMLInputElement && focus.field === 'name') target.select();
  }, [focus, tab]);
};

interface FormProps extends EntryFormProps {
  readonly policy: PolicyDraft;
}

type FaultsOf = (field: string) => readonly Fault[];

const faultsAt =
  (problems: readonly PolicyProblem[], list: 'services' | 'mappings', index: number): FaultsOf =>
  (field) =>
    problems.filter(({ path }) => {
      const place = readPolicyPath(path);
      return place?.list === list && place.index === index && (place.field ?? 'name') === field;
    });

const faultyEntries =
  (problems: readonly PolicyProblem[], list: 'services' | 'mappings', index: number) =>
  (field: string) =>
  (entry: number): boolean =>
    problems.some(({ path, severity }) => {
      const place = readPolicyPath(path);
      return severity === 'error' && place?.list === list && place.index === index && place.field === field && place.entry === entry;
    });

const EntryButtons = ({
  noun,
  onCopy,
  onDelete,
}: {
  readonly noun: string;
  readonly onCopy: () => void;
  readonly onDelete: () => void;
}): ReactNode => (
  <span className="line" style={{ gap: 2 }}>
    <button
      type="button"
      className="icon-button"
      aria-label={`Duplicate ${noun}`}
      title="Duplicate"
      onClick={onCopy}
      data-testid={`copy-${noun}`}
    >
      <Copy size={15} aria-hidden="true" />
    </button>
    <button
      type="button"
      className="icon-button danger"
      aria-label={`Delete ${noun}`}
      title="Delete (undo brings it back)"
      onClick={onDelete}
      data-testid={`delete-${noun}`}
    >
      <Trash2 size={15} aria-hidden="true" />
    </button>
  </span>
);

const replaced = <Entry,>(list: readonly Entry[], index: number, entry: Entry): readonly Entry[] =>
  list.map((old, position) => (position === index ? entry : old));

const protocolOptions = [
  { value: 'tcp', title: 'TCP' },
  { value: 'udp', title: 'UDP' },
  { value: 'icmp', title: 'ICMP' },
  { value: 'any', title: 'Any' },
] as const satisfies readonly { value: ProtocolName; title: string }[];

const MappingForm = ({ editor, policy, problems, place, onPlace, mapping }: FormProps & { readonly mapping: MappingDraft }) => {
  const index = place.mapping;
  const faults = faultsAt(problems, 'mappings', index);
  const entries = faultyEntries(problems, 'mappings', index);
  const change = (part: Partial<MappingDraft>, key: string | null): void =>
    editor.setPolicy(
      { ...policy, mappings: replaced(policy.mappings, index, { ...mapping, ...part }) },
      key === null ? null : `mappings.${String(index)}.${key}`,
    );
  const copy = (): void => {
    editor.setPolicy({ ...policy, mappings: [...policy.mappings, { ...mapping, name: freeName(mapping.name, policy.mappings) }] }, null);
    onPlace({ ...place, mapping: policy.mappings.length });
  };
  const remove = (): void => {
    editor.setPolicy({ ...policy, mappings: policy.mappings.filter((_, position) => position !== index) }, null);
    onPlace({ ...place, mapping: Math.max(0, index - 1) });
  };
  return (
    <Card title="Mapping" aside={<EntryButtons noun="mapping" onCopy={copy} onDelete={remove} />} testId="mapping-form">
      <div className="stack">
        <div className="field-row" style={{ gridTemplateColumns: '2fr 1fr' }}>
          <TextField
            label="Name"
            value={mapping.name}
            onValue={(name) => change({ name }, 'name')}
            faults={faults('name')}
            isMono
            testId="mapping-name"
          />
          <PriorityField
            priority={mapping.priority}
            onPriority={(priority) => change({ priority }, 'priority')}
            faults={faults('priority')}
          />
        </div>
        <MatchFields mapping={mapping} policy={policy} faults={faults} entries={entries} onPart={(part) => change(part, null)} />
      </div>
    </Card>
  );
};

interface MatchFieldsProps {
  readonly mapping: MappingDraft;
  readonly policy: PolicyDraft;
  readonly faults: FaultsOf;
  readonly entries: (field: string) => (entry: number) => boolean;
  readonly onPart: (part: Partial<MappingDraft>) => void;
}

/** What a mapping matches, and what it does then. */
const MatchFields = ({ mapping, policy, faults, entries, onPart }: MatchFieldsProps) => {
  const names = [
    { value: 'any', about: 'every address' },
    ...policy.services.map(({ name, addresses }) => ({ value: name, about: addresses.join(', ') })),
  ];
  return (
    <>
      <Choice
        label="Action"
        value={mapping.action}
        options={[
          { value: 'allow', title: 'Allow' },
          { value: 'deny', title: 'Deny', isDenying: true },
        ]}
        onValue={(action) => onPart({ action })}
        testId="mapping-action"
      />
      <TokenInput
        label="From"
        values={mapping.sources}
        onValues={(sources) => onPart({ sources })}
        suggestions={names}
        faults={faults('sources')}
        isFaultyAt={entries('sources')}
        testId="mapping-sources"
      />
      <TokenInput
        label="To"
        values={mapping.destinations}
        onValues={(destinations) => onPart({ destinations })}
        suggestions={names}
        faults={faults('destinations')}
        isFaultyAt={entries('destinations')}
        testId="mapping-destinations"
      />
      <Checks
        label="Protocols"
        values={mapping.protocols}
        options={protocolOptions}
        onValues={(protocols) => onPart({ protocols })}
        faults={faults('protocols')}
        testId="mapping-protocols"
      />
      <TokenInput
        label="Ports"
        values={mapping.ports ?? []}
        onValues={(ports) => onPart({ ports })}
        placeholder="all"
        hint="443, 8000-8100. None = all."
        faults={faults('ports')}
        isFaultyAt={entries('ports')}
        testId="mapping-ports"
      />
    </>
  );
};

const PriorityField = ({
  priority,
  onPriority,
  faults,
}: {
  readonly priority: number;
  readonly onPriority: (priority: number) => void;
  readonly faults: readonly Fault[];
}) => (
  <TextField
    label="Priority"
    type="number"
    min={0}
    max={1000}
    value={Number.isFinite(priority) ? String(priority) : ''}
    onValue={(text) => onPriority(text === '' ? 0 : Number(text))}
    faults={faults}
    isMono
    testId="mapping-priority"
  />
);

const ServiceForm = ({ editor, policy, problems, place, onPlace, service }: FormProps & { readonly service: ServiceDraft }) => {
  const index = place.service;
  const faults = faultsAt(problems, 'services', index);
  const entries = faultyEntries(problems, 'services', index);
  /** Mappings follow a renamed service, unless the new name would mean something else. */
  const rename = (name: string): void => {
    const isPlain =
      name !== '' &&
      name !== 'any' &&
      service.name !== '' &&
      policy.services.every((other, position) => position === index || (other.name !== name && other.name !== service.name));
    const follow = (list: readonly string[]): readonly string[] =>
      isPlain ? list.map((entry) => (entry === service.name ? name : entry)) : list;
    const mappings = policy.mappings.map((mapping) => ({
      ...mapping,
      sources: follow(mapping.sources),
      destinations: follow(mapping.destinations),
    }));
    editor.setPolicy(
      { ...policy, services: replaced(policy.services, index, { ...service, name }), mappings },
      `services.${String(index)}.name`,
    );
  };
  const copy = (): void => {
    editor.setPolicy({ ...policy, services: [...policy.services, { ...service, name: freeName(service.name, policy.services) }] }, null);
    onPlace({ ...place, service: policy.services.length });
  };
  const remove = (): void => {
    editor.setPolicy({ ...policy, services: policy.services.filter((_, position) => position !== index) }, null);
    onPlace({ ...place, service: Math.max(0, index - 1) });
  };
  return (
    <Card title="Service" aside={<EntryButtons noun="service" onCopy={copy} onDelete={remove} />} testId="service-form">
      <div className="stack">
        <TextField
          label="Name"
          value={service.name}
          onValue={rename}
          faults={faults('name')}
          isMono
          hint="Mappings follow when it changes."
          testId="service-name"
        />
        <TokenInput
          label="Addresses"
          values={service.addresses}
          onValues={(addresses) =>
            editor.setPolicy({ ...policy, services: replaced(policy.services, index, { ...service, addresses }) }, null)
          }
          placeholder="198.18.4.0/24, 2001:db8:4::/48"
          hint="Addresses and CIDRs, IPv4 and IPv6."
          faults={faults('addresses')}
          isFaultyAt={entries('addresses')}
          testId="service-addresses"
        />
      </div>
    </Card>
  );
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
