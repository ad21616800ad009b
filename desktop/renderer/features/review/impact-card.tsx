/** How many flows change their verdict, and which. */
import { useState } from 'react';
import { Link } from 'react-router';
import type { FleetPlan, FlowChange } from '../../../bridge/model.ts';
import { endpointText, mappingLink, traceFlowLink } from '../../client/links.ts';
import { countOf, formatBytes, formatCount, formatSpan } from '../../client/units.ts';
import { Card } from '../../widgets/card.tsx';
import { Tabs } from '../../widgets/tabs.tsx';

interface HostChange {
  readonly hostId: string;
  readonly hostName: string;
  readonly change: FlowChange;
}

/** Rows drawn; the heaviest come first from every host. */
const rowsMax = 100;

/** All hosts together: what is under way now first, then what moved most. */
const changesOf = (plan: FleetPlan): readonly HostChange[] =>
  plan.hosts
    .flatMap(({ hostId, hostName, impact }) => (impact?.changes ?? []).map((change) => ({ hostId, hostName, change })))
    .sort(
      (a, b) =>
        Number(b.change.flow.state === 'live') - Number(a.change.flow.state === 'live') || b.change.flow.bytes - a.change.flow.bytes,
    );

export const ImpactCard = ({ plan }: { readonly plan: FleetPlan }) => {
  const windows = plan.hosts.flatMap(({ impact }) => (impact === null ? [] : [impact.windowSeconds]));
  const lost = plan.hosts.reduce((sum, { impact }) => sum + (impact?.recordsLost ?? 0), 0);
  const isMeasured = windows.length > 0;
  const isPlanned = plan.hosts.some(({ problem, planHash }) => problem === null && planHash !== null);
  return (
    <Card
      title="Effect on flows"
      isFlush
      testId="impact"
      aside={
        isMeasured
          ? `replayed: ${countOf(plan.replayed, 'flow')} seen in the last ${formatSpan(Math.max(...windows))} on ${countOf(windows.length, 'host')}`
          : isPlanned
            ? 'not measured'
            : 'nothing was planned'
      }
    >
      {isMeasured ? (
        <ImpactBar plan={plan} />
      ) : (
        <p style={{ padding: 14 }}>
          {isPlanned
            ? 'No host could replay its flows: the effect is not known.'
            : 'No host could plan this: the reasons are in the list by host.'}
        </p>
      )}
      {lost > 0 ? (
        <p
          className="warn"
          style={{ padding: '0 14px 10px' }}
        >{`${countOf(lost, 'flow record')} were lost in that time: the effect may be larger than shown.`}</p>
      ) : null}
      {isMeasured ? <ChangeTable plan={plan} /> : null}
    </Card>
  );
};

const ImpactBar = ({ plan }: { readonly plan: FleetPlan }) => {
  const share = (count: number): string =>
    plan.replayed === 0 ? '0' : `max(${count > 0 ? '4px' : '0px'}, ${String((count / plan.replayed) * 100)}%)`;
  return (
    <div style={{ padding: '12px 14px' }}>
      <div
        className="bar tall"
        role="img"
        aria-label={`${formatCount(plan.unchanged)} unchanged, ${formatCount(plan.newlyAllowed)} newly allowed, ${formatCount(plan.cut)} will be cut`}
      >
        <i className="fill" style={{ flex: 1 }} />
        <i className="ok" style={{ width: share(plan.newlyAllowed) }} />
        <i className="crit" style={{ width: share(plan.cut) }} />
      </div>
      <div className="line wrap" style={{ gap: 24, marginTop: 10 }}>
        <span data-testid="impact-unchanged">
          <strong>{formatCount(plan.unchanged)}</strong> <span className="dim">unchanged</span>
        </span>
        <span className="ok" data-testid="impact-allowed">
          <strong>{formatCount(plan.newlyAllowed)}</strong> newly allowed
        </span>
        <span className="crit" data-testid="impact-cut">
          <strong>{formatCount(plan.cut)}</strong> will be cut, {formatCount(plan.cutLive)} of them live now
        </span>
      </div>
    </div>
  );
};

const ChangeTable = ({ plan }: { readonly plan: FleetPlan }) => {
  const [wanted, setWanted] = useState<'cut' | 'allowed'>(plan.cut > 0 || plan.newlyAllowed === 0 ? 'cut' : 'allowed');
  const all = changesOf(plan).filter(({ change }) => change.allowed === (wanted === 'allowed'));
  const isTruncated = all.length > rowsMax || plan.hosts.some(({ impact }) => impact?.changesTruncated === true);
  if (plan.cut === 0 && plan.newlyAllowed === 0)
    return <p style={{ padding: '0 14px 14px' }}>No flow seen in that time changes its verdict.</p>;
  return (
    <>
      <div style={{ padding: '0 14px' }}>
        <Tabs
          label="Which changes"
          current={wanted}
          onChange={setWanted}
          tabs={[
            { id: 'cut', title: `Will be cut (${formatCount(plan.cut)})` },
            { id: 'allowed', title: `Newly allowed (${formatCount(plan.newlyAllowed)})` },
          ]}
        />
      </div>
      <div className="table-scroll" style={{ maxHeight: 320 }}>
        <table className="table" data-testid="impact-flows">
          <thead>
            <tr>
              <th scope="col">{wanted === 'cut' ? 'Will be cut' : 'Newly allowed'}</th>
              {plan.hosts.length > 1 ? <th scope="col">Host</th> : null}
              <th scope="col" className="right">
                Bytes
              </th>
              <th scope="col">Because of</th>
            </tr>
          </thead>
          <tbody>
            {all.slice(0, rowsMax).map((entry) => (
              <ChangeRow key={`${entry.hostId} ${flowKey(entry.change)}`} entry={entry} hasHosts={plan.hosts.length > 1} />
            ))}
          </tbody>
        </table>
      </div>
      {isTruncated ? (
        <p
          className="dim"
          style={{ padding: '8px 14px' }}
        >{`${formatCount(Math.min(all.length, rowsMax))} are shown: live ones first, then the heaviest.`}</p>
      ) : null}
    </>
  );
};

const flowKey = ({ flow }: FlowChange): string =>
  [flow.protocol, flow.source, flow.sourcePort, flow.destination, flow.destinationPort, flow.interface].join(' ');

const ChangeRow = ({ entry: { hostId, hostName, change }, hasHosts }: { readonly entry: HostChange; readonly hasHosts: boolean }) => {
  const { flow } = change;
  const names = `${flow.sourceServices[0] ?? 'any'} → ${flow.destinationServices[0] ?? 'any'}`;
  return (
    <tr className="row">
      <td className="wrap">
        <Link to={traceFlowLink(hostId, flow)} title="Trace this flow">
          {names}
        </Link>
        <div className="mono">
          {endpointText(flow.source, flow.sourcePort, flow.protocol)} →{' '}
          {endpointText(flow.destination, flow.destinationPort, flow.protocol)} <span className="dim">{flow.protocol}</span>
        </div>
      </td>
      {hasHosts ? <td className="mono">{hostName}</td> : null}
      <td className="mono right">
        {formatBytes(flow.bytes)}
        <div className={flow.state === 'live' ? 'sky' : 'dim'}>{flow.state}</div>
      </td>
      <td className="wrap">
        <div className="mono">{change.mapping ?? <span className="dim">default action</span>}</div>
        <div className="dim">
          {'instead of '}
          {flow.mapping === null ? (
            'the default action'
          ) : (
            <Link className="mono" to={mappingLink(hostId, flow.mapping)}>
              {flow.mapping}
            </Link>
          )}
        </div>
      </td>
    </tr>
  );
};
