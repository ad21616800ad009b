/** Begins a rollout: chosen, previewed, and started when the operator says so. Nothing changes before that. */
import Button from '@mui/material/Button';
import { useState } from 'react';
import { useNavigate } from 'react-router';
import type { Draft } from '../../../bridge/model.ts';
import type { StagedPlan } from '../../../bridge/rollout-model.ts';
import { useDraftQuery } from '../../client/bridge-api.ts';
import { failureOf } from '../../client/query-failure.ts';
import { useNow } from '../../client/shell.tsx';
import { usePlanStagedMutation, useStartStagedMutation } from '../../client/staged-api.ts';
import { countOf } from '../../client/units.ts';
import { Blank, Bones, FailureView, Outcome } from '../../widgets/blank.tsx';
import { Card } from '../../widgets/card.tsx';
import { ConsoleDialog } from '../../widgets/console-dialog.tsx';
import { Page } from '../../widgets/page.tsx';
import { HostsCard, PolicyCard, StepsCard } from './begin-fields.tsx';
import { beginRequestOf, firstForm } from './begin-form.ts';
import type { BeginForm } from './begin-form.ts';

export const BeginPage = () => {
  const draft = useDraftQuery({});
  const isLoaded = draft.data !== undefined;
  return (
    <Page title="New rollout" about="Host by host in waves, stopped by the hosts' own counters">
      <Outcome
        value={isLoaded ? { draft: draft.data ?? null } : null}
        failure={failureOf(draft.error)}
        label="Loading the draft"
        onRetry={() => void draft.refetch()}
      >
        {(loaded) => <BeginView draft={loaded.draft} />}
      </Outcome>
    </Page>
  );
};

const BeginView = ({ draft }: { readonly draft: Draft | null }) => {
  const [form, setForm] = useState<BeginForm>(() => ({ ...firstForm, policy: draft?.policy ?? '', hostIds: draft?.hostIds ?? [] }));
  const [hasTried, setTried] = useState(false);
  const [plan, planning] = usePlanStagedMutation();
  const { request, faults } = beginRequestOf(form);
  const fields = {
    form,
    faults: hasTried ? faults : {},
    // What was previewed is not what would begin any more.
    onForm: (change: Partial<BeginForm>) => {
      setForm({ ...form, ...change });
      planning.reset();
    },
  };
  const preview = (): void => {
    setTried(true);
    if (request !== null) void plan(request);
  };
  const failure = failureOf(planning.error);
  return (
    <div className="two">
      <div className="column">
        <PolicyCard {...fields} draft={draft} />
        <HostsCard {...fields} />
        <StepsCard {...fields} />
      </div>
      <div className="column">
        <Card
          title="Preview"
          isFlush
          testId="begin-preview"
          aside={
            <Button variant="outlined" size="small" disabled={planning.isLoading} onClick={preview} data-testid="begin-plan">
              {planning.isLoading ? 'Asking the hosts…' : 'Preview'}
            </Button>
          }
        >
          {planning.isLoading ? <Bones label="Asking the hosts" /> : null}
          {failure === null ? null : <FailureView failure={failure} onRetry={preview} />}
          {planning.data === undefined && failure === null && !planning.isLoading ? (
            <Blank title="Nothing was asked yet">The preview asks every host what the policy would do there. It changes nothing.</Blank>
          ) : null}
          {planning.data === undefined ? null : <Preview plan={planning.data} />}
        </Card>
      </div>
    </div>
  );
};

const Preview = ({ plan }: { readonly plan: StagedPlan }) => {
  const [isAsking, setAsking] = useState(false);
  const isExpired = useNow() >= plan.expiresAt;
  const hosts = plan.waves.flat();
  const able = hosts.filter(({ canApply }) => canApply).length;
  return (
    <>
      <div className="table-scroll">
        <table className="table">
          <thead>
            <tr>
              <th scope="col">Wave</th>
              <th scope="col">Host</th>
              <th scope="col">Answers</th>
              <th scope="col">Problem</th>
            </tr>
          </thead>
          <tbody>
            {plan.waves.flatMap((wave, number) =>
              wave.map((host) => (
                <tr key={host.hostId} className="row" data-testid="begin-host">
                  <td className="mono">{number + 1}</td>
                  <td className="mono">{host.hostName}</td>
                  <td>{host.isLive ? 'yes' : 'no'}</td>
                  <td className="wrap">{host.problem ?? (host.canApply ? '' : 'It cannot apply this policy.')}</td>
                </tr>
              )),
            )}
          </tbody>
        </table>
      </div>
      <div className="acts">
        <span className="grow dim">
          {countOf(plan.cutLive, 'live flow')} would be cut, {countOf(plan.newlyAllowed, 'flow')} newly allowed, as far as hosts could
          replay theirs.
        </span>
        <Button variant="contained" disabled={able === 0 || isExpired} onClick={() => setAsking(true)} data-testid="begin-start">
          {isExpired ? 'Preview again' : `Begin on ${countOf(hosts.length, 'host')}`}
        </Button>
      </div>
      {isAsking ? <StartDialog plan={plan} onClose={() => setAsking(false)} /> : null}
    </>
  );
};

const StartDialog = ({ plan, onClose }: { readonly plan: StagedPlan; readonly onClose: () => void }) => {
  const [start, starting] = useStartStagedMutation();
  const navigate = useNavigate();
  const failure = failureOf(starting.error);
  const { maxUnavailable, soakSeconds, rollback } = plan.settings;
  const begin = async (): Promise<void> => {
    const begun = await start({ planId: plan.planId });
    if (begun.data !== undefined) await navigate(`/rollouts/${begun.data.rolloutId}`);
  };
  return (
    <ConsoleDialog
      title={`Begin ${plan.name}?`}
      onClose={starting.isLoading ? undefined : onClose}
      testId="begin-dialog"
      footer={
        <>
          <Button variant="outlined" disabled={starting.isLoading} onClick={onClose}>
            Cancel
          </Button>
          <Button variant="contained" disabled={starting.isLoading} onClick={() => void begin()} data-testid="begin-confirm">
            {starting.isLoading ? 'Beginning…' : 'Sign and begin'}
          </Button>
        </>
      }
    >
      <p>
        {countOf(plan.waves.flat().length, 'host')} in {countOf(plan.waves.length, 'wave')}, at most {countOf(maxUnavailable, 'host')} at
        once, each watched for {soakSeconds} s. {countOf(plan.cutLive, 'live flow')} would be cut, as far as hosts could replay theirs. A
        stop takes back {rollback === 'all' ? 'all waves' : 'the wave'}.
      </p>
      {failure === null ? null : <FailureView failure={failure} />}
    </ConsoleDialog>
  );
};
