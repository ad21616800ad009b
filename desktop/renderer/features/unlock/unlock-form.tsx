import Button from '@mui/material/Button';
import { LockOpen } from 'lucide-react';
import { useState } from 'react';
import type { FormEvent } from 'react';
import type { ConsoleState } from '../../../bridge/model.ts';
import { useUnlockFleetMutation } from '../../client/bridge-api.ts';
import { failureOf } from '../../client/query-failure.ts';
import { FailureView } from '../../widgets/blank.tsx';
import { TextField } from '../../widgets/field.tsx';

/** Opens the fleet: with its passphrase, or by asking the keychain. */
export const UnlockForm = ({ state }: { readonly state: ConsoleState }) => {
  const [passphrase, setPassphrase] = useState('');
  const [unlock, { isLoading, error }] = useUnlockFleetMutation();
  const failure = failureOf(error);
  const needsPassphrase = state.storage === 'passphrase';
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    // A failure is shown below the field; the mutation keeps it.
    void unlock(needsPassphrase ? { passphrase } : {}).finally(() => setPassphrase(''));
  };
  return (
    <form onSubmit={submit}>
      <div>
        <h1>Unlock {state.fleetName}</h1>
        <p className="dim">
          {needsPassphrase
            ? `Keys of ${state.operatorName ?? 'this operator'} are in a file that this passphrase opens.`
            : 'The keys are in the keychain of this computer.'}
        </p>
      </div>
      {needsPassphrase ? (
        <TextField
          label="Passphrase"
          type="password"
          value={passphrase}
          onValue={setPassphrase}
          autoFocus
          required
          testId="unlock-passphrase"
        />
      ) : null}
      {failure === null ? null : <FailureView failure={failure} />}
      <Button
        type="submit"
        variant="contained"
        startIcon={<LockOpen size={16} />}
        disabled={isLoading || (needsPassphrase && passphrase === '')}
        data-testid="unlock-submit"
      >
        {isLoading ? 'Unlocking…' : 'Unlock'}
      </Button>
      <p className="dim">Hosts keep enforcing their policy while the console is locked.</p>
    </form>
  );
};
