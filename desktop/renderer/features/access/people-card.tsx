/** Operators, API clients and what is locked. */
import Button from '@mui/material/Button';
import { useState } from 'react';
import type { AccessView } from '../../../bridge/model.ts';
import { formatDateTime } from '../../client/units.ts';
import { Card } from '../../widgets/card.tsx';
import { ConfirmButton } from '../../widgets/confirm-button.tsx';
import { SelectField, TextField } from '../../widgets/field.tsx';
import type { AccessCardProps } from './access-card.ts';

export const PeopleCard = ({ view, change }: AccessCardProps) => {
  const { operators, clients, bindings } = view;
  const people = [...operators.map((operator) => ({ ...operator, client: null })), ...clients.map((client) => ({ ...client, client }))];
  const rolesOf = (subject: string): string =>
    bindings
      .filter((binding) => binding.subject === subject)
      .map(({ role, level }) => (level === '*' ? role : `${role} at ${level}`))
      .join(', ');
  return (
    <Card title="People and clients" testId="access-people">
      <div className="stack">
        <table className="table">
          <thead>
            <tr>
              <th scope="col">Who</th>
              <th scope="col">Name</th>
              <th scope="col">Roles</th>
              <th scope="col">Keys</th>
              <th scope="col">
                <span className="unseen">Actions</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {people.map((one) => (
              <tr key={one.subject}>
                <td className="mono">{one.subject}</td>
                <td>{one.title === '' ? '–' : one.title}</td>
                <td>{rolesOf(one.subject) || 'none: may do nothing'}</td>
                <td>{one.client === null ? '–' : <Keys client={one.client} change={change} />}</td>
                <td className="right">
                  <LockButton view={view} subject={one.subject} isLocked={one.locked} change={change} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
        <AddPerson change={change} />
        <Locks view={view} change={change} />
      </div>
    </Card>
  );
};

interface LockButtonProps extends AccessCardProps {
  readonly subject: string;
  readonly isLocked: boolean;
}

const LockButton = ({ view, subject, isLocked, change }: LockButtonProps) => {
  const lock = view.locks.find(({ target }) => target === subject);
  return isLocked && lock !== undefined ? (
    <Button size="small" variant="outlined" disabled={change === null} onClick={() => change?.({ kind: 'unlock', id: lock.id })}>
      Unlock
    </Button>
  ) : (
    <ConfirmButton
      label="Lock…"
      about={`Lock ${subject}`}
      question={`Lock ${subject}?`}
      act="Lock"
      disabled={change === null || subject === view.self.subject}
      onConfirm={() => change?.({ kind: 'lock', target: subject, reason: '' })}
    >
      <p>Every host refuses it as soon as it hears of the lock, whatever its roles say. It can be unlocked here.</p>
    </ConfirmButton>
  );
};

const Keys = ({ client, change }: Pick<AccessCardProps, 'change'> & { readonly client: AccessView['clients'][number] }) => (
  <div className="line wrap">
    {client.keys.map(({ keyId, expiresAt }) => (
      <span key={keyId} className="line">
        <span className="mono" title={expiresAt === null ? 'until it is removed' : `until ${formatDateTime(expiresAt)}`}>
          {keyId}
        </span>
        <ConfirmButton
          label="Remove…"
          about={`Remove the key ${keyId}`}
          question={`Remove the key ${keyId}?`}
          act="Remove the key"
          disabled={change === null}
          onConfirm={() => change?.({ kind: 'client.key.remove', subject: client.subject, keyId })}
        >
          <p>Whatever signs in with this key as {client.subject} is refused from then on. It cannot be brought back.</p>
        </ConfirmButton>
      </span>
    ))}
    <Button
      size="small"
      variant="outlined"
      disabled={change === null || client.keys.length >= 2}
      onClick={() => change?.({ kind: 'client.key.add', subject: client.subject })}
      aria-label={`New key for ${client.subject}`}
    >
      New key
    </Button>
  </div>
);

const AddPerson = ({ change }: Pick<AccessCardProps, 'change'>) => {
  const [kind, setKind] = useState('operator');
  const [name, setName] = useState('');
  const add = (): void => {
    if (kind === 'client') change?.({ kind: 'client.put', subject: `client/${name}`, title: '' });
    else change?.({ kind: 'operator.put', subject: `operator/${name}`, title: '' });
    setName('');
  };
  return (
    <div className="form-line">
      <SelectField
        label="Kind"
        value={kind}
        options={[
          { value: 'operator', title: 'Operator' },
          { value: 'client', title: 'API client' },
        ]}
        onValue={setKind}
      />
      <TextField label="Name in its certificate" value={name} onValue={setName} isMono testId="person-name" />
      <Button variant="outlined" disabled={change === null || name === ''} onClick={add} data-testid="person-add">
        Add
      </Button>
    </div>
  );
};

const Locks = ({ view: { locks, operators, clients }, change }: AccessCardProps) => {
  const people = new Set([...operators, ...clients].map(({ subject }) => subject));
  const others = locks.filter(({ target }) => !people.has(target));
  return others.length === 0 ? null : (
    <ul aria-label="Locked devices and strangers">
      {others.map(({ id, target, reason, since }) => (
        <li key={id} className="line">
          <span className="mono cut">{target}</span>
          <span className="dim">
            since {formatDateTime(since)} {reason}
          </span>
          <Button size="small" variant="outlined" disabled={change === null} onClick={() => change?.({ kind: 'unlock', id })}>
            Unlock
          </Button>
        </li>
      ))}
    </ul>
  );
};
