/** Who has which role where. */
import Button from '@mui/material/Button';
import { useState } from 'react';
import { Card } from '../../widgets/card.tsx';
import { ConfirmButton } from '../../widgets/confirm-button.tsx';
import { SelectField, TextField } from '../../widgets/field.tsx';
import type { AccessCardProps } from './access-card.ts';

export const BindingsCard = ({ view, change }: AccessCardProps) => (
  <Card title="Bindings" testId="access-bindings">
    <div className="stack">
      <table className="table">
        <thead>
          <tr>
            <th scope="col">Who</th>
            <th scope="col">Role</th>
            <th scope="col">Where</th>
            <th scope="col">
              <span className="unseen">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {view.bindings.map(({ id, subject, role, level }) => (
            <tr key={id}>
              <td className="mono">{subject}</td>
              <td>{role}</td>
              <td className="mono">{level === '*' ? 'everywhere' : level}</td>
              <td className="right">
                <ConfirmButton
                  label="Remove…"
                  about={`Take ${role} from ${subject}`}
                  question={`Take ${role} from ${subject}?`}
                  act="Take it away"
                  disabled={change === null}
                  onConfirm={() => change?.({ kind: 'binding.remove', id })}
                >
                  <p>
                    {subject} then has {role} {level === '*' ? 'everywhere' : `at ${level}`} no more, on every host as soon as it has the
                    new bundle.
                  </p>
                  {subject === view.self.subject ? <p className="warn">That is you: you may lock yourself out.</p> : null}
                </ConfirmButton>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <AddBinding view={view} change={change} />
    </div>
  </Card>
);

const AddBinding = ({ view, change }: AccessCardProps) => {
  const subjects = [...view.operators, ...view.clients].map(({ subject }) => subject);
  const [subject, setSubject] = useState(subjects[0] ?? '');
  const [role, setRole] = useState('viewer');
  const [level, setLevel] = useState('*');
  const options = (values: readonly string[]) => values.map((value) => ({ value, title: value }));
  return (
    <div className="form-line">
      <SelectField label="Who" value={subject} options={options(subjects)} onValue={setSubject} testId="binding-subject" />
      <SelectField label="Role" value={role} options={options(view.roles.map(({ name }) => name))} onValue={setRole} />
      <TextField label="Where" value={level} onValue={setLevel} isMono hint="*, cluster/<id>, host/<id> or mapping/<name>" />
      <Button
        variant="outlined"
        disabled={change === null || subject === '' || level === ''}
        onClick={() => change?.({ kind: 'binding.add', subject, role, level })}
        data-testid="binding-add"
      >
        Bind
      </Button>
    </div>
  );
};
