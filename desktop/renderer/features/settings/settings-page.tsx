/** How the console looks, what it is, what its licence covers, and who may open it. */
import Button from '@mui/material/Button';
import { Lock } from 'lucide-react';
import type { ConsoleState, Settings } from '../../../bridge/model.ts';
import { useLockFleetMutation, usePutSettingsMutation, useSettingsQuery } from '../../client/bridge-api.ts';
import { failureOf } from '../../client/query-failure.ts';
import { formatDateTime } from '../../client/units.ts';
import { FailureView, Outcome } from '../../widgets/blank.tsx';
import { Card } from '../../widgets/card.tsx';
import { Choice } from '../../widgets/field.tsx';
import { Page } from '../../widgets/page.tsx';
import { LicenseCard } from './license-card.tsx';
import { SsoCard } from './sso-card.tsx';

export const SettingsPage = ({ state }: { readonly state: ConsoleState }) => {
  const { data, error, refetch } = useSettingsQuery({});
  return (
    <Page title="Settings">
      <div className="two">
        <div className="column">
          <Card title="Look">
            <Outcome value={data} failure={failureOf(error)} label="Loading settings" onRetry={() => void refetch()}>
              {(settings) => <LookForm settings={settings} />}
            </Outcome>
          </Card>
          <LicenseCard />
        </div>
        <div className="column">
          <FleetCard state={state} />
          <SsoCard />
        </div>
      </div>
    </Page>
  );
};

const LookForm = ({ settings }: { readonly settings: Settings }) => {
  const [put, { error }] = usePutSettingsMutation();
  const failure = failureOf(error);
  return (
    <div className="stack">
      <Choice
        label="Scheme"
        value={settings.scheme}
        options={[
          { value: 'dark', title: 'Dark' },
          { value: 'light', title: 'Light' },
          { value: 'contrast', title: 'High contrast' },
          { value: 'system', title: 'As the system' },
        ]}
        onValue={(scheme) => void put({ scheme })}
        testId="scheme"
      />
      <Choice
        label="Rows"
        value={settings.density}
        options={[
          { value: 'comfortable', title: 'Comfortable' },
          { value: 'compact', title: 'Compact' },
        ]}
        onValue={(density) => void put({ density })}
        testId="density"
      />
      {failure === null ? null : <FailureView failure={failure} />}
    </div>
  );
};

const FleetCard = ({ state }: { readonly state: ConsoleState }) => {
  const [lock, { error, isLoading }] = useLockFleetMutation();
  const failure = failureOf(error);
  return (
    <Card title="Fleet and operator">
      <div className="stack">
        <dl className="facts">
          <dt>Fleet</dt>
          <dd>{state.fleetName}</dd>
          <dt>Id</dt>
          <dd className="mono">{state.fleetId}</dd>
          <dt>Operator</dt>
          <dd>{state.operatorName}</dd>
          <dt>Certificate</dt>
          <dd>{state.operatorCertificateEndsAt === null ? '–' : `ends ${formatDateTime(state.operatorCertificateEndsAt)}`}</dd>
          <dt>Keys</dt>
          <dd>{state.storage === 'keychain' ? 'in the keychain of this computer' : 'in a file opened by a passphrase'}</dd>
          <dt>Keychain</dt>
          <dd>{state.keychain.available ? 'available' : `not available: ${state.keychain.reason}`}</dd>
          <dt>Version</dt>
          <dd className="mono">{state.version}</dd>
        </dl>
        <div>
          <Button
            variant="outlined"
            startIcon={<Lock size={16} />}
            disabled={isLoading}
            onClick={() => void lock({})}
            data-testid="lock-console"
          >
            Lock the console
          </Button>
        </div>
        <p className="dim">Locking takes the keys out of memory. Hosts keep enforcing.</p>
        {failure === null ? null : <FailureView failure={failure} />}
      </div>
    </Card>
  );
};
