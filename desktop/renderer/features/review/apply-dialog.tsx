import Button from '@mui/material/Button';
import { TriangleAlert } from 'lucide-react';
import { useState } from 'react';
import { useNavigate } from 'react-router';
import type { FleetPlan, HostPlan } from '../../../bridge/model.ts';
import { useApplyPolicyMutation } from '../../client/bridge-api.ts';
import { failureOf } from '../../client/query-failure.ts';
import { countOf, formatCount } from '../../client/units.ts';
import { FailureView } from '../../widgets/blank.tsx';
import { ConsoleDialog } from '../../widgets/console-dialog.tsx';
import { TextField } from '../../widgets/field.tsx';

interface ApplyDialogProps {
  readonly plan: FleetPlan;
  /** Those that can apply. */
  readonly hosts: readonly HostPlan[];
  /** Seconds. */
  readonly confirmWithin: number;
  readonly onClose: () => void;
}

/** Names listed before they are only counted. */
const namesMax = 12;
/** Cutting more live flows than this is confirmed by typing their number. */
const typedAbove = 1_000;

export const ApplyDialog = ({ plan, hosts, confirmWithin, onClose }: ApplyDialogProps) => {
  const [comment, setComment] = useState('');
  const [typed, setTyped] = useState('');
  const [apply, { isLoading, error }] = useApplyPolicyMutation();
  const navigate = useNavigate();
  const failure = failureOf(error);
  const cut = hosts.reduce((sum, host) => sum + (host.impact?.cut ?? 0), 0);
  const cutLive = hosts.reduce((sum, host) => sum + (host.impact?.cutLive ?? 0), 0);
  const mustType = cutLive > typedAbove;
  const submit = async (): Promise<void> => {
    const { data } = await apply({
      planId: plan.planId,
      confirmWithinSeconds: confirmWithin,
      ...(comment.trim() === '' ? {} : { comment: comment.trim() }),
    });
    if (data !== undefined) await navigate(`/rollout/${data.rolloutId}`);
  };
  return (
    <ConsoleDialog
      title={`Apply to ${countOf(hosts.length, 'host')}?`}
      onClose={isLoading ? undefined : onClose}
      testId="apply-dialog"
      footer={
        <>
          <span className="grow dim">Taken back after {confirmWithin} s unless you keep it.</span>
          <Button variant="outlined" disabled={isLoading} onClick={onClose} autoFocus>
            Cancel
          </Button>
          <Button
            variant="contained"
            color="error"
            disabled={isLoading || (mustType && typed.trim() !== String(cutLive))}
            onClick={() => void submit()}
            data-testid="apply-confirm"
          >
            {isLoading ? 'Applying…' : cutLive > 0 ? `Apply and cut ${countOf(cutLive, 'live flow')}` : 'Apply'}
          </Button>
        </>
      }
    >
      <ApplyScope plan={plan} hosts={hosts} cut={cut} cutLive={cutLive} />
      <TextField
        label="Comment"
        value={comment}
        onValue={setComment}
        maxLength={500}
        placeholder="Why this change"
        hint="Stands in the history of every host."
        testId="apply-comment"
      />
      {mustType ? (
        <TextField
          label={`Type ${String(cutLive)} to confirm that so many live flows are cut`}
          value={typed}
          onValue={setTyped}
          inputMode="numeric"
          isMono
          testId="apply-typed"
        />
      ) : null}
      {failure === null ? null : <FailureView failure={failure} />}
    </ConsoleDialog>
  );
};

interface ApplyScopeProps {
  readonly plan: FleetPlan;
  readonly hosts: readonly HostPlan[];
  readonly cut: number;
  readonly cutLive: number;
}

/** Zero is said only where it was measured. */
const noCutText = (hosts: ApplyScopeProps['hosts']): string => {
  const silent = hosts.filter(({ impact }) => impact === null).length;
  if (silent === 0) return 'No flow seen lately is cut';
  return silent === hosts.length
    ? 'No host could replay its flows, so how many are cut is not known'
    : `No flow seen lately is cut where flows could be replayed; ${countOf(silent, 'host')} could not`;
};

/** Names the hosts and counts the flows. */
const ApplyScope = ({ plan, hosts, cut, cutLive }: ApplyScopeProps) => {
  const left = plan.hosts.length - hosts.length;
  return (
    <div className="callout crit">
      <TriangleAlert size={18} aria-hidden="true" />
      <div>
        <p>
          {cut > 0 ? (
            <>
              <strong>
                {countOf(cut, 'flow')} seen lately {cut === 1 ? 'is' : 'are'} cut
              </strong>
              , {formatCount(cutLive)} of them live now, at their next packet
            </>
          ) : (
            noCutText(hosts)
          )}
          {plan.newlyAllowed > 0 ? `, ${formatCount(plan.newlyAllowed)} become allowed` : ''}, on:
        </p>
        <p className="mono" data-testid="apply-hosts">
          {hosts
            .slice(0, namesMax)
            .map((host) => host.hostName)
            .join(', ')}
          {hosts.length > namesMax ? ` and ${formatCount(hosts.length - namesMax)} more` : ''}
        </p>
        {left > 0 ? (
          <p className="dim">
            {left === 1 ? '1 host cannot apply and stays as it is.' : `${formatCount(left)} hosts cannot apply and stay as they are.`}
          </p>
        ) : null}
      </div>
    </div>
  );
};
