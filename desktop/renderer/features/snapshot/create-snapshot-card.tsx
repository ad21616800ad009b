/** Makes a snapshot of the fleet as this console knows it. */
import Button from '@mui/material/Button';
import { useState } from 'react';
import type { SnapshotFile, SnapshotProfile } from '../../../bridge/snapshot-model.ts';
import { snapshotProfiles } from '../../../../proto/model/snapshot-profile.ts';
import { toFailure } from '../../client/failure.ts';
import type { Failure } from '../../client/failure.ts';
import { useFleet } from '../../client/shell.tsx';
import { useCreateSnapshotMutation, useRecipientsQuery } from '../../client/snapshot-api.ts';
import { countOf, formatBytes } from '../../client/units.ts';
import { FailureView } from '../../widgets/blank.tsx';
import { Card } from '../../widgets/card.tsx';
import { Checks, SelectField, TextField } from '../../widgets/field.tsx';
import { useSnapshotDownload } from './snapshot-transfer.ts';
import { profileWords } from './snapshot-words.ts';

const passphraseMin = 10;

type State =
  | { readonly kind: 'working' }
  | { readonly kind: 'failed'; readonly failure: Failure }
  | { readonly kind: 'made'; readonly file: SnapshotFile };

export const CreateSnapshotCard = () => {
  const fleet = useFleet();
  const { data: book = [] } = useRecipientsQuery({});
  const [create] = useCreateSnapshotMutation();
  const download = useSnapshotDownload();
  const [profile, setProfile] = useState<SnapshotProfile>('config');
  const [chosen, setChosen] = useState<readonly string[]>([]);
  const [passphrase, setPassphrase] = useState('');
  const [again, setAgain] = useState('');
  const [isFresh, setFresh] = useState(false);
  const [state, setState] = useState<State | null>(null);
  const faults = passphraseFaults(passphrase, again, chosen.length > 0);
  const make = async (): Promise<void> => {
    setState({ kind: 'working' });
    try {
      const words = passphrase === '' ? {} : { passphrase };
      const file = await create({ profile, recipients: [...chosen], ...words, ...(isFresh ? { fresh: true } : {}) }).unwrap();
      await download(file);
      setPassphrase('');
      setAgain('');
      setState({ kind: 'made', file });
    } catch (error) {
      setState({ kind: 'failed', failure: toFailure(error) });
    }
  };
  return (
    <Card title="Make a snapshot" testId="snapshot-create">
      <div className="stack form-narrow">
        <SelectField
          label="What goes in"
          value={profile}
          options={snapshotProfiles.map((value) => ({ value, title: profileWords[value] }))}
          onValue={(value) => setProfile(snapshotProfiles.find((known) => known === value) ?? 'config')}
          hint="Names of operators, comments, hardware addresses and the host part of addresses in flows are masked in all but the last."
          testId="snapshot-profile"
        />
        {book.length === 0 ? null : (
          <Checks
            label="Opens with the key of"
            values={chosen}
            options={book.map(({ name }) => ({ value: name, title: name }))}
            onValues={setChosen}
            testId="snapshot-recipients"
          />
        )}
        <PassphraseFields
          passphrase={passphrase}
          again={again}
          faults={faults}
          hint={chosen.length === 0 ? 'At least 10 characters.' : 'May stay empty: the chosen keys open it.'}
          onPassphrase={setPassphrase}
          onAgain={setAgain}
        />
        <FreshField isFresh={isFresh} onFresh={setFresh} />
        {state?.kind === 'failed' ? <FailureView failure={state.failure} /> : null}
        {state?.kind === 'made' ? <Made file={state.file} /> : null}
        <Button
          variant="contained"
          sx={{ alignSelf: 'flex-start' }}
          disabled={!faults.isReady || state?.kind === 'working' || fleet.rows.length === 0}
          onClick={() => void make()}
          data-testid="snapshot-make"
        >
          {state?.kind === 'working' ? 'Making it…' : 'Make and save'}
        </Button>
        {fleet.rows.length === 0 && fleet.at !== null ? <p className="dim">There is no host yet: nothing could go in.</p> : null}
      </div>
    </Card>
  );
};

const FreshField = ({ isFresh, onFresh }: { readonly isFresh: boolean; readonly onFresh: (isFresh: boolean) => void }) => (
  <label className="check">
    <input type="checkbox" checked={isFresh} onChange={(event) => onFresh(event.target.checked)} />
    Ask every host that answers first, instead of taking what the console knows
  </label>
);

interface PassphraseFieldsProps {
  readonly passphrase: string;
  readonly again: string;
  readonly faults: ReturnType<typeof passphraseFaults>;
  readonly hint: string;
  readonly onPassphrase: (value: string) => void;
  readonly onAgain: (value: string) => void;
}

const PassphraseFields = ({ passphrase, again, faults, hint, onPassphrase, onAgain }: PassphraseFieldsProps) => (
  <>
    <TextField
      label="Opens with the passphrase"
      type="password"
      autoComplete="new-password"
      value={passphrase}
      onValue={onPassphrase}
      faults={faults.first}
      hint={hint}
      testId="snapshot-passphrase"
    />
    <TextField
      label="Once more"
      type="password"
      autoComplete="new-password"
      value={again}
      onValue={onAgain}
      faults={faults.second}
      testId="snapshot-passphrase-again"
    />
  </>
);

const Made = ({ file: { fileName, bytes, info } }: { readonly file: SnapshotFile }) => (
  <div className="callout ok" role="status" data-testid="snapshot-made">
    <div>
      <strong>{fileName}</strong> holds {countOf(info?.hosts ?? 0, 'host')} in {formatBytes(bytes)}. Whoever opens it elsewhere compares the
      root: <span className="mono">{info?.rootSha256}</span>
    </div>
  </div>
);

const passphraseFaults = (passphrase: string, again: string, hasKeys: boolean) => {
  const error = (message: string) => [{ severity: 'error', message } as const];
  const isShort = passphrase !== '' && passphrase.length < passphraseMin;
  const differs = passphrase !== again;
  return {
    first: isShort ? error(`At least ${String(passphraseMin)} characters.`) : undefined,
    second: again !== '' && differs ? error('The two differ.') : undefined,
    isReady: !isShort && !differs && (hasKeys || passphrase !== ''),
  };
};
