import Button from '@mui/material/Button';
import { useState } from 'react';
import { useLabelHostsMutation } from '../../client/group-api.ts';
import { failureOf } from '../../client/query-failure.ts';
import { useFleet } from '../../client/shell.tsx';
import { useConsoleDispatch, useConsoleSelector } from '../../client/store.ts';
import { countOf } from '../../client/units.ts';
import { noticeRaised } from '../../client/window-slice.ts';
import { FailureView } from '../../widgets/blank.tsx';
import { ConsoleDialog } from '../../widgets/console-dialog.tsx';
import { TokenInput } from '../../widgets/token-input.tsx';
import { hostLabelFaults } from './host-faults.ts';

/** Labels of the selected hosts: some are set on all of them, some taken away. */
export const LabelHostsDialog = ({ onClose }: { readonly onClose: () => void }) => {
  const fleet = useFleet();
  const dispatch = useConsoleDispatch();
  const selected = useConsoleSelector(({ window }) => window.selectedHosts);
  const [set, setSet] = useState<readonly string[]>([]);
  const [remove, setRemove] = useState<readonly string[]>([]);
  const [label, { isLoading, error }] = useLabelHostsMutation();
  const failure = failureOf(error);
  const faults = hostLabelFaults(set);
  const present = [...new Set(selected.flatMap((hostId) => fleet.row(hostId)?.labels ?? []))].sort();
  const known = [...new Set(fleet.rows.flatMap(({ labels }) => labels))].sort();
  const hosts = countOf(selected.length, 'host');
  const save = async (): Promise<void> => {
    if (!('data' in (await label({ hostIds: [...selected], set: [...set], remove: [...remove] })))) return;
    dispatch(noticeRaised({ kind: 'ok', text: `Labels of ${hosts} changed.` }));
    onClose();
  };
  return (
    <ConsoleDialog
      title={`Labels of ${hosts}`}
      onClose={onClose}
      testId="label-hosts"
      footer={
        <>
          <span className="grow" />
          <Button
            variant="contained"
            disabled={isLoading || faults.length > 0 || selected.length === 0 || set.length + remove.length === 0}
            onClick={() => void save()}
            data-testid="save-labels"
          >
            {isLoading ? 'Saving…' : `Change on ${hosts}`}
          </Button>
        </>
      }
    >
      <TokenInput
        label="Set"
        values={set}
        onValues={setSet}
        suggestions={known.map((value) => ({ value }))}
        placeholder="site=ams1, edge"
        hint="A value of the same key is replaced."
        faults={faults}
        testId="set-labels"
      />
      <TokenInput
        label="Take away"
        values={remove}
        onValues={setRemove}
        suggestions={present.map((value) => ({ value }))}
        hint={present.length === 0 ? 'These hosts have no labels.' : 'Labels, or keys such as site.'}
        testId="remove-labels"
      />
      {failure === null ? null : <FailureView failure={failure} />}
    </ConsoleDialog>
  );
};
