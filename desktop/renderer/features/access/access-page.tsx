/** Who may do what: the signed bundle, people and clients, roles, bindings, locks, and where each host stands. */
import { useChangeAccessMutation, useWatchAccessQuery } from '../../client/bridge-api.ts';
import type { AccessChange, AccessView } from '../../../bridge/model.ts';
import { failureOf } from '../../client/query-failure.ts';
import { FailureView, Outcome } from '../../widgets/blank.tsx';
import { CopyText } from '../../widgets/copy-text.tsx';
import { Page } from '../../widgets/page.tsx';
import { BindingsCard } from './bindings-card.tsx';
import { BreakGlassCard } from './break-glass-card.tsx';
import { BundleCard } from './bundle-card.tsx';
import { HostsCard } from './hosts-card.tsx';
import { MfaCard } from './mfa-card.tsx';
import { PeopleCard } from './people-card.tsx';
import { RolesCard } from './roles-card.tsx';

export const AccessPage = () => {
  const { data: followed } = useWatchAccessQuery({});
  return (
    <Page title="Access" about="Who may do what. Every host enforces it by itself.">
      <Outcome value={followed?.value} failure={followed?.failure} label="Loading who may do what">
        {(view) => <Access view={view} isBroken={followed?.failure !== null} />}
      </Outcome>
    </Page>
  );
};

const Access = ({ view, isBroken }: { readonly view: AccessView; readonly isBroken: boolean }) => {
  const [send, { isLoading, error, data }] = useChangeAccessMutation();
  const failure = failureOf(error);
  const canChange = !isLoading && !isBroken && (view.self.isOwner || view.head === null);
  const change = canChange ? (one: AccessChange): void => void send({ change: one }) : null;
  return (
    <div className="stack">
      {isBroken ? <div className="callout warn">The connection to the console is lost. What you see is its last word.</div> : null}
      {failure === null ? null : (
        <div className="card pinned">
          <FailureView failure={failure} />
        </div>
      )}
      {(data?.clientKey ?? null) === null || error !== undefined ? null : (
        <div className="card pinned">
          <div className="card-body stack tight">
            <p>The new key. It is shown now and never again.</p>
            <CopyText text={data?.clientKey ?? ''} label="key" testId="client-key" />
          </div>
        </div>
      )}
      <BundleCard view={view} change={change} />
      {view.head === null ? null : (
        <>
          <MfaCard view={view} change={change} />
          <BreakGlassCard />
          <PeopleCard view={view} change={change} />
          <BindingsCard view={view} change={change} />
          <RolesCard view={view} change={change} />
          <HostsCard view={view} />
        </>
      )}
    </div>
  );
};
