/** Opens a file whose signature was checked: whose it is first, then the secret. */
import Button from '@mui/material/Button';
import { useState } from 'react';
import { useNavigate } from 'react-router';
import type { SnapshotFile, SnapshotInfo } from '../../../bridge/snapshot-model.ts';
import { failureOf } from '../../client/query-failure.ts';
import { useNow } from '../../client/shell.tsx';
import { useOpenSnapshotMutation } from '../../client/snapshot-api.ts';
import { countOf, formatAge, formatDateTime, groupsOfFour } from '../../client/units.ts';
import { FailureView } from '../../widgets/blank.tsx';
import { ConsoleDialog } from '../../widgets/console-dialog.tsx';
import { Checks, Choice, TextField } from '../../widgets/field.tsx';
import { snapshotLink, standingWords, trustWords } from './snapshot-words.ts';

/** Ages are told in minutes. */
const clockMs = 30_000;

interface OpenSnapshotDialogProps {
  readonly file: SnapshotFile;
  readonly onClose: () => void;
}

export const OpenSnapshotDialog = ({ file: { snapshotId, fileName, info }, onClose }: OpenSnapshotDialogProps) => {
  const navigate = useNavigate();
  const [open, { isLoading, error }] = useOpenSnapshotMutation();
  const [way, setWay] = useState<'passphrase' | 'identity'>(info?.hasPassphrase === false ? 'identity' : 'passphrase');
  const [passphrase, setPassphrase] = useState('');
  const [identity, setIdentity] = useState('');
  const [accepted, setAccepted] = useState<readonly ('root' | 'author')[]>([]);
  if (info === null) return null;
  const failure = failureOf(error);
  const needsRoot = info.trust === 'foreign' && !accepted.includes('root');
  const needsAuthor = standingWords[info.standing] !== null && !accepted.includes('author');
  const isReady = passphrase !== '' && (way === 'passphrase' || identity !== '') && !needsRoot && !needsAuthor;
  const press = async (): Promise<void> => {
    const secret = way === 'passphrase' ? { passphrase } : { identity: { file: identity, passphrase } };
    const root = info.trust === 'foreign' ? { rootSha256: info.rootSha256 } : {};
    const author = accepted.includes('author') ? { acceptAuthor: true } : {};
    const { data } = await open({ snapshotId, ...secret, ...root, ...author });
    if (data === undefined) return;
    onClose();
    void navigate(snapshotLink(snapshotId));
  };
  return (
    <ConsoleDialog
      title={`Open ${fileName}`}
      onClose={onClose}
      testId="snapshot-open-dialog"
      footer={
        <>
          <Button variant="outlined" onClick={onClose}>
            Cancel
          </Button>
          <Button variant="contained" disabled={!isReady || isLoading} onClick={() => void press()} data-testid="snapshot-open-confirm">
            {isLoading ? 'Opening' : 'Open'}
          </Button>
        </>
      }
    >
      <Whose info={info} />
      <Doubts info={info} accepted={accepted} onAccepted={setAccepted} />
      {info.hasPassphrase && info.keyHolders > 0 ? (
        <Choice
          label="Opens with"
          value={way}
          options={[
            { value: 'passphrase', title: 'Passphrase' },
            { value: 'identity', title: 'Key file' },
          ]}
          onValue={setWay}
        />
      ) : null}
      {way === 'identity' ? <IdentityField onFile={setIdentity} /> : null}
      <TextField
        label={way === 'passphrase' ? 'Passphrase of the snapshot' : 'Passphrase of the key file'}
        type="password"
        value={passphrase}
        onValue={setPassphrase}
        testId="snapshot-secret"
      />
      {failure === null ? null : <FailureView failure={failure} />}
    </ConsoleDialog>
  );
};

/** Its text is given to the core; it is not kept here. */
const IdentityField = ({ onFile }: { readonly onFile: (text: string) => void }) => (
  <label className="field">
    <span>Key file</span>
    <input
      type="file"
      accept=".json"
      onChange={(event) => {
        void event.target.files?.[0]?.text().then(onFile);
      }}
      data-testid="snapshot-identity"
    />
  </label>
);

const Whose = ({ info }: { readonly info: SnapshotInfo }) => {
  const now = useNow(clockMs);
  return (
    <p data-testid="snapshot-whose">
      <strong>{info.fleetName}</strong>, {trustWords[info.trust]}: {countOf(info.hosts, 'host')}, made {formatAge(now - info.createdAt)} ago
      ({formatDateTime(info.createdAt)}) by {info.author}. Every byte is as its author signed it.
    </p>
  );
};

interface DoubtsProps {
  readonly info: SnapshotInfo;
  readonly accepted: readonly ('root' | 'author')[];
  readonly onAccepted: (accepted: readonly ('root' | 'author')[]) => void;
}

/** What a person has to say before the file is believed. */
const Doubts = ({ info, accepted, onAccepted }: DoubtsProps) => {
  const standing = standingWords[info.standing];
  return (
    <>
      {info.trust === 'foreign' ? (
        <div className="callout warn" data-testid="snapshot-foreign">
          <div>
            This console does not know the root of that fleet. Ask its author for it, by another way than the file, and compare:
            <div className="mono">{groupsOfFour(info.rootSha256).join(' ')}</div>
          </div>
        </div>
      ) : null}
      {standing === null ? null : (
        <div className="callout crit" role="alert">
          <div>{standing}</div>
        </div>
      )}
      {info.trust !== 'foreign' && standing === null ? null : (
        <Checks
          label="Before it is opened"
          values={accepted}
          options={[
            ...(info.trust === 'foreign' ? [{ value: 'root' as const, title: 'I compared the root' }] : []),
            ...(standing === null ? [] : [{ value: 'author' as const, title: 'I believe its author all the same' }]),
          ]}
          onValues={onAccepted}
          testId="snapshot-accept"
        />
      )}
    </>
  );
};
