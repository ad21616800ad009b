import Button from '@mui/material/Button';
import { useState } from 'react';
import type { FormEvent } from 'react';
import type { ConsoleState } from '../../../bridge/model.ts';
import { useCreateFleetMutation } from '../../client/bridge-api.ts';
import { failureOf } from '../../client/query-failure.ts';
import { FailureView } from '../../widgets/blank.tsx';
import { TextField } from '../../widgets/field.tsx';
import { passphraseLengthMin, strengthOf } from './passphrase-strength.ts';

type Storage = 'keychain' | 'passphrase';

/** Names the fleet and its first operator, and asks where the keys go. */
export const CreateFleetForm = ({ state }: { readonly state: ConsoleState }) => {
  const [fleetName, setFleetName] = useState('');
  const [operatorName, setOperatorName] = useState('');
  const [storage, setStorage] = useState<Storage>(state.keychain.available ? 'keychain' : 'passphrase');
  const [passphrase, setPassphrase] = useState('');
  const [repeated, setRepeated] = useState('');
  const [create, { isLoading, error }] = useCreateFleetMutation();
  const failure = failureOf(error);
  const isPassphraseFine = storage === 'keychain' || (passphrase.length >= passphraseLengthMin && passphrase === repeated);
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    void create({
      fleetName: fleetName.trim(),
      operatorName: operatorName.trim(),
      storage,
      ...(storage === 'passphrase' ? { passphrase } : {}),
    });
  };
  return (
    <form onSubmit={submit}>
      <div>
        <h1>Create a fleet</h1>
        <p className="dim">The fleet gets its own certificate authority, made here. Hosts trust nobody else.</p>
      </div>
      <TextField label="Fleet name" value={fleetName} onValue={setFleetName} maxLength={63} required autoFocus testId="fleet-name" />
      <TextField
        label="Your name"
        value={operatorName}
        onValue={setOperatorName}
        maxLength={63}
        required
        hint="Stands beside every change you make."
        testId="operator-name"
      />
      <StoragePick state={state} storage={storage} onStorage={setStorage} />
      {storage === 'passphrase' ? (
        <PassphraseFields passphrase={passphrase} repeated={repeated} onPassphrase={setPassphrase} onRepeated={setRepeated} />
      ) : null}
      {failure === null ? null : <FailureView failure={failure} />}
      <Button
        type="submit"
        variant="contained"
        disabled={isLoading || fleetName.trim() === '' || operatorName.trim() === '' || !isPassphraseFine}
        data-testid="create-fleet"
      >
        {isLoading ? 'Creating…' : 'Create fleet'}
      </Button>
    </form>
  );
};

interface StoragePickProps {
  readonly state: ConsoleState;
  readonly storage: Storage;
  readonly onStorage: (storage: Storage) => void;
}

const StoragePick = ({ state, storage, onStorage }: StoragePickProps) => (
  <fieldset className="field" style={{ gap: 8 }}>
    <legend>Where the keys are kept</legend>
    <label className="pick">
      <input
        type="radio"
        name="storage"
        checked={storage === 'keychain'}
        disabled={!state.keychain.available}
        onChange={() => onStorage('keychain')}
        data-testid="storage-keychain"
      />
      <strong>Keychain of this computer</strong>
      <span className="dim">{state.keychain.available ? 'Opens with your session.' : `Not available: ${state.keychain.reason}`}</span>
    </label>
    <label className="pick">
      <input
        type="radio"
        name="storage"
        checked={storage === 'passphrase'}
        onChange={() => onStorage('passphrase')}
        data-testid="storage-passphrase"
      />
      <strong>A file opened by a passphrase</strong>
      <span className="dim">Asked for at every start. Nobody can recover it.</span>
    </label>
  </fieldset>
);

interface PassphraseFieldsProps {
  readonly passphrase: string;
  readonly repeated: string;
  readonly onPassphrase: (text: string) => void;
  readonly onRepeated: (text: string) => void;
}

const PassphraseFields = ({ passphrase, repeated, onPassphrase, onRepeated }: PassphraseFieldsProps) => {
  const { score, words } = strengthOf(passphrase);
  const tone = score <= 1 ? 'crit' : score === 2 ? 'warn' : 'ok';
  const faults =
    repeated !== '' && repeated !== passphrase
      ? [{ severity: 'error' as const, message: 'The two passphrases differ: type the same again.' }]
      : [];
  return (
    <>
      <TextField
        label="Passphrase"
        type="password"
        autoComplete="new-password"
        value={passphrase}
        onValue={onPassphrase}
        required
        hint={`At least ${String(passphraseLengthMin)} characters; several words are best.`}
        testId="passphrase"
      />
      {passphrase === '' ? null : (
        <div className={tone} role="status">
          <div className="strength" aria-hidden="true">
            {[1, 2, 3, 4].map((step) => (
              <i key={step} className={step <= score ? 'on' : ''} />
            ))}
          </div>
          {words}
        </div>
      )}
      <TextField
        label="Passphrase again"
        type="password"
        autoComplete="new-password"
        value={repeated}
        onValue={onRepeated}
        required
        faults={faults}
        testId="passphrase-again"
      />
    </>
  );
};
