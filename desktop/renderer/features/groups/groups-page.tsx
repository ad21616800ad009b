/** Groups of hosts: who is in them now, and what the policy in work would do to all of them at once. */
import Button from '@mui/material/Button';
import { Boxes, Plus } from 'lucide-react';
import { useState } from 'react';
import { Link, useSearchParams } from 'react-router';
import type { HostGroup } from '../../../bridge/group-model.ts';
import { useGroupsQuery, useRemoveGroupMutation } from '../../client/group-api.ts';
import { hostsLink } from '../../client/links.ts';
import { failureOf } from '../../client/query-failure.ts';
import { countOf, formatDateTime } from '../../client/units.ts';
import { Blank, FailureView, Outcome } from '../../widgets/blank.tsx';
import { Card } from '../../widgets/card.tsx';
import { ConsoleDialog } from '../../widgets/console-dialog.tsx';
import { Page } from '../../widgets/page.tsx';
import { GroupDialog } from './group-dialog.tsx';
import { GroupPlanCard } from './group-plan-card.tsx';

const pollMs = 5_000;

export const GroupsPage = () => {
  const groups = useGroupsQuery({}, { pollingInterval: pollMs, skipPollingIfUnfocused: true });
  const [search, setSearch] = useSearchParams();
  const [edited, setEdited] = useState<HostGroup | null>(null);
  const [forgotten, setForgotten] = useState<HostGroup | null>(null);
  const [planned, setPlanned] = useState<HostGroup | null>(null);
  const isNew = search.get('new');
  const addButton = (
    <Button variant="contained" startIcon={<Plus size={16} />} onClick={() => setSearch({ new: 'rule' })} data-testid="add-group">
      New group
    </Button>
  );
  return (
    <Page title="Groups" about={groups.data === undefined ? undefined : countOf(groups.data.length, 'group')} actions={addButton}>
      <Card title="Groups" isFlush testId="groups">
        <Outcome value={groups.data} failure={failureOf(groups.error)} label="Loading the groups" onRetry={() => void groups.refetch()}>
          {(list) =>
            list.length === 0 ? (
              <Blank title="No groups yet" icon={<Boxes size={28} aria-hidden="true" />} action={addButton}>
                A group is a list of hosts, or a rule such as “site:ams1 role:edge kernel&gt;=6.1” that hosts fit or not.
              </Blank>
            ) : (
              <GroupTable list={list} onEdit={setEdited} onForget={setForgotten} onPlan={setPlanned} />
            )
          }
        </Outcome>
      </Card>
      {planned === null ? null : <GroupPlanCard key={planned.name} group={planned} />}
      {edited === null ? null : <GroupDialog group={edited} onClose={() => setEdited(null)} />}
      {isNew === null ? null : (
        <GroupDialog
          rule={search.get('rule') ?? ''}
          isOfSelected={isNew === 'selected'}
          group={null}
          onClose={() => setSearch({}, { replace: true })}
        />
      )}
      {forgotten === null ? null : <ForgetDialog group={forgotten} onClose={() => setForgotten(null)} />}
    </Page>
  );
};

interface GroupTableProps {
  readonly list: readonly HostGroup[];
  readonly onEdit: (group: HostGroup) => void;
  readonly onForget: (group: HostGroup) => void;
  readonly onPlan: (group: HostGroup) => void;
}

const GroupTable = ({ list, onEdit, onForget, onPlan }: GroupTableProps) => (
  <table className="table">
    <thead>
      <tr>
        <th scope="col">Group</th>
        <th scope="col" className="right">
          Hosts
        </th>
        <th scope="col">Rule</th>
        <th scope="col">About</th>
        <th scope="col">Changed</th>
        <th scope="col" aria-label="What can be done" />
      </tr>
    </thead>
    <tbody>
      {list.map((group) => (
        <tr key={group.name} className="row">
          <td className="mono">{group.name}</td>
          <td className="right mono">
            <Link to={hostsLink(`group:${group.name}`)} title="Show them">
              {group.hostIds.length}
            </Link>
          </td>
          <td className="wrap">
            {group.rule === null ? <span className="dim">a list</span> : <span className="mono">{group.rule}</span>}
            {group.problem === null ? null : <div className="crit">{group.problem}</div>}
            {group.missing === 0 ? null : <div className="warn">{countOf(group.missing, 'host')} not in the fleet any more</div>}
          </td>
          <td className="wrap">{group.about}</td>
          <td className="mono">{formatDateTime(group.changedAt)}</td>
          <td className="right">
            <Button
              size="small"
              disabled={group.hostIds.length === 0}
              onClick={() => onPlan(group)}
              aria-label={`Dry run on ${group.name}`}
              data-testid={`plan-${group.name}`}
            >
              Dry run
            </Button>
            <Button size="small" onClick={() => onEdit(group)} aria-label={`Edit ${group.name}`}>
              Edit
            </Button>
            <Button size="small" onClick={() => onForget(group)} aria-label={`Forget ${group.name}`}>
              Forget
            </Button>
          </td>
        </tr>
      ))}
    </tbody>
  </table>
);

const ForgetDialog = ({ group, onClose }: { readonly group: HostGroup; readonly onClose: () => void }) => {
  const [remove, { isLoading, error }] = useRemoveGroupMutation();
  const failure = failureOf(error);
  const forget = async (): Promise<void> => {
    if ('data' in (await remove({ name: group.name }))) onClose();
  };
  return (
    <ConsoleDialog
      title={`Forget ${group.name}?`}
      onClose={onClose}
      testId="forget-group"
      footer={
        <>
          <span className="grow dim">Its hosts stay as they are.</span>
          <Button variant="outlined" onClick={onClose}>
            Keep it
          </Button>
          <Button variant="contained" color="error" disabled={isLoading} onClick={() => void forget()} data-testid="forget-group-confirm">
            Forget {group.name}
          </Button>
        </>
      }
    >
      <p>Searches and commands that name this group find nothing any more.</p>
      {failure === null ? null : <FailureView failure={failure} />}
    </ConsoleDialog>
  );
};
