/** Snapshot files: make one, open one, and who they are made for. */
import Button from '@mui/material/Button';
import { FolderOpen } from 'lucide-react';
import { useState } from 'react';
import { Link } from 'react-router';
import type { SnapshotFile } from '../../../bridge/snapshot-model.ts';
import { toFailure } from '../../client/failure.ts';
import type { Failure } from '../../client/failure.ts';
import { failureOf } from '../../client/query-failure.ts';
import { useNow } from '../../client/shell.tsx';
import { useCloseSnapshotMutation, useSnapshotsQuery } from '../../client/snapshot-api.ts';
import { countOf, formatAge, formatBytes } from '../../client/units.ts';
import { Blank, FailureView, Outcome } from '../../widgets/blank.tsx';
import { Card } from '../../widgets/card.tsx';
import { Page } from '../../widgets/page.tsx';
import { CreateSnapshotCard } from './create-snapshot-card.tsx';
import { OpenSnapshotDialog } from './open-snapshot-dialog.tsx';
import { RecipientsCard } from './recipients-card.tsx';
import { useSnapshotDownload, useSnapshotUpload } from './snapshot-transfer.ts';
import { profileWords, snapshotLink, trustWords } from './snapshot-words.ts';

/** Ages are told in minutes. */
const clockMs = 30_000;

export const SnapshotsPage = () => {
  const { data, error, refetch } = useSnapshotsQuery({});
  const [opening, setOpening] = useState<SnapshotFile | null>(null);
  return (
    <Page title="Snapshots" about="The fleet in a signed, encrypted file">
      <Card title="Files" isFlush aside={<ChooseFile onFile={setOpening} />} testId="snapshot-files">
        <Outcome value={data} failure={failureOf(error)} label="Loading the files" onRetry={() => void refetch()}>
          {(files) => <Files files={files} onOpen={setOpening} />}
        </Outcome>
      </Card>
      <CreateSnapshotCard />
      <RecipientsCard />
      {opening === null ? null : <OpenSnapshotDialog file={opening} onClose={() => setOpening(null)} />}
    </Page>
  );
};

const ChooseFile = ({ onFile }: { readonly onFile: (file: SnapshotFile) => void }) => {
  const upload = useSnapshotUpload();
  const [state, setState] = useState<Failure | 'reading' | null>(null);
  const take = (file: File | undefined): void => {
    if (file === undefined) return;
    setState('reading');
    upload(file).then(
      (held) => {
        setState(null);
        onFile(held);
      },
      (problem: unknown) => setState(toFailure(problem)),
    );
  };
  return (
    <>
      <Button component="label" variant="outlined" size="small" startIcon={<FolderOpen size={14} />} disabled={state === 'reading'}>
        Open a file…
        <input
          type="file"
          className="unseen"
          accept=".nestsnap"
          disabled={state === 'reading'}
          onChange={(event) => {
            take(event.target.files?.[0]);
            // The same file may be chosen again.
            event.target.value = '';
          }}
          data-testid="snapshot-choose"
        />
      </Button>
      {state === 'reading' ? <span role="status">Reading the file</span> : null}
      {state === null || state === 'reading' ? null : <FailureView failure={state} />}
    </>
  );
};

interface FilesProps {
  readonly files: readonly SnapshotFile[];
  readonly onOpen: (file: SnapshotFile) => void;
}

const Files = ({ files, onOpen }: FilesProps) => {
  const now = useNow(clockMs);
  if (files.length === 0) return <Blank title="No snapshot is open">Open a .nestsnap file, or make one below.</Blank>;
  return (
    <div className="table-scroll">
      <table className="table">
        <thead>
          <tr>
            {['File', 'Fleet', 'Made', 'Holds', 'Size'].map((title) => (
              <th key={title} scope="col">
                {title}
              </th>
            ))}
            <th scope="col">
              <span className="unseen">What to do</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {files.map((file) => (
            <FileLine key={file.snapshotId} file={file} now={now} onOpen={() => onOpen(file)} />
          ))}
        </tbody>
      </table>
    </div>
  );
};

const FileLine = ({ file, now, onOpen }: { readonly file: SnapshotFile; readonly now: number; readonly onOpen: () => void }) => {
  const { info, isOpen, snapshotId, fileName } = file;
  const [close] = useCloseSnapshotMutation();
  const download = useSnapshotDownload();
  const [failure, setFailure] = useState<Failure | null>(null);
  return (
    <tr className="row" data-testid="snapshot-file">
      <td className="mono">{isOpen ? <Link to={snapshotLink(snapshotId)}>{fileName}</Link> : fileName}</td>
      <td className="wrap">
        {info === null ? '–' : `${info.fleetName}, ${trustWords[info.trust]}`}
        {failure === null ? null : <div className="crit">{failure.message}</div>}
      </td>
      <td>{info === null ? '–' : `${formatAge(now - info.createdAt)} ago by ${info.author}`}</td>
      <td>{info === null ? '–' : `${countOf(info.hosts, 'host')}, ${(profileWords[info.profile].split(':')[0] ?? '').toLowerCase()}`}</td>
      <td className="mono">{formatBytes(file.bytes)}</td>
      <td className="right">
        {isOpen || info === null ? null : (
          <Button variant="text" size="small" onClick={onOpen} data-testid="snapshot-open">
            Open
          </Button>
        )}
        <Button
          variant="text"
          size="small"
          onClick={() => {
            download(file).catch((problem: unknown) => setFailure(toFailure(problem)));
          }}
          data-testid="snapshot-save"
        >
          Save
        </Button>
        <Button variant="text" size="small" onClick={() => void close({ snapshotId })} data-testid="snapshot-close">
          Close
        </Button>
      </td>
    </tr>
  );
};
