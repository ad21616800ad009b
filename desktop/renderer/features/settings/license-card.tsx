/** What the licence covers, its key, and entitlement files. */
import Button from '@mui/material/Button';
import { useState } from 'react';
import type { FormEvent } from 'react';
import type { LicenseCount, LicenseView } from '../../../bridge/model.ts';
import {
  useCheckLicenseMutation,
  useImportLicenseMutation,
  useLicenseQuery,
  useRemoveLicenseMutation,
  useSetLicenseMutation,
} from '../../client/license-api.ts';
import { failureOf } from '../../client/query-failure.ts';
import { formatDateTime } from '../../client/units.ts';
import { FailureView, Outcome } from '../../widgets/blank.tsx';
import { Card } from '../../widgets/card.tsx';
import { ConsoleDialog } from '../../widgets/console-dialog.tsx';
import { TextField } from '../../widgets/field.tsx';

/** Asked for again so often, milliseconds: another process may have changed it. */
const pollMs = 30_000;
/** Characters of an entitlement file. */
const fileMax = 64 << 10;

const states: Readonly<Record<LicenseView['state'], { readonly tone: string; readonly text: string }>> = {
  development: { tone: 'ok', text: 'development: nothing is gated' },
  community: { tone: 'ok', text: 'Community: no licence' },
  unchecked: { tone: 'warn', text: 'not checked yet' },
  valid: { tone: 'ok', text: 'valid' },
  grace: { tone: 'warn', text: 'valid; the licence server is away' },
  limited: { tone: 'warn', text: 'what is set up goes on; new things as Community' },
  lapsed: { tone: 'warn', text: 'not checked for two weeks: as Community' },
  expired: { tone: 'warn', text: 'ended: as Community' },
  invalid: { tone: 'crit', text: 'refused by the licence server: as Community' },
};

export const LicenseCard = () => {
  const { data, error, refetch } = useLicenseQuery({}, { pollingInterval: pollMs, skipPollingIfUnfocused: true });
  return (
    <Card title="Licence" testId="license">
      <Outcome value={data} failure={failureOf(error)} label="Loading the licence" onRetry={() => void refetch()}>
        {(license) => (
          <div className="stack">
            <Facts license={license} />
            <KeyForm license={license} />
            <FileForm />
            <p className="dim">Enforcement, roll back, access and audit never depend on the licence.</p>
          </div>
        )}
      </Outcome>
    </Card>
  );
};

const Facts = ({ license }: { readonly license: LicenseView }) => {
  const { tone, text } = states[license.state];
  return (
    <>
      {license.notice === null ? null : (
        <p className="warn" role="status" data-testid="license-notice">
          {license.notice.message}
        </p>
      )}
      <dl className="facts">
        <dt>State</dt>
        <dd className={tone} data-testid="license-state">
          {text}
        </dd>
        <dt>Licence</dt>
        <dd>{license.tier === null ? '–' : `${license.tier}${license.customer === null ? '' : ` for ${license.customer}`}`}</dd>
        <dt>Ends</dt>
        <dd>{license.endsAt === null ? '–' : formatDateTime(license.endsAt)}</dd>
        <dt>Key</dt>
        <dd className="mono">{keyText(license)}</dd>
        <dt>Hosts</dt>
        <dd>{countText(license.hosts)}</dd>
        <dt>Clusters</dt>
        <dd>{countText(license.clusters)}</dd>
        <dt>Features</dt>
        <dd>{license.features.map(({ name, isOn }) => `${name} ${isOn ? 'on' : 'off'}`).join(', ')}</dd>
        <dt>Checked</dt>
        <dd>{license.checkedAt === null ? 'never' : formatDateTime(license.checkedAt)}</dd>
        {license.problem === null ? null : (
          <>
            <dt>Last call</dt>
            <dd>{license.problem.message}</dd>
          </>
        )}
      </dl>
    </>
  );
};

const keyText = ({ key }: LicenseView): string =>
  key === null ? '–' : `…${key.ending} ${key.origin === 'environment' ? '(from the environment)' : '(in the vault)'}`;

const countText = ({ used, max }: LicenseCount): string => `${String(used)} of ${max === null ? 'any number' : String(max)}`;

const KeyForm = ({ license }: { readonly license: LicenseView }) => {
  const [key, setKey] = useState('');
  const [isRemoving, setRemoving] = useState(false);
  const [put, { error, isLoading }] = useSetLicenseMutation();
  const [check, { error: checkError, isLoading: isChecking }] = useCheckLicenseMutation();
  const failure = failureOf(error) ?? failureOf(checkError);
  const submit = async (event: FormEvent): Promise<void> => {
    event.preventDefault();
    const { data } = await put({ key });
    if (data !== undefined) setKey('');
  };
  if (license.key?.origin === 'environment') return <p className="dim">The key comes from LICENSE_KEY; change it there.</p>;
  return (
    <form className="stack" onSubmit={(event) => void submit(event)}>
      <TextField
        label={license.key === null ? 'Licence key' : 'Another licence key'}
        value={key}
        onValue={setKey}
        maxLength={100}
        isMono
        hint="PENG and five groups of four letters or digits, with dashes between them"
        testId="license-key"
      />
      {failure === null ? null : <FailureView failure={failure} />}
      <div>
        <Button type="submit" variant="contained" disabled={isLoading || key.trim() === ''} data-testid="license-set">
          Keep this key
        </Button>{' '}
        {license.key === null ? null : (
          <>
            <Button variant="outlined" disabled={isChecking} onClick={() => void check({})} data-testid="license-check">
              Check now
            </Button>{' '}
            <Button variant="outlined" color="error" onClick={() => setRemoving(true)} data-testid="license-remove">
              Remove…
            </Button>
          </>
        )}
      </div>
      {isRemoving ? <RemoveDialog onClose={() => setRemoving(false)} /> : null}
    </form>
  );
};

const RemoveDialog = ({ onClose }: { readonly onClose: () => void }) => {
  const [remove, { error, isLoading }] = useRemoveLicenseMutation();
  const failure = failureOf(error);
  const go = async (): Promise<void> => {
    const { data } = await remove({});
    if (data !== undefined) onClose();
  };
  return (
    <ConsoleDialog
      title="Remove the licence key?"
      onClose={onClose}
      testId="license-remove-dialog"
      footer={
        <>
          <span className="grow" />
          <Button variant="outlined" onClick={onClose} autoFocus>
            Cancel
          </Button>
          <Button variant="contained" color="error" disabled={isLoading} onClick={() => void go()} data-testid="license-remove-confirm">
            Remove the key
          </Button>
        </>
      }
    >
      <p>New hosts are then counted as without a licence. Everything that runs goes on.</p>
      {failure === null ? null : <FailureView failure={failure} />}
    </ConsoleDialog>
  );
};

const FileForm = () => {
  const [take, { error }] = useImportLicenseMutation();
  const [tooLong, setTooLong] = useState(false);
  const failure = failureOf(error);
  const pick = async (file: File | undefined): Promise<void> => {
    if (file === undefined) return;
    setTooLong(file.size > fileMax);
    if (file.size <= fileMax) await take({ file: await file.text() });
  };
  return (
    <div className="field">
      <label htmlFor="license-file">Entitlement file, for networks without a way to the licence server</label>
      <input id="license-file" type="file" onChange={(event) => void pick(event.target.files?.[0])} data-testid="license-file" />
      {tooLong ? <div className="fault">The file is too long for an entitlement file.</div> : null}
      {failure === null ? null : <FailureView failure={failure} />}
    </div>
  );
};
