/** The policy a host has, with what each mapping counted; `?revision=` shows an older one, `?mapping=` marks one. */
import { ListChecks } from 'lucide-react';
import { Link, useSearchParams } from 'react-router';
import type { HostCounters, PolicyRevision } from '../../../bridge/model.ts';
import { useHostCountersQuery, usePolicyQuery } from '../../client/bridge-api.ts';
import { flowsLink } from '../../client/links.ts';
import { readPolicyText } from '../../client/policy-document.ts';
import type { MappingDraft, PolicyDraft } from '../../client/policy-document.ts';
import { failureOf } from '../../client/query-failure.ts';
import { useNow } from '../../client/shell.tsx';
import { countOf, formatAge, formatBytes, formatCount, formatGeneration } from '../../client/units.ts';
import { Blank, Outcome } from '../../widgets/blank.tsx';
import { Card } from '../../widgets/card.tsx';
import { VerdictLabel } from '../../widgets/host-state.tsx';
import { VirtualGrid } from '../../widgets/virtual-grid.tsx';

const countersPollMs = 1_000;

export const PolicyTab = ({ hostId }: { readonly hostId: string }) => {
  const [search] = useSearchParams();
  const asked = Number(search.get('revision') ?? '0');
  const { currentData, error, refetch } = usePolicyQuery({ hostId, ...(Number.isInteger(asked) && asked > 0 ? { revision: asked } : {}) });
  return (
    <Outcome value={currentData} failure={failureOf(error)} label="Loading the policy" onRetry={() => void refetch()}>
      {(revision) => <PolicyView hostId={hostId} revision={revision} marked={search.get('mapping')} />}
    </Outcome>
  );
};

interface PolicyViewProps {
  readonly hostId: string;
  readonly revision: PolicyRevision;
  readonly marked: string | null;
}

const PolicyView = ({ hostId, revision, marked }: PolicyViewProps) => {
  const now = useNow();
  const { data: counters } = useHostCountersQuery({ hostId }, { pollingInterval: countersPollMs, skipPollingIfUnfocused: true });
  const policy = readPolicyText(revision.policy);
  const isCurrent = counters?.revision === revision.revision;
  if (policy === null)
    return <Blank title="No policy yet">Nothing is enforced on this host: every packet passes. Press “Change policy” to write one.</Blank>;
  return (
    <>
      <div className="line wrap dim" data-testid="policy-about">
        <span>
          Revision <strong className="mono">{revision.revision}</strong>, generation{' '}
          <span className="mono">{formatGeneration(revision.generation)}</span>, {revision.state}
        </span>
        <span>
          when nothing matches: <VerdictLabel isAllowed={policy.defaultAction === 'allow'} word={policy.defaultAction} />
        </span>
        {revision.live ? null : <span className="off">kept {formatAge(now - revision.at)} ago</span>}
        {counters !== undefined && !isCurrent ? <span className="warn">not the revision in force: no counters</span> : null}
      </div>
      <section className="card fill" aria-label="Mappings" style={{ minHeight: 240 }}>
        {policy.mappings.length === 0 ? (
          <Blank title="No mappings" icon={<ListChecks size={28} aria-hidden="true" />} />
        ) : (
          <MappingTable hostId={hostId} policy={policy} counters={isCurrent ? counters : undefined} marked={marked} />
        )}
      </section>
      <ServicesCard policy={policy} />
    </>
  );
};

interface MappingTableProps {
  readonly hostId: string;
  readonly policy: PolicyDraft;
  readonly counters: HostCounters | undefined;
  readonly marked: string | null;
}

const MappingTable = ({ hostId, policy, counters, marked }: MappingTableProps) => {
  const mappings = policy.mappings.toSorted((left, right) => right.priority - left.priority);
  const counted = new Map(counters?.mappings.map((entry) => [entry.mapping, entry]));
  return (
    <VirtualGrid
      label="Mappings"
      layout="policy-grid"
      testId="policy-table"
      columns={[
        { id: 'priority', title: 'Prio', isRight: true },
        { id: 'name', title: 'Mapping' },
        { id: 'sources', title: 'From' },
        { id: 'destinations', title: 'To' },
        { id: 'traffic', title: 'Traffic' },
        { id: 'action', title: 'Action' },
        { id: 'packets', title: 'Packets', isRight: true },
        { id: 'bytes', title: 'Bytes', isRight: true },
      ]}
      count={mappings.length}
      keyOf={(index) => mappings[index]?.name ?? String(index)}
      shown={marked === null ? -1 : mappings.findIndex(({ name }) => name === marked)}
      isSelected={(index) => mappings[index]?.name === marked}
      cells={(index) => {
        const mapping = mappings[index];
        return mapping === undefined ? [] : mappingCells(hostId, mapping, counted.get(mapping.name));
      }}
    />
  );
};

const mappingCells = (
  hostId: string,
  mapping: MappingDraft,
  count: HostCounters['mappings'][number] | undefined,
): readonly React.ReactNode[] => [
  <span key="priority" className="mono">
    {mapping.priority}
  </span>,
  <Link key="name" className="mono" to={flowsLink(hostId, { mapping: mapping.name })} title="Flows of this mapping">
    {mapping.name}
  </Link>,
  <span key="sources" className="mono">
    {mapping.sources.join(', ')}
  </span>,
  <span key="destinations" className="mono">
    {mapping.destinations.join(', ')}
  </span>,
  <span key="traffic" className="mono">
    {mapping.protocols.join(', ')} {(mapping.ports ?? []).join(', ')}
  </span>,
  <VerdictLabel key="action" isAllowed={mapping.action !== 'deny'} word={mapping.action} />,
  <span key="packets" className="mono">
    {formatCount(count?.packets)}
  </span>,
  <span key="bytes" className="mono">
    {formatBytes(count?.bytes)}
  </span>,
];

const servicesShown = 200;

const ServicesCard = ({ policy }: { readonly policy: PolicyDraft }) => (
  <Card title={countOf(policy.services.length, 'service')} isFlush>
    <div className="table-scroll" style={{ maxHeight: 240 }}>
      <table className="table">
        <thead>
          <tr>
            <th scope="col">Service</th>
            <th scope="col">Addresses</th>
          </tr>
        </thead>
        <tbody>
          {policy.services.slice(0, servicesShown).map((service) => (
            <tr key={service.name} className="row">
              <td className="mono" style={{ width: 200 }}>
                {service.name}
              </td>
              <td className="mono wrap">{service.addresses.join(', ')}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
    {policy.services.length > servicesShown ? (
      <p className="dim" style={{ padding: '8px 14px' }}>{`The first ${String(servicesShown)} are shown.`}</p>
    ) : null}
  </Card>
);
