import { Cable } from 'lucide-react';
import type { HostSample, InterfaceRow, LinkCount } from '../../../bridge/model.ts';
import { formatBytes, formatCount } from '../../client/units.ts';
import { Blank } from '../../widgets/blank.tsx';
import { Card } from '../../widgets/card.tsx';
import { VerdictLabel } from '../../widgets/host-state.tsx';

/** Every interface with its counters since it came up. */
export const InterfacesTab = ({ sample }: { readonly sample: HostSample }) => (
  <Card title="Interfaces" aside="counters since the interface came up" isFlush testId="interfaces">
    {sample.interfaces.length === 0 ? (
      <Blank title="The host reports no interface" icon={<Cable size={28} aria-hidden="true" />} />
    ) : (
      <div className="table-scroll">
        <table className="table">
          <thead>
            <tr>
              <th scope="col">Interface</th>
              <th scope="col">Link</th>
              <th scope="col">XDP</th>
              <th scope="col">Addresses</th>
              <th scope="col">Driver</th>
              <th scope="col" className="right">
                Received
              </th>
              <th scope="col" className="right">
                Sent
              </th>
              <th scope="col" className="right">
                Drops
              </th>
              <th scope="col" className="right">
                Errors
              </th>
            </tr>
          </thead>
          <tbody>
            {sample.interfaces.map((row) => (
              <InterfaceLine key={row.index} row={row} />
            ))}
          </tbody>
        </table>
      </div>
    )}
  </Card>
);

const InterfaceLine = ({ row }: { readonly row: InterfaceRow }) => {
  const drops = row.received.drops + row.sent.drops;
  const errors = row.received.errors + row.sent.errors;
  return (
    <tr className="row">
      <td>
        <div className="mono">{row.name}</div>
        <div className="mono dim">{row.macAddress}</div>
      </td>
      <td>
        <VerdictLabel isAllowed={row.up} word={row.up ? 'Up' : 'Down'} />
        <div className="dim">mtu {row.mtu}</div>
      </td>
      <td className="wrap">
        {row.xdpMode === null ? <span className="off">not attached</span> : row.xdpMode}
        {row.xdpProblem === null ? null : <div className="warn">{row.xdpProblem}</div>}
      </td>
      <td className="mono wrap">
        {row.addresses.map((address) => (
          <div key={address}>{address}</div>
        ))}
      </td>
      <td className="mono">{row.driver === '' ? '–' : row.driver}</td>
      <Traffic count={row.received} />
      <Traffic count={row.sent} />
      <td className={drops > 0 ? 'mono right warn' : 'mono right'}>{formatCount(drops)}</td>
      <td className={errors > 0 ? 'mono right crit' : 'mono right'}>{formatCount(errors)}</td>
    </tr>
  );
};

const Traffic = ({ count }: { readonly count: LinkCount }) => (
  <td className="mono right">
    <div>{formatCount(count.packets)}</div>
    <div className="dim">{formatBytes(count.bytes)}</div>
  </td>
);
