import Button from '@mui/material/Button';
import { useState } from 'react';
import type { HostRow } from '../../../bridge/model.ts';
import { useRemoveHostMutation, useRenameHostMutation } from '../../client/bridge-api.ts';
import { failureOf } from '../../client/query-failure.ts';
import { useConsoleDispatch } from '../../client/store.ts';
import { hostsSelected, noticeRaised } from '../../client/window-slice.ts';
import { FailureView } from '../../widgets/blank.tsx';
import { ConsoleDialog } from '../../widgets/console-dialog.tsx';
import { TextField } from '../../widgets/field.tsx';
import { hostLabelFaults } from './host-faults.ts';
import { HostLabels } from './host-labels.tsx';

interface EditHostDialogProps {
  readonly host: HostRow;
  readonly onClose: () => void;
}

/** Name and labels of one host, and the way to forget it. */
export const EditHostDialog = ({ host, onClose }: EditHostDialogProps) => {
  const [name, setName] = useState(host.name);
  const [labels, setLabels] = useState(host.labels);
  const [isForgetting, setForgetting] = useState(false);
  const [rename, renaming] = useRenameHostMutation();
  const [remove, removing] = useRemoveHostMutation();
  const dispatch = useConsoleDispatch();
  const failure = failureOf(renaming.error) ?? failureOf(removing.error);
  const save = async (): Promise<void> => {
    if ('data' in (await rename({ hostId: host.hostId, name: name.trim(), labels: [...labels] }))) onClose();
  };
  const forget = async (): Promise<void> => {
    if (!('data' in (await remove({ hostId: host.hostId })))) return;
    dispatch(hostsSelected([]));
    dispatch(noticeRaised({ kind: 'ok', text: `${host.name} is forgotten here. Its agent keeps enforcing.` }));
    onClose();
  };
  return (
    <ConsoleDialog
      title={isForgetting ? `Forget ${host.name}?` : host.name}
      onClose={onClose}
      testId="edit-host"
      footer={
        isForgetting ? (
          <>
            <span className="grow dim">The agent keeps enforcing its policy.</span>
            <Button variant="outlined" onClick={() => setForgetting(false)}>
              Keep it
            </Button>
            <Button
              variant="contained"
              color="error"
              disabled={removing.isLoading}
              onClick={() => void forget()}
              data-testid="forget-confirm"
            >
              Forget {host.name}
            </Button>
          </>
        ) : (
          <>
            <Button variant="outlined" onClick={() => setForgetting(true)} data-testid="forget">
              Forget…
            </Button>
            <span className="grow" />
            <Button
              variant="contained"
              disabled={renaming.isLoading || name.trim() === '' || hostLabelFaults(labels).length > 0}
              onClick={() => void save()}
              data-testid="save-host"
            >
              Save
            </Button>
          </>
        )
      }
    >
      {isForgetting ? (
        <p>The console forgets this host and the way to it. To manage it again, it must join with a new token.</p>
      ) : (
        <>
          <TextField label="Name" value={name} onValue={setName} maxLength={63} testId="edit-name" />
          <HostLabels labels={labels} onLabels={setLabels} testId="edit-labels" />
        </>
      )}
      {failure === null ? null : <FailureView failure={failure} />}
    </ConsoleDialog>
  );
};
