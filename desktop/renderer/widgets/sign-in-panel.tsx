/** Signing in at the provider: an address and a code for any browser, and how it ended. */
import Button from '@mui/material/Button';
import { KeyRound } from 'lucide-react';
import type { SsoLogin, SsoView } from '../../bridge/model.ts';
import { useCancelSsoMutation, useLoginSsoMutation } from '../client/license-api.ts';
import { failureOf } from '../client/query-failure.ts';
import { formatDateTime } from '../client/units.ts';
import { FailureView } from './blank.tsx';
import { CopyText } from './copy-text.tsx';

export const SignInPanel = ({ view }: { readonly view: SsoView }) => {
  const [begin, { error, isLoading }] = useLoginSsoMutation();
  const failure = failureOf(error);
  const { login, signIn, settings } = view;
  if (settings === null) return null;
  return (
    <div className="stack" data-testid="sign-in">
      <p className="dim">
        {signIn === null
          ? `${settings.required ? 'This console also asks for a sign-in, not older than 12 hours, at' : 'Nobody is signed in at'} ${settings.issuer}.`
          : `${signIn.email ?? signIn.subject} is signed in until ${formatDateTime(signIn.until)}.`}
      </p>
      {login?.state === 'waiting' ? <Waiting login={login} /> : null}
      {login?.problem === null || login?.problem === undefined ? null : <FailureView failure={login.problem} />}
      {failure === null ? null : <FailureView failure={failure} />}
      {login?.state === 'waiting' ? null : (
        <div>
          <Button
            variant="outlined"
            startIcon={<KeyRound size={16} />}
            disabled={isLoading}
            onClick={() => void begin({})}
            data-testid="sign-in-begin"
          >
            {signIn === null ? 'Sign in' : 'Sign in again'}
          </Button>
        </div>
      )}
    </div>
  );
};

const Waiting = ({ login }: { readonly login: SsoLogin }) => {
  const [cancel, { isLoading }] = useCancelSsoMutation();
  return (
    <div className="stack" role="status">
      <p>Open this address in any browser and type the code. Type it only if you asked for it yourself.</p>
      <CopyText text={login.verificationUriComplete ?? login.verificationUri} label="address" testId="sign-in-address" />
      <CopyText text={login.userCode} label="code" testId="sign-in-code" />
      <div>
        <span className="dim">Good until {formatDateTime(login.expiresAt)}. </span>
        <Button variant="outlined" size="small" disabled={isLoading} onClick={() => void cancel({})}>
          Give up
        </Button>
      </div>
    </div>
  );
};
