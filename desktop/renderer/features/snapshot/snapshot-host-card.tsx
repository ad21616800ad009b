/** One host of an open snapshot: what it was, its policy, its flows, and packets traced through its tables. */
import { useState } from 'react';
import { failureOf } from '../../client/query-failure.ts';
import { useSnapshotFlowsQuery, useSnapshotHostQuery, useSnapshotPolicyQuery } from '../../client/snapshot-api.ts';
import { endpointText } from '../../client/links.ts';
import { formatBytes, formatCount, formatDateTime, formatRevision } from '../../client/units.ts';
import type { SnapshotHostDetail } from '../../../bridge/snapshot-model.ts';
import { Blank, Outcome } from '../../widgets/blank.tsx';
import { Card } from '../../widgets/card.tsx';
import { Tabs } from '../../widgets/tabs.tsx';
import { SnapshotTrace } from './snapshot-trace.tsx';

const tabs = [
  { id: 'overview', title: 'Overview' },
  { id: 'policy', title: 'Policy' },
  { id: 'flows', title: 'Flows' },
  { id: 'trace', title: 'Packet trace' },
] as const;
type Tab = (typeof tabs)[number]['id'];

/** Flows drawn. */
const flowsMax = 500;

interface HostProps {
  readonly snapshotId: string;
  readonly hostId: string;
}

export const SnapshotHostCard = (host: HostProps) => {
  const { data, error, refetch } = useSnapshotHostQuery(host);
  const [tab, setTab] = useState<Tab>('overview');
  return (
    <Card title={data?.row.name ?? 'Host'} testId="snapshot-host">
      <Tabs label="What is kept of the host" current={tab} tabs={tabs} onChange={setTab} />
      <Outcome value={data} failure={failureOf(error)} label="Loading the host" onRetry={() => void refetch()}>
        {(detail) => <Kept tab={tab} host={host} detail={detail} />}
      </Outcome>
    </Card>
  );
};

const Kept = ({ tab, host, detail }: { readonly tab: Tab; readonly host: HostProps; readonly detail: SnapshotHostDetail }) => {
  if (tab === 'policy') return <PolicyText {...host} />;
  if (tab === 'flows') return <Flows {...host} />;
  if (tab === 'trace') return <SnapshotTrace {...host} interfaces={detail.sample?.interfaces.map(({ name }) => name) ?? []} />;
  return <Overview detail={detail} />;
};

const Overview = ({ detail: { row, facts, sample, port, cluster, certificate, documents } }: { readonly detail: SnapshotHostDetail }) => {
  const lines: readonly (readonly [string, string])[] = [
    ['State then', row.stateReason === null ? row.state : `${row.state}: ${row.stateReason}`],
    ['Address', `${row.address} port ${String(port)}`],
    ['Cluster', cluster ?? '–'],
    ['System', facts === null ? '–' : `${facts.operatingSystem}, kernel ${facts.kernel}, ${String(facts.cpuCount)} processors`],
    ['Policy', formatRevision(row.revision, row.generation)],
    ['Interfaces', sample?.interfaces.map(({ name, engine }) => `${name} (${engine ?? 'none'})`).join(', ') ?? '–'],
    ['Certificate ends', certificate === null ? '–' : formatDateTime(certificate.endsAt)],
    ...documents.map(({ kind, at }): readonly [string, string] => [`Kept: ${kind}`, `from ${formatDateTime(at)}`]),
  ];
  return (
    <>
      <table className="table">
        <tbody>
          {lines.map(([title, value]) => (
            <tr key={title} className="row">
              <th scope="row">{title}</th>
              <td className="wrap">{value}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {sample?.warnings.map(({ code, title, message, severity }) => (
        <div key={code} className={severity === 'critical' ? 'callout crit' : 'callout warn'}>
          <div>
            <strong>{title}</strong> {message}
          </div>
        </div>
      ))}
    </>
  );
};

const PolicyText = (host: HostProps) => {
  const { data, error, refetch } = useSnapshotPolicyQuery(host);
  return (
    <Outcome value={data} failure={failureOf(error)} label="Loading the policy" onRetry={() => void refetch()}>
      {({ policy, revision, author, state }) => (
        <>
          <p className="dim">{`Revision ${String(revision)}, ${state}, by ${author === '' ? 'nobody known' : author}.`}</p>
          <pre className="mono" data-testid="snapshot-policy">
            {indented(policy)}
          </pre>
        </>
      )}
    </Outcome>
  );
};

/** As it is when it is no JSON. */
const indented = (policy: string): string => {
  try {
    return JSON.stringify(JSON.parse(policy), null, 2);
  } catch {
    return policy;
  }
};

const Flows = (host: HostProps) => {
  const { data, error, refetch } = useSnapshotFlowsQuery({ ...host, limit: flowsMax });
  return (
    <Outcome value={data} failure={failureOf(error)} label="Loading the flows" onRetry={() => void refetch()}>
      {({ flows, truncated }) =>
        flows.length === 0 ? (
          <Blank title="No flow was kept">Ask for a snapshot with more flows.</Blank>
        ) : (
          <>
            <div className="table-scroll">
              <table className="table" data-testid="snapshot-flows">
                <thead>
                  <tr>
                    {['State', 'From', 'To', 'Because of', 'Packets', 'Bytes', 'Seen'].map((title) => (
                      <th key={title} scope="col">
                        {title}
                      </th>
                    ))}
                  </tr>
                </thead>
                <tbody>
                  {flows.map((flow, index) => (
                    <tr key={String(index)} className="row">
                      <td>{flow.state}</td>
                      <td className="mono">{endpointText(flow.source, flow.sourcePort, flow.protocol)}</td>
                      <td className="mono">{`${endpointText(flow.destination, flow.destinationPort, flow.protocol)} ${flow.protocol}`}</td>
                      <td className="mono">{flow.mapping ?? flow.reason}</td>
                      <td className="mono right">{formatCount(flow.packets)}</td>
                      <td className="mono right">{formatBytes(flow.bytes)}</td>
                      <td className="mono">{formatDateTime(flow.lastSeen)}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
            {truncated ? <p className="dim">Only the newest flows were kept.</p> : null}
          </>
        )
      }
    </Outcome>
  );
};
