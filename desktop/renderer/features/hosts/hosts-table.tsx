import { memo } from 'react';
import { Link } from 'react-router';
import { hostLabelTerm } from '../../../bridge/host-label.ts';
import type { HostRow } from '../../../bridge/model.ts';
import { flowsLink, hostLink } from '../../client/links.ts';
import { useFleet } from '../../client/shell.tsx';
import { useConsoleDispatch, useConsoleSelector } from '../../client/store.ts';
import { formatAge, formatGeneration, formatScaled, formatShare } from '../../client/units.ts';
import { hostsSelected } from '../../client/window-slice.ts';
import { HostStateLabel } from '../../widgets/host-state.tsx';
import { Sparkline } from '../../widgets/sparkline.tsx';
import { VirtualGrid } from '../../widgets/virtual-grid.tsx';
import type { GridColumn, GridSort } from '../../widgets/virtual-grid.tsx';

interface HostsTableProps {
  /** Row numbers of the telemetry store. */
  readonly order: Uint32Array;
  readonly sort: GridSort;
  readonly onSort: (column: string) => void;
  readonly onFilterText: (text: string) => void;
  readonly now: number;
}

const sparkPixels = { width: 96, height: 22 } as const;

/** The fleet, one row a host. */
export const HostsTable = ({ order, sort, onSort, onFilterText, now }: HostsTableProps) => {
  const fleet = useFleet();
  const dispatch = useConsoleDispatch();
  const selected = useConsoleSelector(({ window }) => window.selectedHosts);
  const chosen = new Set(selected);
  const hostAt = (index: number): HostRow | undefined => fleet.rows[order[index] ?? -1];
  const shownIds = (): readonly string[] => Array.from(order, (row) => fleet.rows[row]?.hostId ?? '');
  const isAllChosen = order.length > 0 && order.every((row) => chosen.has(fleet.rows[row]?.hostId ?? ''));
  const toggle = (hostId: string): void => {
    dispatch(hostsSelected(chosen.has(hostId) ? selected.filter((id) => id !== hostId) : [...selected, hostId]));
  };
  const columns: readonly GridColumn[] = [
    {
      id: 'select',
      title: (
        <input
          type="checkbox"
          aria-label="Select all hosts shown"
          checked={isAllChosen}
          onChange={() => dispatch(hostsSelected(isAllChosen ? [] : shownIds()))}
          data-testid="select-all"
        />
      ),
    },
    { id: 'name', title: 'Host', canSort: true },
    { id: 'state', title: 'State', canSort: true },
    { id: 'labels', title: 'Labels' },
    { id: 'engine', title: 'Engine', canSort: true },
    { id: 'packets', title: 'Packets/s', isRight: true, canSort: true },
    { id: 'history', title: '5 min' },
    { id: 'drops', title: 'Drops/s', isRight: true, canSort: true },
    { id: 'cpu', title: 'CPU', isRight: true, canSort: true },
    { id: 'policy', title: 'Policy', canSort: true },
    { id: 'agent', title: 'Agent', canSort: true },
  ];
  return (
    <VirtualGrid
      label="Hosts"
      layout="hosts-grid"
      columns={columns}
      count={order.length}
      keyOf={(index) => hostAt(index)?.hostId ?? String(index)}
      isSelected={(index) => chosen.has(hostAt(index)?.hostId ?? '')}
      sort={sort}
      onSort={onSort}
      testId="hosts-table"
      cells={(index) => {
        const host = hostAt(index);
        return host === undefined ? [] : hostCells({ host, now, isChosen: chosen.has(host.hostId), onToggle: toggle, onFilterText });
      }}
    />
  );
};

interface HostCellOptions {
  readonly host: HostRow;
  readonly now: number;
  readonly isChosen: boolean;
  readonly onToggle: (hostId: string) => void;
  readonly onFilterText: (text: string) => void;
}

/** Drops are an alarm from this share of the packets on; below it they are the policy at work. */
const alarmShare = 0.01;

const isDropping = ({ state, dropsPerSecond, packetsPerSecond }: HostRow): boolean =>
  state !== 'offline' &&
  dropsPerSecond !== null &&
  dropsPerSecond > 0 &&
  dropsPerSecond >= ((packetsPerSecond ?? 0) + dropsPerSecond) * alarmShare;

const hostCells = ({ host, now, isChosen, onToggle, onFilterText }: HostCellOptions): readonly React.ReactNode[] => {
  const isOffline = host.state === 'offline';
  const old = isOffline ? 'mono off' : 'mono';
  return [
    <input key="select" type="checkbox" aria-label={`Select ${host.name}`} checked={isChosen} onChange={() => onToggle(host.hostId)} />,
    <Link key="name" className="mono" to={hostLink(host.hostId)} title={host.address}>
      {host.name}
    </Link>,
    <span key="state" title={host.stateReason ?? undefined}>
      <HostStateLabel host={host} now={now} />
    </span>,
    <Labels key="labels" labels={host.labels} onFilterText={onFilterText} />,
    <span key="engine" className={isOffline ? 'off' : ''}>
      {host.engine ?? <span className="off">none</span>}
    </span>,
    <span
      key="packets"
      className={old}
      title={isOffline && host.seenAt !== null ? `measured ${formatAge(now - host.seenAt)} ago` : undefined}
    >
      {formatScaled(host.packetsPerSecond)}
      {isOffline && host.seenAt !== null && host.packetsPerSecond !== null ? (
        <span className="measured"> · {formatAge(now - host.seenAt)} ago</span>
      ) : null}
    </span>,
    <Sparkline
      key="history"
      points={host.history}
      {...sparkPixels}
      label={`Packets per second of ${host.name}`}
      tone={isOffline ? 'off' : 'sky'}
    />,
    isDropping(host) ? (
      <Link key="drops" className="mono crit" to={flowsLink(host.hostId, { verdict: 'denied' })} title="Denied flows">
        {formatScaled(host.dropsPerSecond)}
      </Link>
    ) : (
      <span key="drops" className={old}>
        {formatScaled(host.dropsPerSecond)}
      </span>
    ),
    <span key="cpu" className={old}>
      {formatShare(host.cpuBusy)}
    </span>,
    <PolicyCell key="policy" host={host} />,
    <span key="agent" className="mono" title={host.agentVersion ?? undefined}>
      {host.agentVersion ?? '–'}
    </span>,
  ];
};

const PolicyCell = ({ host }: { readonly host: HostRow }) => (
  <Link
    className={host.pendingUntil === null ? 'mono' : 'mono warn'}
    to={hostLink(host.hostId, 'policy')}
    title={
      host.generation === null || host.revision === 0
        ? undefined
        : `revision ${String(host.revision ?? '–')}, generation ${host.generation}`
    }
  >
    {host.pendingUntil === null ? '' : 'pending '}
    {host.revision === 0 ? <span className="off">none</span> : formatGeneration(host.generation).slice(0, 8)}
  </Link>
);

const Labels = memo(({ labels, onFilterText }: { readonly labels: readonly string[]; readonly onFilterText: (text: string) => void }) => (
  <span className="chips">
    {labels.map((label) => (
      <button key={label} type="button" className="chip" onClick={() => onFilterText(hostLabelTerm(label))} title={`Filter by ${label}`}>
        {label}
      </button>
    ))}
  </span>
));
Labels.displayName = 'Labels';
