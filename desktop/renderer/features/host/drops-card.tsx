import { Link } from 'react-router';
import type { HostCounters, HostSample } from '../../../bridge/model.ts';
import { useHostCountersQuery } from '../../client/bridge-api.ts';
import { reasonWord } from '../../../bridge/flow-grammar.ts';
import { flowsLink, hostLink, mappingLink } from '../../client/links.ts';
import { formatCount, formatScaled } from '../../client/units.ts';
import { Blank } from '../../widgets/blank.tsx';
import { Card } from '../../widgets/card.tsx';

interface DropsCardProps {
  readonly hostId: string;
  readonly sample: HostSample;
}

const countersPollMs = 2_000;
const mappingsShown = 3;

/** The deny mappings that counted most; the kernel counts per mapping, not per mapping and reason. */
const denyingMappings = (counters: HostCounters | undefined): readonly string[] =>
  (counters?.mappings ?? [])
    .filter(({ action, packets }) => action === 'deny' && packets > 0)
    .sort((left, right) => right.packets - left.packets)
    .slice(0, mappingsShown)
    .map(({ mapping }) => mapping);

/** Why packets are dropped here, and which mapping does it. */
export const DropsCard = ({ hostId, sample }: DropsCardProps) => {
  const { data: counters } = useHostCountersQuery({ hostId }, { pollingInterval: countersPollMs, skipPollingIfUnfocused: true });
  const drops = sample.reasons
    .filter(({ dropped }) => dropped)
    .sort((left, right) => (right.perSecond ?? 0) - (left.perSecond ?? 0) || right.packets - left.packets);
  const sentences = new Map(counters?.reasons.map(({ reason, sentence }) => [reason, sentence]));
  return (
    <Card title="Drops by reason" isFlush testId="drops">
      {drops.length === 0 ? (
        <Blank title="Nothing was dropped" />
      ) : (
        <table className="table">
          <thead>
            <tr>
              <th scope="col">Reason</th>
              <th scope="col">Meaning</th>
              <th scope="col">Because of</th>
              <th scope="col" className="right">
                Packets/s
              </th>
              <th scope="col" className="right">
                In all
              </th>
              <th scope="col">
                <span className="unseen">Next</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {drops.map(({ reason, packets, perSecond }) => (
              <tr key={reason} className="row">
                <td className="mono">{reason}</td>
                <td className="wrap dim">{sentences.get(reason) ?? ''}</td>
                <td className="wrap">
                  <Culprit hostId={hostId} reason={reason} counters={counters} />
                </td>
                <td className={(perSecond ?? 0) > 0 ? 'mono right crit' : 'mono right'}>{formatScaled(perSecond)}</td>
                <td className="mono right">{formatCount(packets)}</td>
                <td className="right">
                  <Link to={flowsLink(hostId, { reason: reasonWord(reason) })}>Flows</Link>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Card>
  );
};

/** What decided: mappings, deny lists or limits, each in its own place. */
const Culprit = ({
  hostId,
  reason,
  counters,
}: {
  readonly hostId: string;
  readonly reason: string;
  readonly counters: HostCounters | undefined;
}) => {
  if (reason === 'POLICY_DENY') return <MappingLinks hostId={hostId} names={denyingMappings(counters)} />;
  if (reason === 'DENY_LIST') return <Link to={hostLink(hostId, 'deny-lists')}>deny lists</Link>;
  if (reason === 'RATE_LIMIT') return <Link to={hostLink(hostId, 'limits')}>rate limits</Link>;
  return reason === 'NO_BACKEND' ? <Link to={hostLink(hostId, 'balancers')}>balancers</Link> : <span className="off">none</span>;
};

const MappingLinks = ({ hostId, names }: { readonly hostId: string; readonly names: readonly string[] }) =>
  names.length === 0 ? (
    <span className="off">–</span>
  ) : (
    names.map((name, index) => (
      <span key={name}>
        {index === 0 ? '' : ', '}
        <Link className="mono" to={mappingLink(hostId, name)}>
          {name}
        </Link>
      </span>
    ))
  );
