/** The bundle itself: what is signed, by whom, until when; forks and proposals with what to do about them. */
import Button from '@mui/material/Button';
import { useState } from 'react';
import type { AccessView } from '../../../bridge/model.ts';
import { useCosignAccessMutation, useMergeAccessMutation, usePushAccessMutation } from '../../client/bridge-api.ts';
import { failureOf } from '../../client/query-failure.ts';
import { formatDateTime } from '../../client/units.ts';
import { Blank, FailureView } from '../../widgets/blank.tsx';
import { Card } from '../../widgets/card.tsx';
import { TextField } from '../../widgets/field.tsx';
import type { AccessCardProps } from './access-card.ts';

export const BundleCard = ({ view, change }: AccessCardProps) => {
  const { head, owners, ownerThreshold, self } = view;
  const [push, pushed] = usePushAccessMutation();
  const failure = failureOf(pushed.error);
  if (head === null)
    return (
      <Card title="Bundle">
        <Blank
          title="No bundle yet"
          action={
            <Button variant="contained" disabled={change === null} onClick={() => change?.({ kind: 'begin' })} data-testid="access-begin">
              Begin the first bundle
            </Button>
          }
        >
          Every operator of the fleet may do everything. If a host has a bundle already, it comes from there when the host answers.
        </Blank>
      </Card>
    );
  return (
    <Card title="Bundle" testId="access-bundle">
      <div className="stack">
        {head.stale ? (
          <div className="callout warn">It is too old: reading and enforcement go on, changes wait. An owner has to sign it anew.</div>
        ) : null}
        {self.isOwner ? null : (
          <div className="callout">This console holds no owner&apos;s key: it shows and carries the bundle, others change it.</div>
        )}
        <Forks view={view} />
        <dl className="facts">
          <dt>Number</dt>
          <dd className="mono">
            {head.revision} in epoch {head.epoch}, {head.hash.slice(0, 12)}
          </dd>
          <dt>Signed</dt>
          <dd>
            {formatDateTime(head.issuedAt)} by {head.author}
          </dd>
          <dt>Until</dt>
          <dd>{formatDateTime(head.notAfter)}</dd>
          <dt>Owners</dt>
          <dd>
            {owners.map(({ subject }) => subject).join(', ')}; {ownerThreshold} of {owners.length} must sign
          </dd>
        </dl>
        <Proposal view={view} />
        {failure === null ? null : <FailureView failure={failure} />}
        <div className="line wrap">
          <Button variant="outlined" disabled={change === null} onClick={() => change?.({ kind: 'renew' })}>
            Sign for another 30 days
          </Button>
          <Button variant="outlined" disabled={pushed.isLoading} onClick={() => void push({})} data-testid="access-push">
            {pushed.isLoading ? 'Delivering…' : 'Deliver to all hosts now'}
          </Button>
        </div>
      </div>
    </Card>
  );
};

const Forks = ({ view: { forks, self } }: { readonly view: AccessView }) => {
  const [merge, { isLoading, error }] = useMergeAccessMutation();
  const failure = failureOf(error);
  const [fork] = forks;
  if (fork === undefined) return null;
  return (
    <div className="callout crit" role="alert" data-testid="access-fork">
      <p>
        Two updates claim number {fork.revision}: <span className="mono">{fork.kept.slice(0, 12)}</span> is in force here,{' '}
        <span className="mono">{fork.refused.slice(0, 12)}</span> by {fork.refusedAuthor} of {formatDateTime(fork.refusedAt)} was refused.
        Nothing can be changed until an owner merges them. Locks of both sides stay.
      </p>
      <div className="line wrap">
        {(['ours', 'theirs'] as const).map((keep) => (
          <Button key={keep} variant="outlined" disabled={isLoading || !self.isOwner} onClick={() => void merge({ keep })}>
            {keep === 'ours' ? 'Merge, keep what is here' : 'Merge, keep the other side'}
          </Button>
        ))}
      </div>
      {failure === null ? null : <FailureView failure={failure} />}
    </div>
  );
};

const Proposal = ({ view: { proposal, self } }: { readonly view: AccessView }) => {
  const [text, setText] = useState('');
  const [cosign, { isLoading, error }] = useCosignAccessMutation();
  const failure = failureOf(error);
  const send = async (): Promise<void> => {
    const { data } = await cosign({ proposal: text.trim() });
    if (data !== undefined) setText('');
  };
  return (
    <details>
      <summary>{proposal === null ? 'Sign the proposal of another owner' : 'A change waits for other owners'}</summary>
      <div className="stack">
        {proposal === null ? null : (
          <p>
            Give them this text: <code className="mono">{proposal}</code>
          </p>
        )}
        <TextField label="Proposal" value={text} onValue={setText} isMono hint="The text that another owner's console shows." />
        <div>
          <Button variant="outlined" disabled={isLoading || text.trim() === '' || self.keyId === null} onClick={() => void send()}>
            Add my signature
          </Button>
        </div>
        {failure === null ? null : <FailureView failure={failure} />}
      </div>
    </details>
  );
};
