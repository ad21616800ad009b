/** One host. */
import Button from '@mui/material/Button';
import { PencilLine, WifiOff } from 'lucide-react';
import { Suspense, lazy } from 'react';
import type { ReactElement } from 'react';
import { Navigate, useNavigate, useParams } from 'react-router';
import type { HostDetail, HostSample } from '../../../bridge/model.ts';
import { useHostQuery, useWatchHostQuery } from '../../client/bridge-api.ts';
import type { Followed } from '../../client/bridge-api.ts';
import { hostLink, hostTabs } from '../../client/links.ts';
import type { HostTab } from '../../client/links.ts';
import { failureOf } from '../../client/query-failure.ts';
import { useNow } from '../../client/shell.tsx';
import { formatAge } from '../../client/units.ts';
import { Bones, FailureView } from '../../widgets/blank.tsx';
import { FlowExplorer } from '../../widgets/flow-explorer.tsx';
import { HostStateLabel, LiveState } from '../../widgets/host-state.tsx';
import { Page } from '../../widgets/page.tsx';
import { TabLinks } from '../../widgets/tabs.tsx';
import { InterfacesTab } from './interfaces-tab.tsx';
import { OverviewTab } from './overview-tab.tsx';

const PolicyTab = lazy(async () => ({ default: (await import('./policy-tab.tsx')).PolicyTab }));
const BalancersTab = lazy(async () => ({ default: (await import('./balancers-tab.tsx')).BalancersTab }));
const DenyListsTab = lazy(async () => ({ default: (await import('./deny-lists-tab.tsx')).DenyListsTab }));
const LimitsTab = lazy(async () => ({ default: (await import('./limits-tab.tsx')).LimitsTab }));
const HistoryTab = lazy(async () => ({ default: (await import('./history-tab.tsx')).HistoryTab }));

const titles: Readonly<Record<HostTab, string>> = {
  overview: 'Overview',
  interfaces: 'Interfaces',
  flows: 'Flows',
  policy: 'Policy',
  balancers: 'Balancers',
  'deny-lists': 'Deny lists',
  limits: 'Rate limits',
  history: 'History',
};
/** Facts change seldom; they are asked for again in this time, milliseconds. */
const detailPollMs = 15_000;

export const HostPage = () => {
  const { id = '', tab = 'overview' } = useParams();
  const shown = hostTabs.find((known) => known === tab);
  if (shown === undefined) return <Navigate to={hostLink(id)} replace />;
  return <HostView key={id} hostId={id} tab={shown} />;
};

const HostView = ({ hostId, tab }: { readonly hostId: string; readonly tab: HostTab }) => {
  const now = useNow();
  const navigate = useNavigate();
  const { data: detail, error, refetch } = useHostQuery({ hostId }, { pollingInterval: detailPollMs, skipPollingIfUnfocused: true });
  const { data: followed } = useWatchHostQuery({ hostId });
  const failure = failureOf(error);
  const sample = followed?.value ?? detail?.sample ?? null;
  const state =
    sample === null ? detail?.row : { state: sample.state, seenAt: sample.live ? sample.at : (detail?.row.seenAt ?? sample.at) };
  return (
    <Page
      title={<span className="host-name">{detail?.row.name ?? 'Host'}</span>}
      about={
        state === undefined || detail === undefined ? undefined : (
          <>
            <HostStateLabel host={state} now={now} />
            <span className="chips">
              {detail.row.labels.map((label) => (
                <span key={label} className="chip">
                  {label}
                </span>
              ))}
            </span>
          </>
        )
      }
      actions={
        <>
          <LiveState isLive={sample?.live === true && followed?.failure === null} at={sample?.at ?? null} now={now} />
          <Button
            variant="contained"
            startIcon={<PencilLine size={16} />}
            onClick={() => void navigate(`/policy?from=${hostId}`)}
            data-testid="change-policy"
          >
            Change policy
          </Button>
        </>
      }
      banner={sample !== null && !sample.live ? <OfflineBanner sample={sample} now={now} /> : undefined}
    >
      <TabLinks
        label="Parts of the host"
        current={tab}
        tabs={hostTabs.map((name) => ({
          id: name,
          title: titles[name],
          to: hostLink(hostId, name),
          count: name === 'interfaces' && sample !== null ? String(sample.interfaces.length) : undefined,
        }))}
      />
      {failure !== null && detail === undefined ? <FailureView failure={failure} onRetry={() => void refetch()} /> : null}
      <Suspense fallback={<Bones label="Loading" />}>
        <HostTabBody hostId={hostId} tab={tab} detail={detail} sample={sample} followed={followed} />
      </Suspense>
    </Page>
  );
};

const OfflineBanner = ({ sample, now }: { readonly sample: HostSample; readonly now: number }) => (
  <div className="banner off" role="status" data-testid="offline-banner">
    <WifiOff size={16} aria-hidden="true" />
    <strong>Offline.</strong>
    <span>Everything below is {formatAge(now - sample.at)} old. The host keeps enforcing the policy it has.</span>
  </div>
);

interface HostTabBodyProps {
  readonly hostId: string;
  readonly tab: HostTab;
  readonly detail: HostDetail | undefined;
  readonly sample: HostSample | null;
  readonly followed: Followed<HostSample> | undefined;
}

const HostTabBody = ({ hostId, tab, detail, sample, followed }: HostTabBodyProps): ReactElement => {
  switch (tab) {
    case 'flows':
      return <FlowExplorer hostId={hostId} />;
    case 'policy':
      return <PolicyTab hostId={hostId} />;
    case 'balancers':
      return <BalancersTab hostId={hostId} />;
    case 'deny-lists':
      return <DenyListsTab hostId={hostId} sample={sample} />;
    case 'limits':
      return <LimitsTab hostId={hostId} />;
    case 'history':
      return <HistoryTab hostId={hostId} />;
    default:
      if (detail === undefined) return <Bones label="Loading the host" lines={8} />;
      if (sample === null)
        return followed?.failure === null || followed === undefined ? (
          <NotMeasured detail={detail} />
        ) : (
          <FailureView failure={followed.failure} />
        );
      return tab === 'overview' ? <OverviewTab detail={detail} sample={sample} /> : <InterfacesTab hostId={hostId} sample={sample} />;
  }
};

const NotMeasured = ({ detail }: { readonly detail: HostDetail }) =>
  detail.row.state === 'offline' ? (
    <FailureView
      failure={{
        code: 'HOST_OFFLINE',
        message: detail.row.stateReason ?? 'The host has not answered yet, and nothing is kept of it. Look whether its agent runs.',
      }}
    />
  ) : (
    <Bones label="Waiting for the first measurement" lines={8} />
  );
