/** Roles as sets of scopes, and clusters as sets of hosts. */
import Button from '@mui/material/Button';
import { useState } from 'react';
import { countOf } from '../../client/units.ts';
import { Card } from '../../widgets/card.tsx';
import { ConfirmButton } from '../../widgets/confirm-button.tsx';
import { TextField } from '../../widgets/field.tsx';
import type { AccessCardProps } from './access-card.ts';

export const RolesCard = ({ view, change }: AccessCardProps) => (
  <Card title="Roles and clusters" testId="access-roles">
    <div className="stack">
      <table className="table">
        <thead>
          <tr>
            <th scope="col">Role</th>
            <th scope="col">Scopes</th>
            <th scope="col">
              <span className="unseen">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {view.roles.map(({ name, title, scopes, builtIn }) => (
            <tr key={name}>
              <td className="wrap">
                {name}
                <div className="dim">{builtIn ? `built in: ${title}` : title}</div>
              </td>
              <td className="mono wrap">{scopes.join(' ')}</td>
              <td className="right">
                {builtIn ? null : (
                  <ConfirmButton
                    label="Remove…"
                    about={`Remove ${name}`}
                    question={`Remove the role ${name}?`}
                    act="Remove the role"
                    disabled={change === null}
                    onConfirm={() => change?.({ kind: 'role.remove', name })}
                  >
                    <p>{countOf(view.bindings.filter(({ role }) => role === name).length, 'binding')} of this role in the bundle now.</p>
                  </ConfirmButton>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <AddRole change={change} />
      {view.clusters.length === 0 ? (
        <p className="dim">No clusters: bindings hold everywhere, on one host or for one mapping.</p>
      ) : (
        <dl className="facts">
          {view.clusters.map(({ id, hostIds }) => (
            <div key={id}>
              <dt>{id}</dt>
              <dd>{hostIds.map((hostId) => view.hosts.find((host) => host.hostId === hostId)?.name ?? hostId).join(', ') || 'no hosts'}</dd>
            </div>
          ))}
        </dl>
      )}
    </div>
  </Card>
);

const AddRole = ({ change }: Pick<AccessCardProps, 'change'>) => {
  const [name, setName] = useState('');
  const [scopes, setScopes] = useState('');
  const list = scopes.split(/[\s,]+/).filter((scope) => scope !== '');
  return (
    <div className="form-line">
      <TextField label="New role" value={name} onValue={setName} isMono testId="role-name" />
      <TextField label="Scopes" value={scopes} onValue={setScopes} isMono hint="mappings:write dbgw:* *:read" testId="role-scopes" />
      <Button
        variant="outlined"
        disabled={change === null || name === '' || list.length === 0}
        onClick={() => change?.({ kind: 'role.put', name, title: '', scopes: list })}
        data-testid="role-add"
      >
        Set
      </Button>
    </div>
  );
};
