/** The fields of a rollout that is about to begin: what, where, in which steps, and what stops it. */
import Button from '@mui/material/Button';
import { useState } from 'react';
import type { Draft } from '../../../bridge/model.ts';
import { useFleet } from '../../client/shell.tsx';
import { countOf } from '../../client/units.ts';
import { Card } from '../../widgets/card.tsx';
import { Choice, FieldShell, SelectField, TextField } from '../../widgets/field.tsx';
import type { Fault } from '../../widgets/field.tsx';
import { TokenInput } from '../../widgets/token-input.tsx';
import type { BeginFaults, BeginForm } from './begin-form.ts';

/** Bytes of a file that are read; the core refuses more. */
const fileBytesMax = 3 << 20;
const labelPrefix = 'label:';

export interface BeginFieldsProps {
  readonly form: BeginForm;
  readonly faults: BeginFaults;
  readonly onForm: (change: Partial<BeginForm>) => void;
}

/** The draft of the policy editor, or a file. */
export const PolicyCard = ({ form, faults, onForm, draft }: BeginFieldsProps & { readonly draft: Draft | null }) => {
  const [source, setSource] = useState<'draft' | 'file'>(draft === null ? 'file' : 'draft');
  const [refusal, setRefusal] = useState<string | null>(null);
  const takeFile = async (file: File | undefined): Promise<void> => {
    if (file === undefined) return;
    const isTooLarge = file.size > fileBytesMax;
    setRefusal(isTooLarge ? 'The file is larger than 3 MiB: split it.' : null);
    if (!isTooLarge) onForm({ policy: await file.text(), name: file.name });
  };
  const options = [
    ...(draft === null ? [] : [{ value: 'draft', title: 'The draft of the policy editor' }]),
    { value: 'file', title: 'A file' },
  ];
  const own: readonly Fault[] = refusal === null ? [] : [{ severity: 'error', message: refusal }];
  return (
    <Card title="What" testId="begin-policy">
      <div className="stack">
        <SelectField
          label="Policy"
          value={source}
          options={options}
          onValue={(value) => {
            setSource(value === 'draft' ? 'draft' : 'file');
            onForm({ policy: value === 'draft' ? (draft?.policy ?? '') : '' });
          }}
          testId="begin-source"
        />
        {source === 'file' ? (
          <FieldShell id="begin-file" label="File" hint="A policy of Nest, JSON." faults={[...own, ...(faults.policy ?? [])]}>
            <input
              id="begin-file"
              type="file"
              accept=".json,application/json"
              onChange={(event) => void takeFile(event.target.files?.[0])}
              data-testid="begin-file"
            />
          </FieldShell>
        ) : null}
        <TextField label="Name" value={form.name} onValue={(name) => onForm({ name })} faults={faults.name} testId="begin-name" />
      </div>
    </Card>
  );
};

export const HostsCard = ({ form, faults, onForm }: BeginFieldsProps) => {
  const fleet = useFleet();
  const [unknown, setUnknown] = useState<readonly string[]>([]);
  const nameOf = (hostId: string): string => fleet.row(hostId)?.name ?? hostId;
  const idsOf = (name: string): readonly string[] =>
    fleet.rows
      .filter((host) => (name.startsWith(labelPrefix) ? host.labels.includes(name.slice(labelPrefix.length)) : host.name === name))
      .map(({ hostId }) => hostId);
  const labels = [...new Set(fleet.rows.flatMap((host) => host.labels))];
  const suggestions = [
    ...labels.map((label) => ({ value: labelPrefix + label, about: countOf(idsOf(labelPrefix + label).length, 'host') })),
    ...fleet.rows.map((host) => ({ value: host.name, about: host.labels.join(' ') })),
  ];
  const choose = (names: readonly string[]): void => {
    setUnknown(names.filter((name) => idsOf(name).length === 0));
    onForm({ hostIds: [...new Set(names.flatMap(idsOf))] });
  };
  const strange = unknown.map((name): Fault => ({ severity: 'warning', message: `No host is called ${name}.` }));
  return (
    <Card title="Where" aside={countOf(form.hostIds.length, 'host')} testId="begin-hosts">
      <div className="stack">
        <TokenInput
          label="Hosts, in this order"
          values={form.hostIds.map(nameOf)}
          onValues={choose}
          suggestions={suggestions}
          placeholder="host or label:edge"
          faults={[...strange, ...(faults.hostIds ?? [])]}
          testId="begin-host-names"
        />
        <div className="line wrap">
          <Button
            variant="outlined"
            size="small"
            disabled={fleet.rows.length === 0 || form.hostIds.length === fleet.rows.length}
            onClick={() => onForm({ hostIds: fleet.rows.map(({ hostId }) => hostId) })}
            data-testid="begin-all-hosts"
          >
            All {fleet.rows.length}
          </Button>
        </div>
        <Choice
          label="Hosts that are away"
          value={form.offline}
          options={[
            { value: 'skip', title: 'Skip' },
            { value: 'intent', title: 'Leave a signed change' },
          ]}
          onValue={(offline) => onForm({ offline })}
        />
      </div>
    </Card>
  );
};

/** Steps, pace, and the limits of the gates. */
export const StepsCard = ({ form, faults, onForm }: BeginFieldsProps) => {
  const field = (name: TextName, label: string, hint: string) => (
    <TextField
      label={label}
      hint={hint}
      isMono
      inputMode="decimal"
      value={form[name]}
      onValue={(value) => onForm({ [name]: value })}
      faults={faults[name]}
      testId={`begin-${name}`}
    />
  );
  return (
    <Card title="How" testId="begin-steps">
      <div className="stack">
        {field('waves', 'Waves, percent', 'Hosts after each wave; 0 is one host.')}
        <div className="field-row">
          {field('maxUnavailable', 'At once, hosts', 'Changed, failed or silent; empty is a tenth.')}
          {field('failuresMax', 'Failures allowed, hosts', 'More stop the rollout.')}
        </div>
        <div className="field-row">
          {field('soakSeconds', 'Soak, seconds', 'How long a host is watched before its change is kept.')}
          {field('baselineSeconds', 'Baseline, seconds', 'How long counters are read before.')}
        </div>
        <div className="field-row">
          {field('dropFactor', 'Drops may grow to, times', 'By each reason, against the baseline.')}
          {field('dropFloorPps', 'And on top, packets per second', 'So that quiet hosts do not stop it.')}
        </div>
        <Choice
          label="A stop takes back"
          value={form.rollback}
          options={[
            { value: 'wave', title: 'The wave' },
            { value: 'all', title: 'All waves' },
          ]}
          onValue={(rollback) => onForm({ rollback })}
        />
      </div>
    </Card>
  );
};

type TextName = 'waves' | 'maxUnavailable' | 'failuresMax' | 'soakSeconds' | 'baselineSeconds' | 'dropFactor' | 'dropFloorPps';
