/** All staged rollouts, and the signed changes that wait for hosts that are away. */
import Button from '@mui/material/Button';
import { Link } from 'react-router';
import type { IntentRow, StagedRollout } from '../../../bridge/rollout-model.ts';
import { useCancelIntentMutation, useIntentsQuery, useStagedRolloutsQuery } from '../../client/bridge-api.ts';
import { hostLink } from '../../client/links.ts';
import { failureOf } from '../../client/query-failure.ts';
import { formatDateTime } from '../../client/units.ts';
import { Blank, FailureView, Outcome } from '../../widgets/blank.tsx';
import { Card } from '../../widgets/card.tsx';
import { ConfirmButton } from '../../widgets/confirm-button.tsx';
import { Page } from '../../widgets/page.tsx';
import { State } from './staged-page.tsx';
import { phaseLooks } from './staged-words.ts';

const pollMs = 5_000;

export const StagedListPage = () => {
  const rollouts = useStagedRolloutsQuery({}, { pollingInterval: pollMs });
  const intents = useIntentsQuery({}, { pollingInterval: pollMs });
  return (
    <Page
      title="Rollouts"
      about="Policies brought to many hosts in waves"
      actions={
        <Button variant="contained" component={Link} to="/rollouts/new" data-testid="new-rollout">
          New rollout
        </Button>
      }
    >
      <Card title="Rollouts" isFlush testId="staged-list">
        <Outcome
          value={rollouts.data}
          failure={failureOf(rollouts.error)}
          label="Loading the rollouts"
          onRetry={() => void rollouts.refetch()}
        >
          {(list) => <Rollouts list={list} />}
        </Outcome>
      </Card>
      <Card title="Intents for hosts that are away" isFlush testId="intent-list">
        <Outcome value={intents.data} failure={failureOf(intents.error)} label="Loading the intents" onRetry={() => void intents.refetch()}>
          {(list) => <Intents list={list} />}
        </Outcome>
      </Card>
    </Page>
  );
};

const Rollouts = ({ list }: { readonly list: readonly StagedRollout[] }) =>
  list.length === 0 ? (
    <Blank title="No rollouts yet">Begin one with “New rollout”, or with “nest rollout start policy.json --all”.</Blank>
  ) : (
    <table className="table">
      <thead>
        <tr>
          <th scope="col">Name</th>
          <th scope="col">State</th>
          <th scope="col">Wave</th>
          <th scope="col">Kept</th>
          <th scope="col">Began</th>
          <th scope="col">Remark</th>
        </tr>
      </thead>
      <tbody>
        {list.map((rollout) => (
          <tr key={rollout.rolloutId} className="row">
            <td>
              <Link to={`/rollouts/${rollout.rolloutId}`}>{rollout.name}</Link>
            </td>
            <td>
              <State look={phaseLooks[rollout.phase]} />
            </td>
            <td className="mono">
              {rollout.wave + 1}/{rollout.waves}
            </td>
            <td className="mono">
              {rollout.hosts.filter(({ state }) => state === 'kept').length}/{rollout.hosts.length}
            </td>
            <td className="mono">{formatDateTime(rollout.startedAt)}</td>
            <td className="wrap">{rollout.reason?.message ?? ''}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );

const intentWords: Readonly<Record<IntentRow['state'], string>> = {
  waiting: 'Waits for the host',
  delivering: 'Being delivered',
  kept: 'Delivered and kept',
  'taken-back': 'Taken back by the host',
  refused: 'Refused by the host',
  expired: 'Expired',
  cancelled: 'Cancelled',
};

const Intents = ({ list }: { readonly list: readonly IntentRow[] }) => {
  const [cancel, cancelling] = useCancelIntentMutation();
  const failure = failureOf(cancelling.error);
  if (list.length === 0)
    return <Blank title="Nothing waits">Changes for hosts that are away are shown here until they are delivered.</Blank>;
  return (
    <>
      {failure === null ? null : <FailureView failure={failure} />}
      <table className="table">
        <thead>
          <tr>
            <th scope="col">Host</th>
            <th scope="col">State</th>
            <th scope="col">On revision</th>
            <th scope="col">Until</th>
            <th scope="col">Reason</th>
            <th scope="col" aria-label="What can be done" />
          </tr>
        </thead>
        <tbody>
          {list.map((intent) => (
            <tr key={intent.intentId} className="row">
              <td>
                <Link className="mono" to={hostLink(intent.hostId)}>
                  {intent.hostName}
                </Link>
              </td>
              <td data-testid="intent-state" data-state={intent.state}>
                {intentWords[intent.state]}
              </td>
              <td className="mono">{intent.baseRevision}</td>
              <td className="mono">{formatDateTime(intent.expiresAt)}</td>
              <td className="wrap">{intent.problem?.message ?? ''}</td>
              <td className="right">
                {intent.state === 'waiting' ? (
                  <ConfirmButton
                    label="Withdraw…"
                    question={`Withdraw the change for ${intent.hostName}?`}
                    act="Withdraw it"
                    disabled={cancelling.isLoading}
                    onConfirm={() => void cancel({ intentId: intent.intentId })}
                  >
                    <p>The host does not get it when it comes back. Its policy stays as it is.</p>
                  </ConfirmButton>
                ) : null}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
};
