import Button from '@mui/material/Button';
import { History } from 'lucide-react';
import { useState } from 'react';
import { Link } from 'react-router';
import type { PolicyRevision } from '../../../bridge/model.ts';
import { useRevisionsQuery, useRollbackPolicyMutation } from '../../client/bridge-api.ts';
import { failureOf } from '../../client/query-failure.ts';
import { useNow } from '../../client/shell.tsx';
import { useConsoleDispatch } from '../../client/store.ts';
import { countOf, formatAge, formatDateTime, formatGeneration } from '../../client/units.ts';
import { noticeRaised } from '../../client/window-slice.ts';
import { Blank, FailureView, Outcome } from '../../widgets/blank.tsx';
import { Card } from '../../widgets/card.tsx';
import { ConsoleDialog } from '../../widgets/console-dialog.tsx';

const tones: Readonly<Record<PolicyRevision['state'], { readonly tone: string; readonly shape: string }>> = {
  pending: { tone: 'warn', shape: 'dot triangle' },
  confirmed: { tone: 'ok', shape: 'dot' },
  'rolled-back': { tone: 'warn', shape: 'dot square' },
  superseded: { tone: 'off', shape: 'dot ring' },
  failed: { tone: 'crit', shape: 'dot square' },
};

/** The revisions a host keeps, newest first. */
export const HistoryTab = ({ hostId }: { readonly hostId: string }) => {
  const { data, error, refetch } = useRevisionsQuery({ hostId });
  const [wanted, setWanted] = useState<PolicyRevision | null>(null);
  return (
    <>
      <Card title="History" isFlush aside={data === undefined ? undefined : <Age revisions={data} />} testId="history">
        <Outcome value={data} failure={failureOf(error)} label="Loading the history" onRetry={() => void refetch()}>
          {(revisions) =>
            revisions.length === 0 ? (
              <Blank title="No revision yet" icon={<History size={28} aria-hidden="true" />}>
                The first policy applied to this host begins its history.
              </Blank>
            ) : (
              <RevisionTable hostId={hostId} revisions={revisions} onRollback={setWanted} />
            )
          }
        </Outcome>
      </Card>
      {wanted === null ? null : <RollbackDialog revision={wanted} onClose={() => setWanted(null)} />}
    </>
  );
};

/** Revision 0 is the state before the first policy, no policy of its own. */
const hasPolicy = ({ revision }: PolicyRevision): boolean => revision > 0;

const Age = ({ revisions }: { readonly revisions: readonly PolicyRevision[] }) => {
  const now = useNow();
  const [first] = revisions;
  const made = revisions.filter(hasPolicy).length;
  if (first === undefined || first.live) return made === 0 ? 'no policy yet' : countOf(made, 'revision');
  return <span className="off">as of {formatAge(now - first.at)} ago</span>;
};

interface RevisionTableProps {
  readonly hostId: string;
  readonly revisions: readonly PolicyRevision[];
  readonly onRollback: (revision: PolicyRevision) => void;
}

const RevisionTable = ({ hostId, revisions, onRollback }: RevisionTableProps) => {
  const current = revisions.find(({ state }) => state === 'confirmed')?.revision;
  return (
    <div className="table-scroll">
      <table className="table">
        <thead>
          <tr>
            {['Revision', 'State', 'Author', 'Comment', 'Made', 'Content'].map((title) => (
              <th key={title} scope="col">
                {title}
              </th>
            ))}
            <th scope="col">
              <span className="unseen">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {revisions.map((revision) => (
            <RevisionRow
              key={revision.revision}
              hostId={hostId}
              revision={revision}
              canRollback={
                revision.revision !== current && revision.live && (revision.state === 'superseded' || revision.state === 'rolled-back')
              }
              onRollback={() => onRollback(revision)}
            />
          ))}
        </tbody>
      </table>
    </div>
  );
};

interface RevisionRowProps {
  readonly hostId: string;
  readonly revision: PolicyRevision;
  readonly canRollback: boolean;
  readonly onRollback: () => void;
}

const RevisionRow = ({ hostId, revision, canRollback, onRollback }: RevisionRowProps) => {
  const { tone, shape } = tones[revision.state];
  return (
    <tr className="row">
      <td>
        {hasPolicy(revision) ? (
          <>
            <Link className="mono" to={`/hosts/${hostId}/policy?revision=${String(revision.revision)}`}>
              rev {revision.revision}
            </Link>{' '}
            <span className="mono dim">{formatGeneration(revision.generation)}</span>
          </>
        ) : (
          <span className="dim">no policy yet</span>
        )}
      </td>
      <td className="wrap" title={revision.settledReason}>
        <span className={`state ${tone}`}>
          <span className={shape} aria-hidden="true" />
          {revision.state === 'rolled-back' ? 'taken back' : revision.state}
        </span>
        {revision.settledReason === '' ? null : <div className="dim">{revision.settledReason}</div>}
      </td>
      <td>{revision.author}</td>
      <td className="wrap">{revision.comment === '' ? <span className="off">none</span> : revision.comment}</td>
      <td className="mono">{revision.createdAt === 0 ? '–' : formatDateTime(revision.createdAt)}</td>
      <td className="dim">
        {hasPolicy(revision)
          ? `${countOf(revision.mappingCount, 'mapping')}, ${countOf(revision.serviceCount, 'service')}`
          : 'everything passes'}
      </td>
      <td className="right">
        {canRollback ? (
          <Button variant="outlined" size="small" onClick={onRollback} data-testid="rollback">
            Go back to it…
          </Button>
        ) : null}
      </td>
    </tr>
  );
};

const RollbackDialog = ({ revision, onClose }: { readonly revision: PolicyRevision; readonly onClose: () => void }) => {
  const [rollback, { isLoading, error }] = useRollbackPolicyMutation();
  const dispatch = useConsoleDispatch();
  const failure = failureOf(error);
  const go = async (): Promise<void> => {
    const { data } = await rollback({ hostId: revision.hostId, toRevision: revision.revision });
    if (data === undefined) return;
    dispatch(
      noticeRaised({
        kind: 'ok',
        text: `The policy of revision ${String(revision.revision)} is in force again, as revision ${String(data.revision)}.`,
      }),
    );
    onClose();
  };
  return (
    <ConsoleDialog
      title={`Go back to revision ${String(revision.revision)}?`}
      onClose={onClose}
      testId="rollback-dialog"
      footer={
        <>
          <span className="grow" />
          <Button variant="outlined" onClick={onClose} autoFocus>
            Cancel
          </Button>
          <Button variant="contained" color="error" disabled={isLoading} onClick={() => void go()} data-testid="rollback-confirm">
            Go back now
          </Button>
        </>
      }
    >
      <p>
        The policy of that day takes force at once, as a new revision, without a review: flows it does not allow are cut at their next
        packet. If it cuts this console off, the host takes it back by itself.
      </p>
      <p className="dim">To see the effect first, load it into the editor instead.</p>
      {failure === null ? null : <FailureView failure={failure} />}
    </ConsoleDialog>
  );
};
