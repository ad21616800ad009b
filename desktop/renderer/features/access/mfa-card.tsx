/** The second factor of this operator, who else has one, and whether it is required. */
import Button from '@mui/material/Button';
import { useState } from 'react';
import type { FactorOffer, MfaState } from '../../../bridge/model.ts';
import {
  useAdmitFactorMutation,
  useConfirmFactorMutation,
  useEnrolFactorMutation,
  useMfaQuery,
  useRemoveFactorMutation,
} from '../../client/mfa-api.ts';
import { failureOf } from '../../client/query-failure.ts';
import { formatDateTime } from '../../client/units.ts';
import { FailureView, Outcome } from '../../widgets/blank.tsx';
import { Card } from '../../widgets/card.tsx';
import { ConfirmButton } from '../../widgets/confirm-button.tsx';
import { ConsoleDialog } from '../../widgets/console-dialog.tsx';
import { CopyText } from '../../widgets/copy-text.tsx';
import { TextField } from '../../widgets/field.tsx';
import type { AccessCardProps } from './access-card.ts';

/** Freshness and witnesses change without a word of the bundle, milliseconds. */
const pollMs = 10_000;

export const MfaCard = ({ view, change }: AccessCardProps) => {
  const { data, error, refetch } = useMfaQuery({}, { pollingInterval: pollMs, skipPollingIfUnfocused: true });
  return (
    <Card title="Second factor" testId="mfa">
      <Outcome value={data} failure={failureOf(error)} label="Loading the second factor" onRetry={() => void refetch()}>
        {(state) => <Factor state={state} isOwner={view.self.isOwner} change={change} />}
      </Outcome>
    </Card>
  );
};

interface FactorProps extends Pick<AccessCardProps, 'change'> {
  readonly state: MfaState;
  readonly isOwner: boolean;
}

const Factor = ({ state, isOwner, change }: FactorProps) => {
  const [enrol, enrolling] = useEnrolFactorMutation();
  const [offer, setOffer] = useState<FactorOffer | null>(null);
  const failure = failureOf(enrolling.error);
  const begin = async (): Promise<void> => {
    const { data } = await enrol({});
    if (data !== undefined) setOffer(data);
  };
  return (
    <div className="stack">
      {state.factor === null ? (
        <p>
          You have no second factor.{' '}
          {state.isRequired
            ? 'It is required: without one you may not change hosts.'
            : 'With one, whoever takes this computer cannot change hosts.'}
        </p>
      ) : (
        <dl className="facts">
          <dt>Enrolled</dt>
          <dd>{formatDateTime(state.factor.enrolledAt)}</dd>
          <dt>Witnesses</dt>
          <dd>
            {state.factor.witnesses.map(({ name, isLive }) => `${name}${isLive ? '' : ' (does not answer)'}`).join(', ')};{' '}
            {state.factor.needed} of {state.factor.witnesses.length} must check a code
          </dd>
          <dt>Proven</dt>
          <dd>{state.freshUntil === null ? 'no' : `until ${formatDateTime(state.freshUntil)}`}</dd>
        </dl>
      )}
      {failure === null ? null : <FailureView failure={failure} />}
      <div className="line wrap">
        <Button variant="outlined" disabled={enrolling.isLoading} onClick={() => void begin()} data-testid="mfa-enrol">
          {state.factor === null ? 'Enrol an authenticator' : 'Enrol another in its place'}
        </Button>
        <ConfirmButton
          label={state.isRequired ? 'Require it no more…' : 'Require it of every operator…'}
          question={state.isRequired ? 'Require a second factor no more?' : 'Require a second factor of every operator?'}
          act={state.isRequired ? 'Require it no more' : 'Require it'}
          isDangerous={state.isRequired}
          isSmall={false}
          disabled={change === null || !isOwner}
          onConfirm={() => change?.({ kind: 'stepUp.require', isRequired: !state.isRequired })}
        >
          {state.isRequired ? (
            <p>Whoever takes the computer of an operator without one can then change hosts.</p>
          ) : (
            <p>Operators without a second factor may then change no host until they have enrolled one.</p>
          )}
          {!state.isRequired && state.factor === null ? <p className="warn">You have none yourself: enrol one first.</p> : null}
        </ConfirmButton>
      </div>
      {isOwner ? <Others state={state} /> : null}
      {offer === null ? null : <EnrolDialog offer={offer} onClose={() => setOffer(null)} />}
    </div>
  );
};

const Others = ({ state }: { readonly state: MfaState }) => {
  const [remove, removing] = useRemoveFactorMutation();
  const failure = failureOf(removing.error);
  return (
    <div className="stack">
      {state.factors.length === 0 ? null : (
        <table className="table">
          <thead>
            <tr>
              <th scope="col">Operator</th>
              <th scope="col">Since</th>
              <th scope="col">Witnesses</th>
              <th scope="col">
                <span className="unseen">Actions</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {state.factors.map(({ subject, enrolledAt, witnesses }) => (
              <tr key={subject}>
                <td className="mono">{subject}</td>
                <td>{formatDateTime(enrolledAt)}</td>
                <td>{witnesses.map(({ name }) => name).join(', ')}</td>
                <td className="right">
                  <TakeAway subject={subject} disabled={removing.isLoading} onConfirm={() => void remove({ subject })} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <Admit />
      {failure === null ? null : <FailureView failure={failure} />}
    </div>
  );
};

const TakeAway = ({
  subject,
  disabled,
  onConfirm,
}: {
  readonly subject: string;
  readonly disabled: boolean;
  readonly onConfirm: () => void;
}) => (
  <ConfirmButton
    label="Take away…"
    about={`Take away the second factor of ${subject}`}
    question={`Take away the second factor of ${subject}?`}
    act="Take it away"
    disabled={disabled}
    onConfirm={onConfirm}
  >
    <p>Its codes and recovery codes are worth nothing from then on. {subject} can enrol a new one.</p>
  </ConfirmButton>
);

const Admit = () => {
  const [admit, admitting] = useAdmitFactorMutation();
  const [claim, setClaim] = useState('');
  const failure = failureOf(admitting.error);
  const send = async (): Promise<void> => {
    const { data } = await admit({ claim: claim.trim() });
    if (data !== undefined) setClaim('');
  };
  return (
    <details>
      <summary>Take up the second factor of another operator</summary>
      <div className="stack">
        <TextField
          label="Claim"
          value={claim}
          onValue={setClaim}
          isMono
          hint="What the console of that operator shows after the enrolment."
        />
        <div>
          <Button variant="outlined" disabled={admitting.isLoading || claim.trim() === ''} onClick={() => void send()}>
            Take up
          </Button>
        </div>
        {failure === null ? null : <FailureView failure={failure} />}
      </div>
    </details>
  );
};

const EnrolDialog = ({ offer, onClose }: { readonly offer: FactorOffer; readonly onClose: () => void }) => {
  const [code, setCode] = useState('');
  const [confirm, { isLoading, error, data }] = useConfirmFactorMutation();
  const failure = failureOf(error);
  const send = async (): Promise<void> => {
    const { data: confirmed } = await confirm({ factorId: offer.factorId, code });
    setCode('');
    if (confirmed?.claim === null) onClose();
  };
  const claim = data?.claim ?? null;
  return (
    <ConsoleDialog title="Enrol an authenticator" onClose={onClose} testId="mfa-dialog">
      {claim === null ? (
        <div className="stack">
          <p>Give this secret to your authenticator (by time, 6 digits, 30 seconds). It is shown now and never again.</p>
          <CopyText text={offer.secret} label="secret" testId="mfa-secret" />
          <CopyText text={offer.uri} label="address for authenticators" testId="mfa-uri" />
          <p>Write these recovery codes down and keep them away from this computer. Each works once.</p>
          <CopyText text={offer.recoveryCodes.join('\n')} label="recovery codes" testId="mfa-recovery" />
          <p className="dim">Witnesses: {offer.witnesses.map(({ name }) => name).join(', ')}.</p>
          <TextField
            label="Code that the authenticator shows now"
            value={code}
            onValue={setCode}
            isMono
            inputMode="numeric"
            testId="mfa-code"
          />
          {failure === null ? null : <FailureView failure={failure} />}
          <div>
            <Button
              variant="contained"
              disabled={isLoading || code.trim().length < 6}
              onClick={() => void send()}
              data-testid="mfa-confirm"
            >
              {isLoading ? 'Asking the witnesses…' : 'Prove it'}
            </Button>
          </div>
        </div>
      ) : (
        <div className="stack">
          <p>Proven. It counts when an owner takes it up: give them this text.</p>
          <CopyText text={claim} label="claim" testId="mfa-claim" />
        </div>
      )}
    </ConsoleDialog>
  );
};
