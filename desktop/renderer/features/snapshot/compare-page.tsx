/** What changed from an open snapshot to another, or to the fleet as this console knows it now. */
import { useState } from 'react';
import { useParams } from 'react-router';
import type { SnapshotComparison, SnapshotDifference, SnapshotFile } from '../../../bridge/snapshot-model.ts';
import { failureOf } from '../../client/query-failure.ts';
import { useCompareSnapshotPoliciesQuery, useCompareSnapshotsQuery, useSnapshotsQuery } from '../../client/snapshot-api.ts';
import { countOf, formatCount, formatDateTime } from '../../client/units.ts';
import { Blank, Outcome } from '../../widgets/blank.tsx';
import { Card } from '../../widgets/card.tsx';
import { ConsoleDialog } from '../../widgets/console-dialog.tsx';
import { DiffView } from '../../widgets/diff-view.tsx';
import { SelectField } from '../../widgets/field.tsx';
import { Page } from '../../widgets/page.tsx';
import { SnapshotBanner } from './snapshot-banner.tsx';
import { NotOpen } from './snapshot-page.tsx';

export const ComparePage = () => {
  const { id = '' } = useParams();
  const { data, error, refetch } = useSnapshotsQuery({});
  return (
    <Outcome value={data} failure={failureOf(error)} label="Loading the snapshot" onRetry={() => void refetch()}>
      {(files) => {
        const open = files.filter(({ isOpen }) => isOpen);
        const file = open.find(({ snapshotId }) => snapshotId === id);
        return file === undefined ? <NotOpen /> : <Compared file={file} others={open.filter((other) => other !== file)} />;
      }}
    </Outcome>
  );
};

const Compared = ({ file, others }: { readonly file: SnapshotFile; readonly others: readonly SnapshotFile[] }) => {
  const [after, setAfter] = useState('live');
  const sides = { before: file.snapshotId, after };
  const { data, error, refetch, isFetching } = useCompareSnapshotsQuery(sides);
  return (
    <Page title="Compare" about={file.fileName} banner={<SnapshotBanner file={file} />}>
      <Card title="Changes" testId="snapshot-comparison">
        <SelectField
          label="To"
          value={after}
          options={[
            { value: 'live', title: 'the fleet as this console knows it now' },
            ...others.map(({ snapshotId, fileName, info }) => ({
              value: snapshotId,
              title: `${fileName}${info === null ? '' : ` (${formatDateTime(info.createdAt)})`}`,
            })),
          ]}
          onValue={setAfter}
          hint="Open another snapshot to compare with it."
          testId="snapshot-compare-to"
        />
        <Outcome value={isFetching ? undefined : data} failure={failureOf(error)} label="Comparing" onRetry={() => void refetch()}>
          {(comparison) => <Differences comparison={comparison} sides={sides} />}
        </Outcome>
      </Card>
    </Page>
  );
};

interface Sides {
  readonly before: string;
  readonly after: string;
}

const Differences = ({ comparison, sides }: { readonly comparison: SnapshotComparison; readonly sides: Sides }) => {
  const { added, removed, changed, same, differences, isMaskShared } = comparison;
  const [shown, setShown] = useState<SnapshotDifference | null>(null);
  return (
    <>
      <p data-testid="snapshot-compare-sum">
        {`${formatCount(added)} added, ${formatCount(removed)} removed, ${formatCount(changed)} changed, ${formatCount(same)} the same.`}
      </p>
      {isMaskShared ? null : (
        <p className="warn">The two were masked with different keys, or one is not masked: masked values were not compared.</p>
      )}
      {differences.length === 0 ? (
        <Blank title="No difference">Every host is as it was.</Blank>
      ) : (
        <table className="table">
          <thead>
            <tr>
              <th scope="col">Host</th>
              <th scope="col">Change</th>
              <th scope="col">Fields</th>
            </tr>
          </thead>
          <tbody>
            {differences.map((difference) => (
              <DifferenceLine key={difference.hostId} difference={difference} onPolicy={() => setShown(difference)} />
            ))}
          </tbody>
        </table>
      )}
      {differences.length < added + removed + changed ? (
        <p className="dim">{`${countOf(added + removed + changed - differences.length, 'more host')} differ.`}</p>
      ) : null}
      {shown === null ? null : <PolicyDialog difference={shown} sides={sides} onClose={() => setShown(null)} />}
    </>
  );
};

const kindWords = { added: 'added', removed: 'removed', changed: 'changed' } as const;

const DifferenceLine = ({ difference, onPolicy }: { readonly difference: SnapshotDifference; readonly onPolicy: () => void }) => (
  <tr className="row" data-testid="snapshot-difference">
    <td className="mono">{difference.name}</td>
    <td>{kindWords[difference.kind]}</td>
    <td className="wrap">
      {difference.fields.map(({ field, before, after }) =>
        field === 'policy' ? (
          <div key={field}>
            <button type="button" className="link-button" onClick={onPolicy} data-testid="snapshot-policy-diff">
              policy
            </button>
          </div>
        ) : (
          <div key={field}>
            {field}: <span className="mono">{short(before)}</span> → <span className="mono">{short(after)}</span>
          </div>
        ),
      )}
    </td>
  </tr>
);

/** Hashes are told from one another by their beginning. */
const short = (value: string): string => (value === '' ? '–' : /^[0-9a-f]{64}$/.test(value) ? value.slice(0, 12) : value);

interface PolicyDialogProps {
  readonly difference: SnapshotDifference;
  readonly sides: Sides;
  readonly onClose: () => void;
}

const PolicyDialog = ({ difference: { hostId, name }, sides, onClose }: PolicyDialogProps) => {
  const { data, error, refetch } = useCompareSnapshotPoliciesQuery({ ...sides, hostId });
  return (
    <ConsoleDialog title={`Policy of ${name}`} onClose={onClose} width={820} testId="snapshot-policy-dialog">
      <Outcome value={data} failure={failureOf(error)} label="Comparing the policies" onRetry={() => void refetch()}>
        {({ lines, hidden }) => (
          <>
            {lines.length === 0 ? <p>They are written differently and mean the same.</p> : <DiffView lines={lines} />}
            {hidden === 0 ? null : <p className="dim">{`${formatCount(hidden)} more lines`}</p>}
          </>
        )}
      </Outcome>
    </ConsoleDialog>
  );
};
