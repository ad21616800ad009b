/** Single sign-on in front of this console: the provider, who is signed in, whether a sign-in is compulsory. */
import Button from '@mui/material/Button';
import { useState } from 'react';
import type { FormEvent } from 'react';
import type { SsoEvent, SsoView } from '../../../bridge/model.ts';
import { useConfigureSsoMutation, useLogoutSsoMutation, useRemoveSsoMutation, useWatchSsoQuery } from '../../client/license-api.ts';
import { failureOf } from '../../client/query-failure.ts';
import { formatDateTime } from '../../client/units.ts';
import { FailureView, Outcome } from '../../widgets/blank.tsx';
import { Card } from '../../widgets/card.tsx';
import { ConsoleDialog } from '../../widgets/console-dialog.tsx';
import { TextField } from '../../widgets/field.tsx';
import { SignInPanel } from '../../widgets/sign-in-panel.tsx';

const eventsShown = 5;

const kinds: Readonly<Record<SsoEvent['kind'], string>> = {
  configured: 'configured',
  removed: 'removed',
  'signed-in': 'signed in',
  'signed-out': 'signed out',
  'opened-without-sign-in': 'opened without a sign-in',
};

export const SsoCard = () => {
  const { data } = useWatchSsoQuery({});
  return (
    <Card title="Single sign-on" testId="sso">
      <Outcome value={data?.value} failure={data?.failure} label="Loading single sign-on">
        {(view) => (
          <div className="stack">
            {view.settings === null ? (
              <p className="dim">No provider is named: the passphrase or the keychain alone opens this console.</p>
            ) : (
              <>
                <SignInPanel view={view} />
                <Actions view={view} />
              </>
            )}
            {view.isLicensed === false ? <p className="warn">The licence does not cover setting it up. What is set up goes on.</p> : null}
            <ProviderForm key={`${view.settings?.issuer ?? ''} ${String(view.settings?.required)}`} view={view} />
            <Events events={view.events} />
          </div>
        )}
      </Outcome>
    </Card>
  );
};

const ProviderForm = ({ view }: { readonly view: SsoView }) => {
  const { settings } = view;
  const [issuer, setIssuer] = useState(settings?.issuer ?? '');
  const [clientId, setClientId] = useState(settings?.clientId ?? '');
  const [domains, setDomains] = useState(settings?.domains.join(' ') ?? '');
  const [isRequired, setRequired] = useState(settings?.required ?? false);
  const [configure, { error, isLoading }] = useConfigureSsoMutation();
  const failure = failureOf(error);
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    const names = domains
      .toLowerCase()
      .split(/[\s,]+/)
      .filter((name) => name !== '');
    void configure({ issuer: issuer.trim(), clientId: clientId.trim(), required: isRequired, domains: names });
  };
  return (
    <form className="stack" onSubmit={submit}>
      <TextField
        label="Issuer"
        value={issuer}
        onValue={setIssuer}
        maxLength={500}
        isMono
        hint="As the provider names itself, https."
        testId="sso-issuer"
      />
      <TextField
        label="Client id"
        value={clientId}
        onValue={setClientId}
        maxLength={200}
        isMono
        hint="A public client with the device flow."
        testId="sso-client"
      />
      <TextField
        label="Domains"
        value={domains}
        onValue={setDomains}
        maxLength={1000}
        hint="Of e-mail addresses that are let in; empty = whoever the provider signs in."
        testId="sso-domains"
      />
      <label className="check">
        <input type="checkbox" checked={isRequired} onChange={(event) => setRequired(event.target.checked)} data-testid="sso-required" />
        Open the console only after a sign-in within 12 hours, and only for the person who is signed in now
      </label>
      {failure === null ? null : <FailureView failure={failure} />}
      <div>
        <Button
          type="submit"
          variant="contained"
          disabled={isLoading || issuer.trim() === '' || clientId.trim() === ''}
          data-testid="sso-save"
        >
          Save
        </Button>
      </div>
    </form>
  );
};

const Actions = ({ view }: { readonly view: SsoView }) => {
  const [logout, { error, isLoading }] = useLogoutSsoMutation();
  const [isRemoving, setRemoving] = useState(false);
  const failure = failureOf(error);
  return (
    <div>
      {view.signIn === null ? null : (
        <Button variant="outlined" disabled={isLoading} onClick={() => void logout({})} data-testid="sso-logout">
          {view.settings?.required === true ? 'Sign out and lock' : 'Sign out'}
        </Button>
      )}{' '}
      <Button variant="outlined" color="error" onClick={() => setRemoving(true)} data-testid="sso-remove">
        Remove…
      </Button>
      {failure === null ? null : <FailureView failure={failure} />}
      {isRemoving ? <RemoveDialog onClose={() => setRemoving(false)} /> : null}
    </div>
  );
};

const RemoveDialog = ({ onClose }: { readonly onClose: () => void }) => {
  const [remove, { error, isLoading }] = useRemoveSsoMutation();
  const failure = failureOf(error);
  const go = async (): Promise<void> => {
    const { data } = await remove({});
    if (data !== undefined) onClose();
  };
  return (
    <ConsoleDialog
      title="Remove single sign-on?"
      onClose={onClose}
      testId="sso-remove-dialog"
      footer={
        <>
          <span className="grow" />
          <Button variant="outlined" onClick={onClose} autoFocus>
            Cancel
          </Button>
          <Button variant="contained" color="error" disabled={isLoading} onClick={() => void go()} data-testid="sso-remove-confirm">
            Remove it
          </Button>
        </>
      }
    >
      <p>The passphrase or the keychain alone then opens this console.</p>
      {failure === null ? null : <FailureView failure={failure} />}
    </ConsoleDialog>
  );
};

const Events = ({ events }: { readonly events: readonly SsoEvent[] }) =>
  events.length === 0 ? null : (
    <ul className="dim">
      {events.slice(0, eventsShown).map(({ at, kind, detail }) => (
        <li key={`${String(at)} ${kind}`}>
          {formatDateTime(at)}: {kinds[kind]} {detail}
        </li>
      ))}
    </ul>
  );
