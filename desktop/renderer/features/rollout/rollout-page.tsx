/** A change that is being applied: the countdown, every host, keep or undo. */
import Button from '@mui/material/Button';
import { useParams } from 'react-router';
import { Link } from 'react-router';
import type { Rollout } from '../../../bridge/model.ts';
import { useConfirmPolicyMutation, useUndoPolicyMutation, useWatchRolloutQuery } from '../../client/bridge-api.ts';
import { failureOf } from '../../client/query-failure.ts';
import { useNow } from '../../client/shell.tsx';
import { countOf, formatCountdown, formatTime } from '../../client/units.ts';
import { FailureView, Outcome } from '../../widgets/blank.tsx';
import { Page } from '../../widgets/page.tsx';
import { RolloutHosts } from './rollout-hosts.tsx';

/** From here on the countdown turns red, milliseconds. */
const nearMs = 15_000;

export const RolloutPage = () => {
  const { id = '' } = useParams();
  const { data } = useWatchRolloutQuery({ rolloutId: id });
  return (
    <Page
      title="Apply"
      about={
        data?.value === null || data === undefined
          ? undefined
          : `${countOf(data.value.hosts.length, 'host')} · started ${formatTime(data.value.startedAt)}`
      }
    >
      <Outcome value={data?.value} failure={data?.failure} label="Loading the rollout">
        {(rollout) => <RolloutView rollout={rollout} />}
      </Outcome>
    </Page>
  );
};

const headlines: Readonly<Record<Rollout['state'], { readonly title: string; readonly text: string; readonly tone: string }>> = {
  applying: {
    title: 'Applying',
    text: 'Tables are compiled and swapped on each host. No packet is judged by half a policy.',
    tone: 'text',
  },
  pending: {
    title: 'Applied. Does everything work?',
    text: 'Look at what matters to you now. Without your word every host takes the change back by itself.',
    tone: 'text',
  },
  confirming: { title: 'Keeping', text: 'Every host is told to keep the new policy.', tone: 'text' },
  confirmed: { title: 'Kept on every host', text: 'The new policy is confirmed and survives a restart.', tone: 'ok' },
  undoing: { title: 'Taking back', text: 'Every host swaps its former tables in.', tone: 'text' },
  'rolled-back': { title: 'Taken back on every host', text: 'All hosts enforce the policy they had before.', tone: 'warn' },
  failed: { title: 'Not applied', text: 'No host changed. The reasons stand below.', tone: 'crit' },
  mixed: { title: 'Hosts differ', text: 'Some hosts keep the new policy, others do not. Look at each below.', tone: 'crit' },
};

const RolloutView = ({ rollout }: { readonly rollout: Rollout }) => {
  const now = useNow(250);
  const { title, text, tone } = headlines[rollout.state];
  const leftMs = rollout.rollbackAt === null ? null : rollout.rollbackAt - now;
  const isCounting = rollout.state === 'pending' && leftMs !== null;
  return (
    <>
      <section className="card" aria-label="State of the change" style={{ flex: 'none', overflow: 'hidden' }}>
        <div className="rollout-hero" data-testid="rollout-state" data-state={rollout.state}>
          {isCounting ? <Countdown leftMs={leftMs} /> : null}
          <div className="what">
            <div className={`headline ${tone}`} role="status">
              {title}
            </div>
            <p>{isCounting && leftMs <= 0 ? 'The time is over: the hosts are taking the change back.' : text}</p>
          </div>
          <RolloutActs rollout={rollout} />
        </div>
        {isCounting ? (
          <div className={leftMs < nearMs ? 'rollout-bar near' : 'rollout-bar'}>
            <i style={{ width: `${String(Math.max(0, Math.min(1, leftMs / (rollout.confirmWithinSeconds * 1_000))) * 100)}%` }} />
          </div>
        ) : null}
      </section>
      <RolloutHosts rollout={rollout} now={now} />
    </>
  );
};

const Countdown = ({ leftMs }: { readonly leftMs: number }) => (
  <div
    className={leftMs < nearMs ? 'countdown near' : 'countdown'}
    role="timer"
    aria-label="Time until the change is taken back"
    data-testid="countdown"
  >
    {formatCountdown(leftMs)}
    {/* Spoken at a few moments only, not every second. */}
    <span className="unseen" aria-live="assertive">
      {[60, 30, 10].includes(Math.ceil(leftMs / 1_000)) ? `${String(Math.ceil(leftMs / 1_000))} seconds left` : ''}
    </span>
  </div>
);

const RolloutActs = ({ rollout }: { readonly rollout: Rollout }) => {
  const [confirm, confirming] = useConfirmPolicyMutation();
  const [undo, undoing] = useUndoPolicyMutation();
  const { rolloutId, state } = rollout;
  const failure = failureOf(confirming.error) ?? failureOf(undoing.error);
  const isBusy = confirming.isLoading || undoing.isLoading || state !== 'pending';
  if (state === 'confirmed' || state === 'rolled-back' || state === 'failed' || state === 'mixed') {
    return (
      <div className="acts">
        <Button variant="outlined" component={Link} to="/policy">
          Policy editor
        </Button>
        <Button variant="contained" component={Link} to="/hosts" data-testid="rollout-done">
          Hosts
        </Button>
      </div>
    );
  }
  return (
    <div>
      <div className="acts">
        <Button
          variant="contained"
          color="error"
          size="large"
          disabled={isBusy}
          onClick={() => void undo({ rolloutId })}
          data-testid="undo-change"
        >
          Undo now
        </Button>
        <Button variant="contained" size="large" disabled={isBusy} onClick={() => void confirm({ rolloutId })} data-testid="keep-change">
          Keep
        </Button>
      </div>
      {failure === null ? null : <FailureView failure={failure} />}
    </div>
  );
};
