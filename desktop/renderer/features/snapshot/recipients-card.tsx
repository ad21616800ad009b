/** People whose keys open snapshots. Their keys are made by "nest snapshot keygen", and stay with them. */
import Button from '@mui/material/Button';
import { useState } from 'react';
import type { SnapshotRecipientEntry } from '../../../bridge/snapshot-model.ts';
import { failureOf } from '../../client/query-failure.ts';
import { usePutRecipientMutation, useRecipientsQuery, useRemoveRecipientMutation } from '../../client/snapshot-api.ts';
import { Blank, FailureView, Outcome } from '../../widgets/blank.tsx';
import { Card } from '../../widgets/card.tsx';
import { ConsoleDialog } from '../../widgets/console-dialog.tsx';
import { TextField } from '../../widgets/field.tsx';

export const RecipientsCard = () => {
  const { data, error, refetch } = useRecipientsQuery({});
  const [put, putting] = usePutRecipientMutation();
  const [name, setName] = useState('');
  const [recipient, setRecipient] = useState('');
  const [leaving, setLeaving] = useState<SnapshotRecipientEntry | null>(null);
  const failure = failureOf(putting.error);
  const add = async (): Promise<void> => {
    const { data: after } = await put({ name: name.trim(), recipient: recipient.trim() });
    if (after === undefined) return;
    setName('');
    setRecipient('');
  };
  return (
    <Card title="Recipients" testId="snapshot-book">
      <div className="stack">
        <Outcome value={data} failure={failureOf(error)} label="Loading the recipients" onRetry={() => void refetch()}>
          {(entries) => <Entries entries={entries} onRemove={setLeaving} />}
        </Outcome>
        <div className="form-line">
          <TextField label="Name" value={name} maxLength={63} onValue={setName} testId="recipient-name" />
          <TextField
            label="Recipient"
            isMono
            value={recipient}
            onValue={setRecipient}
            placeholder="nestrcpt1."
            hint="What “nest snapshot keygen” printed for them."
            testId="recipient-key"
          />
          <Button
            variant="outlined"
            disabled={name.trim() === '' || recipient.trim() === '' || putting.isLoading}
            onClick={() => void add()}
            data-testid="recipient-add"
          >
            Add
          </Button>
        </div>
        {failure === null ? null : <FailureView failure={failure} />}
      </div>
      {leaving === null ? null : <RemoveDialog entry={leaving} onClose={() => setLeaving(null)} />}
    </Card>
  );
};

interface EntriesProps {
  readonly entries: readonly SnapshotRecipientEntry[];
  readonly onRemove: (entry: SnapshotRecipientEntry) => void;
}

const Entries = ({ entries, onRemove }: EntriesProps) =>
  entries.length === 0 ? (
    <Blank title="Nobody yet">With a key of their own, people open snapshots without a passphrase having to travel.</Blank>
  ) : (
    <table className="table">
      <tbody>
        {entries.map((entry) => (
          <tr key={entry.name} className="row">
            <td>{entry.name}</td>
            <td className="mono wrap">{entry.recipient}</td>
            <td className="right">
              <Button variant="outlined" color="error" size="small" onClick={() => onRemove(entry)} data-testid="recipient-remove">
                Remove…
              </Button>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );

const RemoveDialog = ({ entry: { name }, onClose }: { readonly entry: SnapshotRecipientEntry; readonly onClose: () => void }) => {
  const [remove, { isLoading, error }] = useRemoveRecipientMutation();
  const failure = failureOf(error);
  const press = async (): Promise<void> => {
    const { data } = await remove({ name });
    if (data !== undefined) onClose();
  };
  return (
    <ConsoleDialog
      title={`Remove ${name}?`}
      onClose={onClose}
      footer={
        <>
          <span className="grow" />
          <Button variant="outlined" onClick={onClose} autoFocus>
            Cancel
          </Button>
          <Button
            variant="contained"
            color="error"
            disabled={isLoading}
            onClick={() => void press()}
            data-testid="recipient-remove-confirm"
          >
            Remove
          </Button>
        </>
      }
    >
      <p>Snapshots made before stay readable for them; new ones are not.</p>
      {failure === null ? null : <FailureView failure={failure} />}
    </ConsoleDialog>
  );
};
