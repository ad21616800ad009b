/** What a change would do, before anything is touched. */
import Button from '@mui/material/Button';
import { FileQuestion } from 'lucide-react';
import { Suspense, lazy, useState } from 'react';
import { Link, useNavigate, useParams } from 'react-router';
import type { HostPlan } from '../../../bridge/model.ts';
import { useNow } from '../../client/shell.tsx';
import { useConsoleSelector } from '../../client/store.ts';
import { countOf, formatCountdown } from '../../client/units.ts';
import type { PlannedChange } from '../../client/window-slice.ts';
import { Blank } from '../../widgets/blank.tsx';
import { Card } from '../../widgets/card.tsx';
import { DiffView } from '../../widgets/diff-view.tsx';
import { Page } from '../../widgets/page.tsx';
import { ImpactCard } from './impact-card.tsx';
import { HostPlansCard } from './host-plans-card.tsx';
import { SafetyCard, confirmChoices } from './safety-card.tsx';
import { WarningsCard } from './warnings-card.tsx';

const ApplyDialog = lazy(async () => ({ default: (await import('./apply-dialog.tsx')).ApplyDialog }));

export const ReviewPage = () => {
  const { planId } = useParams();
  const change = useConsoleSelector(({ window }) =>
    planId === undefined ? window.plans.at(-1) : window.plans.find(({ plan }) => plan.planId === planId),
  );
  if (change !== undefined) return <ReviewView key={change.plan.planId} change={change} />;
  return (
    <Page title="Review change">
      <div className="card fill">
        <Blank
          title="This plan is not here any more"
          icon={<FileQuestion size={32} aria-hidden="true" />}
          action={
            <Button variant="contained" component={Link} to="/policy">
              Back to the editor
            </Button>
          }
        >
          Plans live for ten minutes in the window that made them. The draft is kept: review its effect again.
        </Blank>
      </div>
    </Page>
  );
};

/** The hosts that would really change. */
export const applicableHosts = (hosts: readonly HostPlan[]): readonly HostPlan[] =>
  hosts.filter((host) => host.canApply && host.problem === null);

const aboutText = ({ hosts }: PlannedChange['plan']): string => {
  const [first] = hosts;
  const base = hosts.every((host) => host.baseRevision === first?.baseRevision) ? first?.baseRevision : null;
  const names = hosts.length <= 3 ? hosts.map((host) => host.hostName).join(', ') : countOf(hosts.length, 'host');
  return `${base === null || base === undefined ? '' : `rev ${String(base)} → `}draft · ${names}`;
};

const ReviewView = ({ change }: { readonly change: PlannedChange }) => {
  const { plan } = change;
  const now = useNow();
  const [hostId, setHostId] = useState(plan.hosts[0]?.hostId ?? '');
  const [confirmWithin, setConfirmWithin] = useState<number>(confirmChoices[1]);
  const [isApplying, setApplying] = useState(false);
  const host = plan.hosts.find((candidate) => candidate.hostId === hostId) ?? plan.hosts[0];
  const applicable = applicableHosts(plan.hosts);
  const isExpired = now >= plan.expiresAt;
  const isAlone = plan.hosts.length === 1;
  return (
    <Page
      title="Review change"
      about={aboutText(plan)}
      footer={
        <ReviewFooter
          change={change}
          now={now}
          canApply={applicable.length > 0 && !isExpired}
          isExpired={isExpired}
          onApply={() => setApplying(true)}
        />
      }
    >
      <div className="two">
        <div className="column">
          <ImpactCard plan={plan} />
          {isAlone ? null : <HostPlansCard plan={plan} hostId={host?.hostId ?? ''} onHost={setHostId} />}
          {host === undefined ? null : <DifferenceCard host={host} isAlone={isAlone} />}
        </div>
        <div className="column">
          <WarningsCard plan={plan} />
          <SafetyCard plan={plan} confirmWithin={confirmWithin} onConfirmWithin={setConfirmWithin} />
        </div>
      </div>
      <Suspense fallback={null}>
        {isApplying ? (
          <ApplyDialog plan={plan} hosts={applicable} confirmWithin={confirmWithin} onClose={() => setApplying(false)} />
        ) : null}
      </Suspense>
    </Page>
  );
};

const DifferenceCard = ({ host, isAlone }: { readonly host: HostPlan; readonly isAlone: boolean }) => {
  const added = host.diff.filter(({ kind }) => kind === 'added').length;
  const removed = host.diff.filter(({ kind }) => kind === 'removed').length;
  return (
    <Card
      title={isAlone ? 'Difference' : `Difference on ${host.hostName}`}
      isFlush
      aside={
        <>
          <span className="ok">+{added}</span>
          <span className="crit">−{removed}</span>
        </>
      }
      testId="difference"
    >
      {added + removed === 0 ? (
        <Blank title="No difference">{host.problem === null ? 'The host already has this policy.' : host.problem.message}</Blank>
      ) : (
        <DiffView lines={host.diff} />
      )}
    </Card>
  );
};

interface ReviewFooterProps {
  readonly change: PlannedChange;
  readonly now: number;
  readonly canApply: boolean;
  readonly isExpired: boolean;
  readonly onApply: () => void;
}

const ReviewFooter = ({ change, now, canApply, isExpired, onApply }: ReviewFooterProps) => {
  const navigate = useNavigate();
  const { planId, expiresAt } = change.plan;
  return (
    <>
      <span className={isExpired ? 'crit grow' : 'dim grow'} data-testid="plan-validity">
        Plan <span className="mono">{planId.slice(-6)}</span>{' '}
        {isExpired ? 'has expired: go back and review again' : `valid ${formatCountdown(expiresAt - now)} min`}
      </span>
      <Button variant="outlined" onClick={() => void navigate('/policy')} data-testid="back-to-editor">
        Back to editor
      </Button>
      <Button variant="contained" color="error" disabled={!canApply} onClick={onApply} data-testid="apply">
        Apply…
      </Button>
    </>
  );
};
