import Button from '@mui/material/Button';
import { LockOpen } from 'lucide-react';
import { useState } from 'react';
import type { FormEvent } from 'react';
import type { ConsoleState } from '../../../bridge/model.ts';
import { useUnlockFleetMutation } from '../../client/bridge-api.ts';
import { useWatchSsoQuery } from '../../client/license-api.ts';
import { failureOf } from '../../client/query-failure.ts';
import { FailureView } from '../../widgets/blank.tsx';
import { TextField } from '../../widgets/field.tsx';
import { SignInPanel } from '../../widgets/sign-in-panel.tsx';

/** Opens the fleet: with its passphrase, or by asking the keychain. */
export const UnlockForm = ({ state }: { readonly state: ConsoleState }) => {
  const [passphrase, setPassphrase] = useState('');
  const [excuse, setExcuse] = useState('');
  const [unlock, { isLoading, error }] = useUnlockFleetMutation();
  const { data: sso } = useWatchSsoQuery({});
  const failure = failureOf(error);
  const needsPassphrase = state.storage === 'passphrase';
  const isProviderAway = sso?.value?.login === null || sso?.value?.login.state !== 'done';
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    const reason = excuse.trim();
    // A failure is shown below the field; the mutation keeps it.
    void unlock({ ...(needsPassphrase ? { passphrase } : {}), ...(reason === '' ? {} : { withoutSignIn: reason }) }).finally(() => {
      setPassphrase('');
      setExcuse('');
    });
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
      {sso?.value?.settings?.required === true ? <SignInPanel view={sso.value} /> : null}
      {failure === null ? null : <FailureView failure={failure} />}
      {failure?.code === 'SIGN_IN_REQUIRED' && isProviderAway ? (
        <TextField
          label="Reason for opening without a sign-in"
          value={excuse}
          onValue={setExcuse}
          maxLength={200}
          hint="Taken only when the provider does not answer. Kept, and shown until the next sign-in."
          testId="without-sign-in"
        />
      ) : null}
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
