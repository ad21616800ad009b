/** Flows in a table: verdict, both ends, where they were sent, why, how much. Every row leads to a trace. */
import Button from '@mui/material/Button';
import { Crosshair, Waves } from 'lucide-react';
import { useMemo, useState } from 'react';
import { Link } from 'react-router';
import { reasonWord } from '../../bridge/flow-grammar.ts';
import type { FlowList, FlowRow } from '../../bridge/model.ts';
import { endpointText, hasPorts, mappingLink, traceFlowLink } from '../client/links.ts';
import { useNow } from '../client/shell.tsx';
import { countOf, formatAge, formatBytes, formatScaled } from '../client/units.ts';
import { Blank } from './blank.tsx';
import { FlowStateLabel } from './host-state.tsx';
import { VirtualGrid } from './virtual-grid.tsx';
import type { GridColumn, GridSort } from './virtual-grid.tsx';

interface FlowTableProps {
  readonly hostId: string;
  readonly list: FlowList;
  readonly onClear: () => void;
}

/** Seen within this time is "now", milliseconds. */
const presentMs = 3_000;

const columns: readonly GridColumn[] = [
  { id: 'state', title: 'Verdict', canSort: true },
  { id: 'source', title: 'From', canSort: true },
  { id: 'destination', title: 'To', canSort: true },
  { id: 'mapping', title: 'Because of', canSort: true },
  { id: 'packets', title: 'Packets', isRight: true, canSort: true },
  { id: 'bytes', title: 'Bytes', isRight: true, canSort: true },
  { id: 'seen', title: 'Seen', isRight: true, canSort: true },
  { id: 'trace', title: <span className="unseen">Trace</span> },
];
const backendColumn: GridColumn = { id: 'backend', title: 'Sent to', canSort: true };

const sortKeys: Readonly<Record<string, (flow: FlowRow) => string | number>> = {
  state: ({ state }) => state,
  source: ({ source }) => source,
  destination: ({ destination }) => destination,
  backend: ({ translation }) => translation?.destination ?? '',
  mapping: ({ mapping }) => mapping ?? '',
  packets: ({ packets }) => packets,
  bytes: ({ bytes }) => bytes,
  seen: ({ lastSeen }) => lastSeen,
};

/** Columns whose largest comes first. */
const largestFirst: ReadonlySet<string> = new Set(['packets', 'bytes', 'seen']);

/** Flows in the order of a column; equal ones keep the order of the host. */
export const sortFlows = (flows: readonly FlowRow[], { column, isDescending }: GridSort): readonly FlowRow[] => {
  const keyOf = sortKeys[column];
  if (keyOf === undefined) return flows;
  const direction = isDescending ? -1 : 1;
  return flows.toSorted((left, right) => {
    const [a, b] = [keyOf(left), keyOf(right)];
    return (
      (typeof a === 'number' && typeof b === 'number' ? a - b : String(a) < String(b) ? -1 : String(a) > String(b) ? 1 : 0) * direction
    );
  });
};

export const FlowTable = ({ hostId, list, onClear }: FlowTableProps) => {
  const now = useNow();
  const [sort, setSort] = useState<GridSort>({ column: 'seen', isDescending: true });
  const flows = useMemo(() => sortFlows(list.flows, sort), [list.flows, sort]);
  if (flows.length === 0) return <NoFlow onClear={onClear} />;
  const isTranslated = flows.some(({ translation }) => translation !== null);
  return (
    <>
      {list.recordsLost > 0 ? (
        <p className="warn" style={{ padding: '6px 14px' }}>
          {`${countOf(list.recordsLost, 'flow record')} were lost: this list is not complete.`}
        </p>
      ) : null}
      <VirtualGrid
        label="Flows"
        layout={isTranslated ? 'flow-grid translated' : 'flow-grid'}
        testId="flows-table"
        columns={isTranslated ? [...columns.slice(0, 3), backendColumn, ...columns.slice(3)] : columns}
        count={flows.length}
        keyOf={(index) => flowKey(flows[index], index)}
        sort={sort}
        onSort={(column) => setSort({ column, isDescending: sort.column === column ? !sort.isDescending : largestFirst.has(column) })}
        cells={(index) => {
          const flow = flows[index];
          return flow === undefined ? [] : flowCells({ hostId, flow, now, isLive: list.live, isTranslated });
        }}
      />
    </>
  );
};

const NoFlow = ({ onClear }: { readonly onClear: () => void }) => (
  <Blank
    title="No flow like that in this time"
    icon={<Waves size={28} aria-hidden="true" />}
    action={
      <Button variant="outlined" onClick={onClear}>
        Clear the filter
      </Button>
    }
  >
    The host lists what it has seen; look further back or take a term away.
  </Blank>
);

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

interface FlowCellsOptions {
  readonly hostId: string;
  readonly flow: FlowRow;
  readonly now: number;
  readonly isLive: boolean;
  readonly isTranslated: boolean;
}

const flowCells = ({ hostId, flow, now, isLive, isTranslated }: FlowCellsOptions): readonly React.ReactNode[] => {
  const isPresent = isLive && now - flow.lastSeen < presentMs;
  return [
    <FlowStateLabel key="state" flow={flow} />,
    <Endpoint key="source" address={flow.source} port={flow.sourcePort} protocol={flow.protocol} services={flow.sourceServices} />,
    <Endpoint
      key="destination"
      address={flow.destination}
      port={flow.destinationPort}
      protocol={flow.protocol}
      services={flow.destinationServices}
      isNamed
    />,
    ...(isTranslated ? [<SentTo key="backend" flow={flow} />] : []),
    <Because key="mapping" hostId={hostId} flow={flow} />,
    <span key="packets" className="mono">
      {formatScaled(flow.packets)}
    </span>,
    <span key="bytes" className="mono">
      {formatBytes(flow.bytes)}
    </span>,
    <span key="seen" className={isPresent ? '' : 'dim'}>
      {isPresent ? 'now' : `${formatAge(now - flow.lastSeen)} ago`}
    </span>,
    <Link key="trace" to={traceFlowLink(hostId, flow)} aria-label={`Trace ${flow.source} to ${flow.destination}`} title="Trace this packet">
      <Crosshair size={15} aria-hidden="true" />
    </Link>,
  ];
};

const Because = ({ hostId, flow }: { readonly hostId: string; readonly flow: FlowRow }) => {
  if (flow.mapping !== null)
    return (
      <Link className="mono" to={mappingLink(hostId, flow.mapping)} title={reasonWord(flow.reason)}>
        {flow.mapping}
      </Link>
    );
  const isDefault = flow.reason === 'FLOW' || flow.reason.startsWith('DEFAULT');
  return (
    <span className="dim" title={reasonWord(flow.reason)}>
      {isDefault ? 'default action' : reasonWord(flow.reason).replaceAll('-', ' ')}
    </span>
  );
};

interface EndpointProps {
  readonly address: string;
  readonly port: number;
  readonly protocol: string;
  readonly services: readonly string[];
  /** With the protocol behind it. */
  readonly isNamed?: boolean;
}

/** ICMP has an identifier where others have ports: it is said in words, never as a port. */
const Endpoint = ({ address, port, protocol, services, isNamed = false }: EndpointProps) => {
  const inService = services.length === 0 ? 'in no service' : services.join(', ');
  const title = `${endpointText(address, port, protocol)}, ${inService}${hasPorts(protocol) || port === 0 ? '' : `, ICMP identifier ${String(port)}`}`;
  return (
    <span title={title}>
      <span className="mono">{endpointText(address, port, protocol)}</span>
      <span className="dim">
        {isNamed ? ` ${protocol}` : ''}
        {services[0] === undefined ? '' : ` ${services[0]}`}
      </span>
    </span>
  );
};

/** Where a translated flow goes on to, and from which address when that changed, too. */
const SentTo = ({ flow }: { readonly flow: FlowRow }) => {
  const { translation, protocol } = flow;
  if (translation === null) return <span className="off">–</span>;
  const { source, sourcePort, destination, destinationPort, backend } = translation;
  const to = endpointText(destination, destinationPort, protocol);
  const isSourceChanged = source !== flow.source || sourcePort !== flow.sourcePort;
  const from = isSourceChanged ? ` from ${endpointText(source, sourcePort, protocol)}` : '';
  return (
    <span title={`${flow.source} > ${flow.destination} > ${to}${from}`} data-testid="sent-to">
      {backend === null ? null : <strong className="mono">{backend} </strong>}
      <span className={backend === null ? 'mono' : 'mono dim'}>{to}</span>
      <span className="dim">{from}</span>
    </span>
  );
};
