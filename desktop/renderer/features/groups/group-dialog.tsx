import Button from '@mui/material/Button';
import { useState } from 'react';
import { hostQueryCharactersMax } from '../../../bridge/host-grammar.ts';
import { parseHostRule } from '../../../bridge/host-query.ts';
import type { HostGroup } from '../../../bridge/group-model.ts';
import { usePutGroupMutation } from '../../client/group-api.ts';
import { toFailure } from '../../client/failure.ts';
import { useHostSearch } from '../../client/host-search.ts';
import { failureOf } from '../../client/query-failure.ts';
import { useFleet, useNow } from '../../client/shell.tsx';
import { useConsoleSelector } from '../../client/store.ts';
import { countOf } from '../../client/units.ts';
import { FailureView } from '../../widgets/blank.tsx';
import { ConsoleDialog } from '../../widgets/console-dialog.tsx';
import { Choice, TextField } from '../../widgets/field.tsx';
import type { Fault } from '../../widgets/field.tsx';
import { TokenInput } from '../../widgets/token-input.tsx';

interface GroupDialogProps {
  /** Null for a new one. */
  readonly group: HostGroup | null;
  /** The rule a new one begins with. */
  readonly rule?: string;
  /** A new one begins with the selected hosts. */
  readonly isOfSelected?: boolean;
  readonly onClose: () => void;
}

const nameFault = (name: string): readonly Fault[] =>
  name === '' || /^[a-z0-9][a-z0-9._-]{0,62}$/.test(name)
    ? []
    : [{ severity: 'error', message: 'Small letters, digits, dots, dashes and underscores; starts with a letter or digit.' }];

const ruleFault = (rule: string): readonly Fault[] => {
  if (rule.trim() === '') return [];
  try {
    parseHostRule(rule);
    return [];
  } catch (error) {
    return [{ severity: 'error', message: toFailure(error).message }];
  }
};

interface GroupForm {
  readonly name: string;
  readonly about: string;
  readonly kind: 'rule' | 'list';
  readonly rule: string;
  readonly hostIds: readonly string[];
}

const isReady = ({ name, kind, rule, hostIds }: GroupForm): boolean =>
  name !== '' &&
  nameFault(name).length === 0 &&
  (kind === 'rule' ? rule.trim() !== '' && ruleFault(rule).length === 0 : hostIds.length > 0);

/** Name and members of a group. */
export const GroupDialog = ({ group, rule = '', isOfSelected = false, onClose }: GroupDialogProps) => {
  const selected = useConsoleSelector(({ window }) => window.selectedHosts);
  const [form, setForm] = useState<GroupForm>(() => ({
    name: group?.name ?? '',
    about: group?.about ?? '',
    kind: (group === null ? isOfSelected : group.rule === null) ? 'list' : 'rule',
    rule: group?.rule ?? rule,
    hostIds: group?.hostIds ?? (isOfSelected ? selected : []),
  }));
  const [put, { isLoading, error }] = usePutGroupMutation();
  const failure = failureOf(error);
  const save = async (): Promise<void> => {
    const { name, about } = form;
    const members = form.kind === 'rule' ? { rule: form.rule.trim() } : { hostIds: [...form.hostIds] };
    if ('data' in (await put({ name, about, members }))) onClose();
  };
  return (
    <ConsoleDialog
      title={group === null ? 'New group' : group.name}
      onClose={onClose}
      testId="group-dialog"
      footer={
        <>
          <span className="grow" />
          <Button variant="contained" disabled={isLoading || !isReady(form)} onClick={() => void save()} data-testid="save-group">
            {isLoading ? 'Saving…' : 'Save'}
          </Button>
        </>
      }
    >
      <GroupFields form={form} isNew={group === null} onForm={(part) => setForm({ ...form, ...part })} />
      {failure === null ? null : <FailureView failure={failure} />}
    </ConsoleDialog>
  );
};

interface GroupFieldsProps {
  readonly form: GroupForm;
  readonly isNew: boolean;
  readonly onForm: (part: Partial<GroupForm>) => void;
}

const GroupFields = ({ form, isNew, onForm }: GroupFieldsProps) => {
  const { name, about, kind, rule, hostIds } = form;
  return (
    <>
      {isNew ? (
        <TextField
          label="Name"
          value={name}
          onValue={(text) => onForm({ name: text })}
          faults={nameFault(name)}
          maxLength={63}
          autoFocus
          testId="group-name"
        />
      ) : null}
      <TextField label="About" value={about} onValue={(text) => onForm({ about: text })} maxLength={200} testId="group-about" />
      <Choice
        label="Members"
        value={kind}
        onValue={(value) => onForm({ kind: value })}
        options={[
          { value: 'rule', title: 'By a rule' },
          { value: 'list', title: 'A list' },
        ]}
        testId="group-kind"
      />
      {kind === 'list' ? (
        <HostList hostIds={hostIds} onHostIds={(ids) => onForm({ hostIds: ids })} />
      ) : (
        <>
          <TextField
            label="Rule"
            value={rule}
            onValue={(text) => onForm({ rule: text })}
            faults={ruleFault(rule)}
            isMono
            maxLength={hostQueryCharactersMax}
            placeholder="site:ams1 role:edge kernel>=6.1"
            testId="group-rule"
          />
          <RuleMembers rule={rule} />
        </>
      )}
    </>
  );
};

interface HostListProps {
  readonly hostIds: readonly string[];
  readonly onHostIds: (hostIds: readonly string[]) => void;
}

const HostList = ({ hostIds, onHostIds }: HostListProps) => {
  const fleet = useFleet();
  const [unknown, setUnknown] = useState<readonly string[]>([]);
  const idOf = (host: string): string | undefined => fleet.rows.find((row) => row.name === host || row.hostId === host)?.hostId;
  const choose = (names: readonly string[]): void => {
    setUnknown(names.filter((host) => idOf(host) === undefined));
    onHostIds([...new Set(names.flatMap((host) => idOf(host) ?? []))]);
  };
  return (
    <TokenInput
      label="Hosts"
      values={hostIds.map((hostId) => fleet.row(hostId)?.name ?? hostId)}
      onValues={choose}
      suggestions={fleet.rows.map((host) => ({ value: host.name, about: host.labels.join(' ') }))}
      faults={unknown.map((host) => ({ severity: 'warning', message: `No host is called ${host}.` }))}
      testId="group-hosts"
    />
  );
};

/** Names shown of the hosts that fit now. */
const namesShown = 6;

const RuleMembers = ({ rule }: { readonly rule: string }) => {
  const fleet = useFleet();
  const now = useNow();
  const { test } = useHostSearch(rule, fleet.at ?? now);
  if (rule.trim() === '') return <p className="dim">Which hosts: labels, state, versions and numbers, as in the search of the hosts.</p>;
  const members = fleet.rows.filter(test);
  const rest = members.length - namesShown;
  return (
    <p className="dim" data-testid="rule-members" role="status">
      {countOf(members.length, 'host')} now{members.length === 0 ? '' : ': '}
      {members
        .slice(0, namesShown)
        .map((host) => host.name)
        .join(', ')}
      {rest > 0 ? ` and ${String(rest)} more` : ''}
    </p>
  );
};
