import Button from '@mui/material/Button';
import { CircleCheck, ShieldAlert } from 'lucide-react';
import type { ReactElement } from 'react';
import { Link } from 'react-router';
import type { Enrollment } from '../../../bridge/model.ts';
import { useApproveEnrollmentMutation, useCancelEnrollmentMutation } from '../../client/bridge-api.ts';
import { failureOf } from '../../client/query-failure.ts';
import { hostLink } from '../../client/links.ts';
import { useNow } from '../../client/shell.tsx';
import { formatCountdown, groupsOfFour } from '../../client/units.ts';
import { FailureView } from '../../widgets/blank.tsx';
import { ConsoleDialog } from '../../widgets/console-dialog.tsx';
import { CopyText } from '../../widgets/copy-text.tsx';

const stepTitles = ['Describe', 'Join', 'Compare', 'Done'] as const;

export const EnrollmentSteps = ({ current }: { readonly current: number }) => (
  <ol className="steps" aria-label="Steps">
    {stepTitles.map((title, index) => (
      <li
        key={title}
        aria-current={index === current ? 'step' : undefined}
        data-done={index < current || current === stepTitles.length - 1}
      >
        {title}
      </li>
    ))}
  </ol>
);

const stepOf: Readonly<Record<Enrollment['state'], number>> = {
  waiting: 1,
  fingerprint: 2,
  signing: 2,
  enrolled: 3,
  failed: 1,
  cancelled: 1,
  expired: 1,
};

interface EnrollmentViewProps {
  readonly enrollment: Enrollment;
  readonly onClose: () => void;
  readonly onAgain: () => void;
}

/** One enrolment in whatever state it is. */
export const EnrollmentView = ({ enrollment, onClose, onAgain }: EnrollmentViewProps) => {
  const [approve, approving] = useApproveEnrollmentMutation();
  const [cancel, cancelling] = useCancelEnrollmentMutation();
  const { enrollmentId, state } = enrollment;
  const failure = failureOf(approving.error) ?? failureOf(cancelling.error);
  const isOpen = state === 'waiting' || state === 'fingerprint';
  const isOver = state === 'failed' || state === 'expired' || state === 'cancelled';
  const footer = (
    <>
      <span className="grow dim">{isOpen ? <TokenLife enrollment={enrollment} /> : null}</span>
      {isOpen ? (
        <Button
          variant="outlined"
          disabled={cancelling.isLoading}
          onClick={() => void cancel({ enrollmentId })}
          data-testid="cancel-enrollment"
        >
          {state === 'fingerprint' ? 'They differ: refuse' : 'Take the token back'}
        </Button>
      ) : null}
      {state === 'fingerprint' ? (
        <Button
          variant="contained"
          disabled={approving.isLoading}
          onClick={() => void approve({ enrollmentId })}
          data-testid="approve-fingerprint"
        >
          The fingerprints are the same
        </Button>
      ) : null}
      {isOver ? (
        <Button variant="contained" onClick={onAgain} data-testid="enroll-again">
          Start again
        </Button>
      ) : null}
      {state === 'enrolled' ? (
        <Button variant="contained" onClick={onClose} data-testid="enrollment-done">
          Done
        </Button>
      ) : null}
    </>
  );
  return (
    <ConsoleDialog title={`Add host ${enrollment.name}`} onClose={onClose} width={620} testId="enrollment" footer={footer}>
      <EnrollmentSteps current={stepOf[state]} />
      <div data-testid="enrollment-state" data-state={state}>
        <StateBody enrollment={enrollment} />
      </div>
      {failure === null ? null : <FailureView failure={failure} />}
    </ConsoleDialog>
  );
};

const TokenLife = ({ enrollment }: { readonly enrollment: Enrollment }) => {
  const now = useNow();
  return <>Token valid {formatCountdown(enrollment.expiresAt - now)} min</>;
};

const StateBody = ({ enrollment }: { readonly enrollment: Enrollment }): ReactElement => {
  switch (enrollment.state) {
    case 'waiting':
      return <Waiting enrollment={enrollment} />;
    case 'fingerprint':
      return <Compare enrollment={enrollment} />;
    case 'signing':
      return (
        <p className="line" role="status">
          <span className="spinner" aria-hidden="true" /> The certificate is being signed and delivered.
        </p>
      );
    case 'enrolled':
      return (
        <div className="callout ok" role="status">
          <CircleCheck size={18} aria-hidden="true" />
          <span>
            {enrollment.hostId === null ? (
              <strong>{enrollment.name}</strong>
            ) : (
              <Link to={hostLink(enrollment.hostId)}>{enrollment.name}</Link>
            )}{' '}
            belongs to the fleet. Its numbers arrive within a second or two.
          </span>
        </div>
      );
    case 'failed':
      return (
        <FailureView
          failure={enrollment.problem ?? { code: 'INTERNAL', message: 'The host did not join. Look into its log, then start again.' }}
        />
      );
    case 'expired':
      return (
        <FailureView
          failure={
            enrollment.problem ?? {
              code: 'TOKEN_EXPIRED',
              message: 'The token has expired before the host answered. Start again for a new one.',
            }
          }
        />
      );
    default:
      return <p>The token was taken back. The host cannot join with it any more.</p>;
  }
};

const Waiting = ({ enrollment }: { readonly enrollment: Enrollment }) => (
  <div className="stack">
    {enrollment.joinCommand === null ? null : (
      <div className="field">
        <span className="dim">Type this on {enrollment.name} as root</span>
        <CopyText text={enrollment.joinCommand} label="join command" testId="join-command" />
      </div>
    )}
    {enrollment.token === null ? null : (
      <div className="field">
        <span className="dim">The token alone, shown only here and only now</span>
        <CopyText text={enrollment.token} label="token" testId="join-token" />
      </div>
    )}
    <p className="line" role="status">
      <span className="spinner" aria-hidden="true" />
      <span>
        Waiting for the agent at{' '}
        <span className="mono">
          {enrollment.address} port {enrollment.port}
        </span>
        <span className="dim">{enrollment.attempts > 0 ? `, tried ${String(enrollment.attempts)} times` : ''}</span>
      </span>
    </p>
    {enrollment.problem === null ? null : (
      <p className="dim">
        <span className="mono">{enrollment.problem.code}</span> {enrollment.problem.message}
      </p>
    )}
  </div>
);

const Compare = ({ enrollment }: { readonly enrollment: Enrollment }) => (
  <div className="stack">
    <div className="callout warn">
      <ShieldAlert size={18} aria-hidden="true" />
      <span>
        Compare this with the fingerprint that the agent prints on <strong>{enrollment.name}</strong>. Approve only when every group is the
        same.
      </span>
    </div>
    <div
      className="fingerprint"
      role="img"
      data-testid="fingerprint"
      data-fingerprint={enrollment.fingerprint ?? ''}
      aria-label={`Fingerprint ${groupsOfFour(enrollment.fingerprint ?? '').join(' ')}`}
    >
      {groupsOfFour(enrollment.fingerprint ?? '').map((group, index) => (
        <span key={index} className={index % 2 === 0 ? '' : 'gold'}>
          {group}
        </span>
      ))}
    </div>
    {enrollment.facts === null ? null : (
      <dl className="facts">
        <dt>Host name</dt>
        <dd className="mono">{enrollment.facts.hostName}</dd>
        <dt>System</dt>
        <dd>{enrollment.facts.operatingSystem}</dd>
        <dt>Kernel</dt>
        <dd className="mono">{enrollment.facts.kernel}</dd>
      </dl>
    )}
  </div>
);
