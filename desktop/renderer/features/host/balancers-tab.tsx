/** Balancing mappings of a host: backends with what is wanted, what is, and what each one gets. */
import { Split } from 'lucide-react';
import { useState } from 'react';
import { Link, useSearchParams } from 'react-router';
import type { BackendRow, BalancerList } from '../../../bridge/model.ts';
import { useBalancersQuery } from '../../client/bridge-api.ts';
import { mappingLink } from '../../client/links.ts';
import { failureOf } from '../../client/query-failure.ts';
import { useReadings } from '../../client/readings.ts';
import { useNow } from '../../client/shell.tsx';
import { countOf } from '../../client/units.ts';
import { Blank, Outcome } from '../../widgets/blank.tsx';
import { LiveState } from '../../widgets/host-state.tsx';
import { healthWords, natWords } from './balancer-words.ts';
import type { Balancer } from './balancer-words.ts';
import { BackendDialog } from './backend-dialog.tsx';
import type { BackendWish } from './backend-dialog.tsx';
import { BackendTable } from './backend-table.tsx';

const pollMs = 2_000;

/** What shall be changed, before it is asked about. */
interface Wanted {
  readonly mapping: string;
  readonly backend: BackendRow;
  readonly wish: BackendWish;
}

const isSameRevision = (before: BalancerList, after: BalancerList): boolean => before.revision === after.revision;

export const BalancersTab = ({ hostId }: { readonly hostId: string }) => {
  const { currentData, error, refetch } = useBalancersQuery({ hostId }, { pollingInterval: pollMs, skipPollingIfUnfocused: true });
  const readings = useReadings(currentData, isSameRevision);
  const [wanted, setWanted] = useState<Wanted | null>(null);
  const [search] = useSearchParams();
  return (
    <>
      <Outcome value={currentData} failure={failureOf(error)} label="Loading the balancers" onRetry={() => void refetch()}>
        {(list) =>
          list.balancers.length === 0 ? (
            <div className="card fill">
              <Blank title="No balancer yet" icon={<Split size={28} aria-hidden="true" />}>
                A mapping with the action “balance” spreads flows over several servers: write one in the policy editor.
              </Blank>
            </div>
          ) : (
            list.balancers.map((balancer) => (
              <BalancerCard
                key={balancer.mapping}
                hostId={hostId}
                balancer={balancer}
                list={list}
                readings={readings}
                isMarked={search.get('mapping') === balancer.mapping}
                onWanted={(backend, wish) => setWanted({ mapping: balancer.mapping, backend, wish })}
              />
            ))
          )
        }
      </Outcome>
      {wanted === null ? null : <BackendDialog hostId={hostId} {...wanted} onClose={() => setWanted(null)} />}
    </>
  );
};

interface BalancerCardProps {
  readonly hostId: string;
  readonly balancer: Balancer;
  readonly list: BalancerList;
  readonly readings: readonly BalancerList[];
  readonly isMarked: boolean;
  readonly onWanted: (backend: BackendRow, wish: BackendWish) => void;
}

const BalancerCard = ({ hostId, balancer, list, readings, isMarked, onWanted }: BalancerCardProps) => {
  const now = useNow();
  const { mapping, destinations, protocols, ports, nat, affinity, backends } = balancer;
  const up = backends.filter(({ effective }) => effective === 'up').length;
  return (
    <section className={isMarked ? 'card marked' : 'card'} aria-label={`Balancer ${mapping}`} data-testid={`balancer-${mapping}`}>
      <div className="card-head">
        <h2>
          <Link className="mono" to={mappingLink(hostId, mapping)}>
            {mapping}
          </Link>
        </h2>
        <span className={up === 0 ? 'crit strong' : up < backends.length ? 'warn' : 'dim'}>
          {up} of {countOf(backends.length, 'backend')} up
        </span>
        <div className="aside">
          <LiveState isLive={list.live} at={list.at} now={now} />
        </div>
      </div>
      <div className="vip">
        <span className="mono strong">{destinations.join(', ')}</span>
        <span className="mono">
          {protocols.join(', ')} {ports.length === 0 ? 'every port' : ports.join(', ')}
        </span>
        <span className="dim">{natWords[nat]}</span>
        <span className="dim">{affinity === 'source' ? 'one client, one backend' : 'each flow for itself'}</span>
        <span className="dim">{healthWords(balancer.healthCheck)}</span>
      </div>
      <BackendTable balancer={balancer} isLive={list.live} readings={readings} onWanted={onWanted} />
    </section>
  );
};
