import { freeName } from '../../client/policy-document.ts';
import type { MappingDraft, PolicyDraft, ProtocolName } from '../../client/policy-document.ts';
import { Card } from '../../widgets/card.tsx';
import { Checks, Choice, TextField } from '../../widgets/field.tsx';
import type { Fault } from '../../widgets/field.tsx';
import { TokenInput } from '../../widgets/token-input.tsx';
import { useApprovalsQuery } from '../../client/change-api.ts';
import { ApprovalFields, askedAnew } from './approval-fields.tsx';
import { BalanceFields } from './balance-fields.tsx';
import { selectEntry } from './editor-place.ts';
import { EntryButtons, faultsAt, faultyEntries, replaced } from './entry-parts.tsx';
import type { FaultsOf, FormProps } from './entry-parts.tsx';
import { TreatmentFields } from './treatment-fields.tsx';

const protocolOptions = [
  { value: 'tcp', title: 'TCP' },
  { value: 'udp', title: 'UDP' },
  { value: 'icmp', title: 'ICMP' },
  { value: 'any', title: 'Any' },
] as const satisfies readonly { value: ProtocolName; title: string }[];

const actionOptions = [
  { value: 'allow', title: 'Allow' },
  { value: 'balance', title: 'Balance' },
  { value: 'deny', title: 'Deny', isDenying: true },
] as const;

/** The mapping with another action, without the fields that only the old one has; undo brings them back. */
const withAction = (mapping: MappingDraft, action: MappingDraft['action']): MappingDraft => {
  const { backends, affinity, nat, healthCheck, rateLimit, dscp, sourceNat, ...rest } = mapping;
  const allowing = {
    ...(rateLimit === undefined ? {} : { rateLimit }),
    ...(dscp === undefined ? {} : { dscp }),
  };
  switch (action) {
    case 'deny':
      return { ...rest, action };
    case 'allow':
      return { ...rest, ...allowing, ...(sourceNat === undefined ? {} : { sourceNat }), action };
    default: {
      const balancing = {
        ...(affinity === undefined ? {} : { affinity }),
        ...(nat === undefined ? {} : { nat }),
        ...(healthCheck === undefined ? {} : { healthCheck }),
      };
      return { ...rest, ...allowing, ...balancing, action, backends: backends ?? [{ name: 'server-1', address: '' }] };
    }
  }
};

export const MappingForm = ({ editor, policy, problems, place, onPlace, mapping }: FormProps & { readonly mapping: MappingDraft }) => {
  const index = place.selected.mappings;
  const faults = faultsAt(problems, 'mappings', index);
  const entries = faultyEntries(problems, 'mappings', index);
  // Only to know who asks: no host is named, so none is asked.
  const self = useApprovalsQuery({ hostIds: [] }).data?.self ?? '';
  const put = (changed: MappingDraft, key: string | null): void =>
    editor.setPolicy(
      { ...policy, mappings: replaced(policy.mappings, index, askedAnew(changed, self)) },
      key === null ? null : `mappings.${String(index)}.${key}`,
    );
  const change = (part: Partial<MappingDraft>, key: string | null): void => put({ ...mapping, ...part }, key);
  const copy = (): void => {
    editor.setPolicy({ ...policy, mappings: [...policy.mappings, { ...mapping, name: freeName(mapping.name, policy.mappings) }] }, null);
    onPlace(selectEntry(place, { list: 'mappings', index: policy.mappings.length }));
  };
  const remove = (): void => {
    editor.setPolicy({ ...policy, mappings: policy.mappings.filter((_, position) => position !== index) }, null);
    onPlace(selectEntry(place, { list: 'mappings', index: Math.max(0, index - 1) }));
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
        <Choice
          label="Action"
          value={mapping.action}
          options={actionOptions}
          onValue={(action) => put(withAction(mapping, action), null)}
          testId="mapping-action"
        />
        <MatchFields mapping={mapping} policy={policy} faults={faults} entries={entries} onPart={(part) => change(part, null)} />
        {mapping.action === 'balance' ? <BalanceFields mapping={mapping} faults={faults} onMapping={put} /> : null}
        {mapping.action === 'deny' ? null : <TreatmentFields mapping={mapping} faults={faults} onMapping={put} />}
        <ApprovalFields mapping={mapping} self={self} faults={faults} onMapping={put} />
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

/** What a mapping matches. */
const MatchFields = ({ mapping, policy, faults, entries, onPart }: MatchFieldsProps) => {
  const names = [
    { value: 'any', about: 'every address' },
    ...policy.services.map(({ name, addresses }) => ({ value: name, about: addresses.join(', ') })),
  ];
  return (
    <>
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
