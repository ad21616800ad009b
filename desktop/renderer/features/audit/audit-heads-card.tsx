/** The signed end of every host's log that this console remembers; verify one, or accept it after an alarm. */
import Button from '@mui/material/Button';
import { useState } from 'react';
import { Link } from 'react-router';
import type { AuditCheck, AuditHeadRow } from '../../../bridge/model.ts';
import { useAcceptAuditMutation, useVerifyAuditMutation } from '../../client/audit-api.ts';
import { toFailure } from '../../client/failure.ts';
import { hostLink } from '../../client/links.ts';
import { useConsoleDispatch } from '../../client/store.ts';
import { formatAge, formatCount, formatDateTime } from '../../client/units.ts';
import { noticeRaised } from '../../client/window-slice.ts';
import { Card } from '../../widgets/card.tsx';
import { ConsoleDialog } from '../../widgets/console-dialog.tsx';
import { headLooks, headRemark } from './audit-words.ts';

interface AuditHeadsCardProps {
  readonly heads: readonly AuditHeadRow[];
  readonly now: number;
}

export const AuditHeadsCard = ({ heads, now }: AuditHeadsCardProps) => {
  const [accepting, setAccepting] = useState<AuditHeadRow | null>(null);
  return (
    <Card title="Logs of the hosts" isFlush testId="audit-heads">
      <div className="table-scroll audit-heads">
        <table className="table">
          <thead>
            <tr>
              <th scope="col">Host</th>
              <th scope="col">Log</th>
              <th scope="col">Entries</th>
              <th scope="col">Signed</th>
              <th scope="col">Checked</th>
              <th scope="col">Remark</th>
              <th scope="col" className="right">
                <span className="unseen">What to do</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {heads.map((head) => (
              <HeadLine key={head.hostId} head={head} now={now} onAccept={() => setAccepting(head)} />
            ))}
          </tbody>
        </table>
      </div>
      {accepting === null ? null : <AcceptDialog head={accepting} onClose={() => setAccepting(null)} />}
    </Card>
  );
};

interface HeadLineProps {
  readonly head: AuditHeadRow;
  readonly now: number;
  readonly onAccept: () => void;
}

const HeadLine = ({ head, now, onAccept }: HeadLineProps) => {
  const { tone, shape, word } = headLooks[head.state];
  const [verify, { data: check, error, isLoading }] = useVerifyAuditMutation();
  const entries = head.number === null ? '–' : `${formatCount(head.firstNumber)} – ${formatCount(head.number)}`;
  return (
    <tr className="row">
      <td>
        <Link className="mono" to={hostLink(head.hostId)}>
          {head.hostName}
        </Link>
      </td>
      <td data-testid="audit-head-state" data-state={head.state}>
        <span className={`state ${tone}`}>
          <span className={shape} aria-hidden="true" />
          {word}
        </span>
      </td>
      <td className="mono">{entries}</td>
      <td className="mono">{head.signedAt === null ? '–' : formatDateTime(head.signedAt)}</td>
      <td>{head.checkedAt === null ? 'never' : `${formatAge(now - head.checkedAt)} ago`}</td>
      <td className="wrap" data-testid="audit-remark">
        {error === undefined ? (
          check === undefined ? (
            headRemark(head)
          ) : (
            <Checked check={check} />
          )
        ) : (
          <span className="crit">{toFailure(error).message}</span>
        )}
      </td>
      <td className="right">
        {head.state === 'alarm' || head.state === 'gap' ? (
          <Button variant="text" size="small" onClick={onAccept} data-testid="audit-accept">
            Accept
          </Button>
        ) : null}
        <Button
          variant="text"
          size="small"
          disabled={isLoading}
          onClick={() => void verify({ hostId: head.hostId })}
          data-testid="audit-verify"
        >
          {isLoading ? 'Verifying' : 'Verify'}
        </Button>
      </td>
    </tr>
  );
};

const Checked = ({ check: { first, last, entries, problem } }: { readonly check: AuditCheck }) =>
  problem === null ? (
    <span className="ok">
      {formatCount(entries)} entries, {formatCount(first)} to {formatCount(last)}, are whole and signed for.
    </span>
  ) : (
    <span className="crit">
      Entry {formatCount(problem.number)}: {problem.message}
    </span>
  );

const AcceptDialog = ({ head, onClose }: { readonly head: AuditHeadRow; readonly onClose: () => void }) => {
  const [accept, { isLoading }] = useAcceptAuditMutation();
  const dispatch = useConsoleDispatch();
  const press = (): void => {
    accept({ hostId: head.hostId })
      .unwrap()
      .then(
        () => onClose(),
        (error: unknown) => dispatch(noticeRaised({ kind: 'problem', text: toFailure(error).message })),
      );
  };
  return (
    <ConsoleDialog
      title={`Believe the log of ${head.hostName} from now on?`}
      onClose={onClose}
      testId="audit-accept-dialog"
      footer={
        <>
          <Button variant="outlined" onClick={onClose}>
            Cancel
          </Button>
          <Button variant="contained" disabled={isLoading} onClick={press} data-testid="audit-accept-confirm">
            Accept
          </Button>
        </>
      }
    >
      <p>{headRemark(head)}</p>
      <p>
        Export the log and find out what happened first. The console then remembers what the host says now; the two heads that contradict
        each other are kept as evidence.
      </p>
    </ConsoleDialog>
  );
};
