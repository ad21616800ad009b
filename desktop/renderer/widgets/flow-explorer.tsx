/** Flows of one host with filters; every row leads to a trace, every mapping to its place in the policy. */
import Button from '@mui/material/Button';
import { Crosshair, RefreshCw, Waves } from 'lucide-react';
import { Link, useSearchParams } from 'react-router';
import type { InputOf } from '../../bridge/contract.ts';
import type { FlowList, FlowRow } from '../../bridge/model.ts';
import { useHostFlowsQuery } from '../client/bridge-api.ts';
import { endpointText, mappingLink, traceFlowLink } from '../client/links.ts';
import { failureOf } from '../client/query-failure.ts';
import { useNow } from '../client/shell.tsx';
import { countOf, formatAge, formatBytes, formatCount, formatScaled } from '../client/units.ts';
import { Blank, Outcome } from './blank.tsx';
import { LiveState, VerdictLabel } from './host-state.tsx';
import { VirtualGrid } from './virtual-grid.tsx';

interface FlowExplorerProps {
  readonly hostId: string;
}

/** How often the list is asked for again, milliseconds. */
const pollMs = 2_000;
const limit = 500;
const windows = [
  { seconds: 60, title: '1 min' },
  { seconds: 300, title: '5 min' },
  { seconds: 900, title: '15 min' },
  { seconds: 3_600, title: '1 h' },
] as const;

const portOf = (text: string): number | undefined =>
  /^\d{1,5}$/.test(text) && Number(text) >= 1 && Number(text) <= 65_535 ? Number(text) : undefined;

const inputOf = (hostId: string, search: URLSearchParams): InputOf<'host.flows'> => {
  const verdict = search.get('verdict');
  const port = portOf(search.get('port') ?? '');
  const address = (search.get('address') ?? '').trim();
  const mapping = (search.get('mapping') ?? '').trim();
  return {
    hostId,
    limit,
    windowSeconds: Number(search.get('window') ?? '300'),
    ...(verdict === 'allowed' || verdict === 'denied' ? { verdict } : {}),
    ...(port === undefined ? {} : { port }),
    ...(address === '' ? {} : { address }),
    ...(mapping === '' ? {} : { mapping }),
  };
};

export const FlowExplorer = ({ hostId }: FlowExplorerProps) => {
  const [search, setSearch] = useSearchParams();
  const { data, currentData, error, isFetching, refetch } = useHostFlowsQuery(inputOf(hostId, search), {
    pollingInterval: pollMs,
    skipPollingIfUnfocused: true,
  });
  const set = (name: string, value: string): void =>
    setSearch(
      (previous) => {
        if (value === '') previous.delete(name);
        else previous.set(name, value);
        return previous;
      },
      { replace: true },
    );
  const list = currentData ?? (isFetching ? data : undefined);
  return (
    <section className="card fill" aria-label="Flows" style={{ minHeight: 360 }}>
      <FlowFilters search={search} onSet={set} list={list} />
      <Outcome value={list} failure={failureOf(error)} label="Loading flows" onRetry={() => void refetch()}>
        {(flows) => (
          <FlowTable
            hostId={hostId}
            list={flows}
            onClear={() =>
              setSearch((previous) => new URLSearchParams(previous.has('host') ? { host: previous.get('host') ?? '' } : {}), {
                replace: true,
              })
            }
          />
        )}
      </Outcome>
    </section>
  );
};

interface FlowFiltersProps {
  readonly search: URLSearchParams;
  readonly onSet: (name: string, value: string) => void;
  readonly list: FlowList | undefined;
}

const filterFields = [
  { name: 'address', label: 'Address', width: 190 },
  { name: 'port', label: 'Port', width: 76 },
  { name: 'mapping', label: 'Mapping', width: 150 },
] as const;

const FlowFilters = ({ search, onSet, list }: FlowFiltersProps) => {
  const now = useNow();
  return (
    <div className="toolbar">
      {filterFields.map(({ name, label, width }) => (
        <input
          key={name}
          className="input mono"
          style={{ width }}
          aria-label={label}
          placeholder={name}
          spellCheck={false}
          {...(name === 'address' ? { 'data-filter': true } : {})}
          value={search.get(name) ?? ''}
          onChange={(event) => onSet(name, event.target.value)}
          data-testid={`flow-${name}`}
        />
      ))}
      <select
        className="input"
        style={{ width: 116 }}
        aria-label="Verdict"
        value={search.get('verdict') ?? ''}
        onChange={(event) => onSet('verdict', event.target.value)}
        data-testid="flow-verdict"
      >
        <option value="">any verdict</option>
        <option value="allowed">allowed</option>
        <option value="denied">denied</option>
      </select>
      <select
        className="input"
        style={{ width: 92 }}
        aria-label="Seen within"
        value={search.get('window') ?? '300'}
        onChange={(event) => onSet('window', event.target.value)}
        data-testid="flow-window"
      >
        {windows.map(({ seconds, title }) => (
          <option key={seconds} value={seconds}>
            {title}
          </option>
        ))}
      </select>
      <span className="aside line">
        {list === undefined ? (
          <RefreshCw size={14} aria-hidden="true" />
        ) : (
          <span className="cut">
            {list.truncated ? `${formatCount(list.flows.length)} of ${formatCount(list.matched)} flows` : countOf(list.matched, 'flow')}
          </span>
        )}
        {list === undefined ? null : <LiveState isLive={list.live} at={list.at} now={now} />}
      </span>
    </div>
  );
};

const stateWords: Readonly<Record<FlowRow['state'], string>> = { live: 'Allowed', ended: 'Ended', denied: 'Denied', cut: 'Cut' };

const FlowTable = ({ hostId, list, onClear }: { readonly hostId: string; readonly list: FlowList; readonly onClear: () => void }) => {
  const now = useNow();
  if (list.flows.length === 0) {
    return (
      <Blank
        title="No flow like that in this time"
        icon={<Waves size={28} aria-hidden="true" />}
        action={
          <Button variant="outlined" onClick={onClear}>
            Clear the filters
          </Button>
        }
      >
        The host lists what it has seen; look further back or take a filter away.
      </Blank>
    );
  }
  return (
    <>
      {list.recordsLost > 0 ? (
        <p
          className="warn"
          style={{ padding: '6px 14px' }}
        >{`${countOf(list.recordsLost, 'flow record')} were lost: this list is not complete.`}</p>
      ) : null}
      <VirtualGrid
        label="Flows"
        layout="flow-grid"
        testId="flows-table"
        columns={[
          { id: 'state', title: 'Verdict' },
          { id: 'source', title: 'From' },
          { id: 'destination', title: 'To' },
          { id: 'mapping', title: 'Because of' },
          { id: 'packets', title: 'Packets', isRight: true },
          { id: 'bytes', title: 'Bytes', isRight: true },
          { id: 'seen', title: 'Seen', isRight: true },
          { id: 'trace', title: <span className="unseen">Trace</span> },
        ]}
        count={list.flows.length}
        keyOf={(index) => flowKey(list.flows[index], index)}
        cells={(index) => {
          const flow = list.flows[index];
          return flow === undefined ? [] : flowCells(hostId, flow, now);
        }}
      />
    </>
  );
};

const flowKey = (flow: FlowRow | undefined, index: number): string =>
  flow === undefined
    ? String(index)
    : [
        flow.interface,
        flow.protocol,
        flow.source,
        flow.sourcePort,
        flow.destination,
        flow.destinationPort,
        flow.state,
        flow.firstSeen,
      ].join(' ');

const flowCells = (hostId: string, flow: FlowRow, now: number): readonly React.ReactNode[] => [
  <VerdictLabel key="state" isAllowed={flow.allowed} word={stateWords[flow.state]} />,
  <Endpoint key="source" address={flow.source} port={flow.sourcePort} services={flow.sourceServices} />,
  <Endpoint
    key="destination"
    address={flow.destination}
    port={flow.destinationPort}
    services={flow.destinationServices}
    protocol={flow.protocol}
  />,
  flow.mapping === null ? (
    <span key="mapping" className="dim" title={flow.reason}>
      {flow.reason === 'FLOW' || flow.reason.startsWith('DEFAULT') ? 'default action' : flow.reason}
    </span>
  ) : (
    <Link key="mapping" className="mono" to={mappingLink(hostId, flow.mapping)}>
      {flow.mapping}
    </Link>
  ),
  <span key="packets" className="mono">
    {formatScaled(flow.packets)}
  </span>,
  <span key="bytes" className="mono">
    {formatBytes(flow.bytes)}
  </span>,
  <span key="seen" className={now - flow.lastSeen < 3_000 ? '' : 'dim'}>
    {now - flow.lastSeen < 3_000 ? 'now' : `${formatAge(now - flow.lastSeen)} ago`}
  </span>,
  <Link key="trace" to={traceFlowLink(hostId, flow)} aria-label={`Trace ${flow.source} to ${flow.destination}`} title="Trace this packet">
    <Crosshair size={15} aria-hidden="true" />
  </Link>,
];

interface EndpointProps {
  readonly address: string;
  readonly port: number;
  readonly services: readonly string[];
  readonly protocol?: string;
}

const Endpoint = ({ address, port, services, protocol }: EndpointProps) => (
  <span title={services.length === 0 ? 'in no service' : services.join(', ')}>
    <span className="mono">{endpointText(address, port)}</span>
    <span className="dim">
      {protocol === undefined ? '' : ` ${protocol}`}
      {services[0] === undefined ? '' : ` ${services[0]}`}
    </span>
  </span>
);
