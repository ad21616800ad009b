/** An open snapshot, read-only: its hosts, searched, and one of them in detail. */
import Button from '@mui/material/Button';
import { useDeferredValue, useState } from 'react';
import { Link, useParams, useSearchParams } from 'react-router';
import type { HostRow } from '../../../bridge/model.ts';
import type { SnapshotFile } from '../../../bridge/snapshot-model.ts';
import { failureOf } from '../../client/query-failure.ts';
import { useSnapshotHostsQuery, useSnapshotsQuery } from '../../client/snapshot-api.ts';
import { formatCount, formatRevision } from '../../client/units.ts';
import { Blank, Outcome } from '../../widgets/blank.tsx';
import { Card } from '../../widgets/card.tsx';
import { TextField } from '../../widgets/field.tsx';
import { Page } from '../../widgets/page.tsx';
import { SnapshotBanner } from './snapshot-banner.tsx';
import { SnapshotHostCard } from './snapshot-host-card.tsx';
import { snapshotLink } from './snapshot-words.ts';

/** Rows drawn; search for the others. */
const rowsMax = 200;

export const SnapshotPage = () => {
  const { id = '' } = useParams();
  const { data, error, refetch } = useSnapshotsQuery({});
  return (
    <Outcome value={data} failure={failureOf(error)} label="Loading the snapshot" onRetry={() => void refetch()}>
      {(files) => {
        const file = files.find(({ snapshotId, isOpen }) => snapshotId === id && isOpen);
        return file === undefined ? <NotOpen /> : <Opened file={file} />;
      }}
    </Outcome>
  );
};

/** Shown for an address of a file that was closed, or that another start of the console held. */
export const NotOpen = () => (
  <Page title="Snapshot">
    <div className="card fill">
      <Blank title="This snapshot is not open" action={<Link to="/snapshots">Choose a file</Link>}>
        Files are held in memory and are gone when they are closed, or when the console ends.
      </Blank>
    </div>
  </Page>
);

const Opened = ({ file }: { readonly file: SnapshotFile }) => {
  const [search] = useSearchParams();
  const hostId = search.get('host');
  return (
    <Page
      title="Snapshot"
      about={file.fileName}
      banner={<SnapshotBanner file={file} />}
      actions={
        <Button component={Link} to={`${snapshotLink(file.snapshotId)}/compare`} variant="outlined">
          Compare
        </Button>
      }
    >
      <HostsCard file={file} chosen={hostId} />
      {hostId === null ? null : <SnapshotHostCard key={hostId} snapshotId={file.snapshotId} hostId={hostId} />}
    </Page>
  );
};

const HostsCard = ({ file: { snapshotId }, chosen }: { readonly file: SnapshotFile; readonly chosen: string | null }) => {
  const [where, setWhere] = useState('');
  const asked = useDeferredValue(where);
  const { data, error, refetch } = useSnapshotHostsQuery({ snapshotId, where: asked, limit: rowsMax });
  const count = data === undefined ? undefined : `${formatCount(data.matched)} of ${formatCount(data.total)}`;
  return (
    <Card title="Hosts" aside={count} testId="snapshot-hosts">
      <TextField
        label="Search"
        type="search"
        data-filter=""
        value={where}
        onValue={setWhere}
        placeholder="name, address, label"
        testId="snapshot-search"
      />
      <Outcome value={data} failure={failureOf(error)} label="Loading the hosts" onRetry={() => void refetch()}>
        {({ rows, matched, problems }) => (
          <>
            {problems.map((problem) => (
              <p key={problem} className="warn">
                {problem}
              </p>
            ))}
            <HostTable rows={rows} snapshotId={snapshotId} chosen={chosen} />
            {matched > rows.length ? <p className="dim">{`${formatCount(matched - rows.length)} more fit: search for less.`}</p> : null}
          </>
        )}
      </Outcome>
    </Card>
  );
};

interface HostTableProps {
  readonly rows: readonly HostRow[];
  readonly snapshotId: string;
  readonly chosen: string | null;
}

const HostTable = ({ rows, snapshotId, chosen }: HostTableProps) =>
  rows.length === 0 ? (
    <Blank title="No host fits">Search for something else.</Blank>
  ) : (
    <div className="table-scroll">
      <table className="table">
        <thead>
          <tr>
            {['Host', 'State then', 'Address', 'Engine', 'Policy', 'Agent', 'Labels'].map((title) => (
              <th key={title} scope="col">
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.hostId} className="row" aria-current={row.hostId === chosen ? 'true' : undefined}>
              <td className="mono">
                <Link to={snapshotLink(snapshotId, row.hostId)}>{row.name}</Link>
              </td>
              <td>{row.state}</td>
              <td className="mono">{row.address}</td>
              <td>{row.engine ?? '–'}</td>
              <td className="mono">{formatRevision(row.revision, row.generation)}</td>
              <td className="mono">{row.agentVersion ?? '–'}</td>
              <td>{row.labels.join(', ')}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
