/** Every interface with its engine; the chosen one with what the host found out about it. */
import { Cable } from 'lucide-react';
import { useSearchParams } from 'react-router';
import type { HostSample, InterfaceRow, LinkCount } from '../../../bridge/model.ts';
import { countOf, formatBytes, formatCount, formatScaled } from '../../client/units.ts';
import { Blank } from '../../widgets/blank.tsx';
import { Card } from '../../widgets/card.tsx';
import { VerdictLabel } from '../../widgets/host-state.tsx';
import { InterfaceCard } from './interface-card.tsx';

interface InterfacesTabProps {
  readonly hostId: string;
  readonly sample: HostSample;
}

export const InterfacesTab = ({ hostId, sample }: InterfacesTabProps) => {
  const [search, setSearch] = useSearchParams();
  const { interfaces } = sample;
  const chosen =
    interfaces.find(({ name }) => name === search.get('interface')) ?? interfaces.find(({ engine }) => engine !== null) ?? interfaces[0];
  if (chosen === undefined)
    return (
      <Card title="Interfaces" testId="interfaces">
        <Blank title="The host reports no interface" icon={<Cable size={28} aria-hidden="true" />} />
      </Card>
    );
  return (
    <div className="two wide-right">
      <Card title="Interfaces and engines" aside="counters since the interface came up" isFlush testId="interfaces">
        <InterfaceTable interfaces={interfaces} chosen={chosen} onChoose={(name) => setSearch({ interface: name }, { replace: true })} />
      </Card>
      <InterfaceCard key={chosen.name} hostId={hostId} row={chosen} isLive={sample.live} />
    </div>
  );
};

interface InterfaceTableProps {
  readonly interfaces: readonly InterfaceRow[];
  readonly chosen: InterfaceRow;
  readonly onChoose: (name: string) => void;
}

const InterfaceTable = ({ interfaces, chosen, onChoose }: InterfaceTableProps) => (
  <div className="table-scroll">
    <table className="table roomy">
      <thead>
        <tr>
          <th scope="col">Interface</th>
          <th scope="col">Link</th>
          <th scope="col">Engine</th>
          <th scope="col" className="right">
            Received
          </th>
          <th scope="col" className="right">
            Sent
          </th>
          <th scope="col" className="right">
            Lost
          </th>
        </tr>
      </thead>
      <tbody>
        {interfaces.map((row) => (
          <InterfaceLine key={row.index} row={row} isChosen={row === chosen} onChoose={() => onChoose(row.name)} />
        ))}
      </tbody>
    </table>
  </div>
);

interface InterfaceLineProps {
  readonly row: InterfaceRow;
  readonly isChosen: boolean;
  readonly onChoose: () => void;
}

const InterfaceLine = ({ row, isChosen, onChoose }: InterfaceLineProps) => {
  const drops = row.received.drops + row.sent.drops;
  const errors = row.received.errors + row.sent.errors;
  return (
    <tr className={isChosen ? 'row selected pressable' : 'row pressable'}>
      <td>
        <button type="button" className="link-button mono" aria-pressed={isChosen} onClick={onChoose} data-testid={`interface-${row.name}`}>
          {row.name}
        </button>
        <div className="dim">{row.addresses[0] ?? 'no address'}</div>
      </td>
      <td>
        <VerdictLabel isAllowed={row.up} word={row.up ? 'Up' : 'Down'} />
        <div className="dim">mtu {row.mtu}</div>
      </td>
      <td>
        {row.engine === null ? <span className="off">none</span> : <span className="mono">{row.engine}</span>}
        {row.xdpProblem === null ? null : <div className="warn">has a problem</div>}
      </td>
      <Traffic count={row.received} />
      <Traffic count={row.sent} />
      <td className="right">
        <div className={drops > 0 ? 'warn' : ''}>{countOf(drops, 'drop')}</div>
        <div className={errors > 0 ? 'crit' : 'dim'}>{countOf(errors, 'error')}</div>
      </td>
    </tr>
  );
};

const Traffic = ({ count }: { readonly count: LinkCount }) => (
  <td className="mono right">
    <div title={`${formatCount(count.packets)} packets`}>{formatScaled(count.packets)}</div>
    <div className="dim">{formatBytes(count.bytes)}</div>
  </td>
);
