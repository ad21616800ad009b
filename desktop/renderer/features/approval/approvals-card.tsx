import Button from '@mui/material/Button';
import { useState } from 'react';
import type { ApprovalRow } from '../../../bridge/model.ts';
import { useApprovalsQuery, useApproveMappingMutation } from '../../client/change-api.ts';
import { failureOf } from '../../client/query-failure.ts';
import { countOf, formatDateTime } from '../../client/units.ts';
import { Blank, FailureView, Outcome } from '../../widgets/blank.tsx';
import { Card } from '../../widgets/card.tsx';
import { ConsoleDialog } from '../../widgets/console-dialog.tsx';
import { TextField } from '../../widgets/field.tsx';

/** The list is asked for again so often, milliseconds. */
const pollMs = 10_000;

const states: Readonly<Record<ApprovalRow['state'], { readonly tone: string; readonly shape: string; readonly text: string }>> = {
  waiting: { tone: 'warn', shape: 'dot triangle', text: 'waits, not in force' },
  'in-force': { tone: 'ok', shape: 'dot', text: 'in force' },
  ended: { tone: 'crit', shape: 'dot square', text: 'has ended' },
};

export const ApprovalsCard = () => {
  const { data, error, refetch } = useApprovalsQuery({}, { pollingInterval: pollMs, skipPollingIfUnfocused: true });
  const [wanted, setWanted] = useState<ApprovalRow | null>(null);
  const waiting = data?.rows.filter(({ state }) => state === 'waiting').length ?? 0;
  return (
    <Card
      title="Mappings with an approval"
      isFlush
      aside={data === undefined ? undefined : waiting === 0 ? 'Nothing waits' : `${countOf(waiting, 'mapping')} waiting`}
      testId="approvals"
    >
      <Outcome value={data} failure={failureOf(error)} label="Loading the approvals" onRetry={() => void refetch()}>
        {({ rows, self, unknown }) => (
          <>
            {unknown.length === 0 ? null : <p className="dim">Not known: the policy of {unknown.join(', ')}.</p>}
            {rows.length === 0 ? (
              <Blank title="No mapping asks for an approval">Mappings ask for one in the policy editor.</Blank>
            ) : (
              <ApprovalTable rows={rows} self={self} onApprove={setWanted} />
            )}
          </>
        )}
      </Outcome>
      {wanted === null ? null : <ApproveDialog row={wanted} self={data?.self ?? ''} onClose={() => setWanted(null)} />}
    </Card>
  );
};

interface ApprovalTableProps {
  readonly rows: readonly ApprovalRow[];
  readonly self: string;
  readonly onApprove: (row: ApprovalRow) => void;
}

const ApprovalTable = ({ rows, self, onApprove }: ApprovalTableProps) => (
  <div className="table-scroll">
    <table className="table">
      <thead>
        <tr>
          {['Mapping', 'Host', 'State', 'Ends', 'Asked by', 'Approved by', 'Why'].map((title) => (
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
        {rows.map((row) => (
          <ApprovalLine key={`${row.hostId} ${row.mapping}`} row={row} self={self} onApprove={() => onApprove(row)} />
        ))}
      </tbody>
    </table>
  </div>
);

const ApprovalLine = ({ row, self, onApprove }: { readonly row: ApprovalRow; readonly self: string; readonly onApprove: () => void }) => {
  const { tone, shape, text } = states[row.state];
  const refusal =
    row.requestedBy === self ? 'You asked for it: another operator approves it.' : row.live ? null : 'The host does not answer.';
  return (
    <tr className="row" data-testid="approval">
      <td className="mono">{row.mapping}</td>
      <td>
        {row.hostName}
        {row.live ? null : <div className="dim">as last known</div>}
      </td>
      <td>
        <span className={`state ${tone}`}>
          <span className={shape} aria-hidden="true" />
          {text}
        </span>
      </td>
      <td className="mono">{row.expiresAt === null ? 'never' : formatDateTime(row.expiresAt)}</td>
      <td>{shortName(row.requestedBy)}</td>
      <td>{row.approvedBy === null ? '–' : shortName(row.approvedBy)}</td>
      <td className="wrap">
        {row.justification}
        {row.ticket === null ? null : <span className="dim"> {row.ticket}</span>}
      </td>
      <td className="right">
        {row.state !== 'waiting' ? null : (
          <Button
            variant="outlined"
            size="small"
            disabled={refusal !== null}
            title={refusal ?? undefined}
            onClick={onApprove}
            data-testid="approve"
          >
            Approve…
          </Button>
        )}
      </td>
    </tr>
  );
};

const shortName = (person: string): string => person.replace(/^operator\//, '');

const ApproveDialog = ({ row, self, onClose }: { readonly row: ApprovalRow; readonly self: string; readonly onClose: () => void }) => {
  const [comment, setComment] = useState('');
  const [approve, { isLoading, error }] = useApproveMappingMutation();
  const failure = failureOf(error);
  const go = async (): Promise<void> => {
    const said = comment.trim();
    const { data } = await approve({
      hostId: row.hostId,
      mapping: row.mapping,
      revision: row.revision,
      ...(said === '' ? {} : { comment: said }),
    });
    if (data !== undefined) onClose();
  };
  return (
    <ConsoleDialog
      title={`Approve ${row.mapping} on ${row.hostName}?`}
      onClose={isLoading ? undefined : onClose}
      testId="approve-dialog"
      footer={
        <>
          <span className="grow dim">As {shortName(self)}; a new revision, kept when the host still answers.</span>
          <Button variant="outlined" disabled={isLoading} onClick={onClose} autoFocus>
            Cancel
          </Button>
          <Button variant="contained" color="error" disabled={isLoading} onClick={() => void go()} data-testid="approve-confirm">
            {isLoading ? 'Approving…' : 'Approve, put in force'}
          </Button>
        </>
      }
    >
      <p>
        {shortName(row.requestedBy)} asks: {row.justification}
        {row.ticket === null ? '' : ` (${row.ticket})`}.{' '}
        {row.expiresAt === null ? 'It does not end.' : `It ends ${formatDateTime(row.expiresAt)}.`}
      </p>
      <TextField
        label="Comment"
        value={comment}
        onValue={setComment}
        maxLength={500}
        hint="Stands in the history of the host."
        testId="approve-comment"
      />
      {failure === null ? null : <FailureView failure={failure} />}
    </ConsoleDialog>
  );
};
