/** The fleet: key figures, then every host in one table. */
import Button from '@mui/material/Button';
import { Plus, Search, ServerCog } from 'lucide-react';
import { Suspense, lazy, useMemo, useState } from 'react';
import { useNavigate, useSearchParams } from 'react-router';
import type { HostRow } from '../../../bridge/model.ts';
import { useEnrollmentsQuery } from '../../client/bridge-api.ts';
import { readHostSearch, useHostSearch } from '../../client/host-search.ts';
import type { HostSearchProblem } from '../../client/host-search.ts';
import { groupLink } from '../../client/links.ts';
import { useFleet, useNow, useShell } from '../../client/shell.tsx';
import { useConsoleDispatch, useConsoleSelector } from '../../client/store.ts';
import { countOf, formatCount } from '../../client/units.ts';
import { hostsSelected } from '../../client/window-slice.ts';
import { Blank, Bones, FailureView } from '../../widgets/blank.tsx';
import { LiveState } from '../../widgets/host-state.tsx';
import { Page } from '../../widgets/page.tsx';
import type { GridSort } from '../../widgets/virtual-grid.tsx';
import { FleetFigures } from './fleet-figures.tsx';
import { orderHosts } from './host-order.ts';
import { HostsTable } from './hosts-table.tsx';

const AddHostDialog = lazy(async () => ({ default: (await import('./add-host-dialog.tsx')).AddHostDialog }));
const EditHostDialog = lazy(async () => ({ default: (await import('./edit-host-dialog.tsx')).EditHostDialog }));
const LabelHostsDialog = lazy(async () => ({ default: (await import('./label-hosts-dialog.tsx')).LabelHostsDialog }));

/** A frame older than this is not "live" any more, milliseconds. */
const freshMs = 5_000;

export const HostsPage = () => {
  const fleet = useFleet();
  const now = useNow();
  const [search, setSearch] = useSearchParams();
  const filterText = search.get('filter') ?? '';
  const setParameter = (name: string, value: string | null): void =>
    setSearch(
      (previous) => {
        if (value === null || value === '') previous.delete(name);
        else previous.set(name, value);
        return previous;
      },
      { replace: true },
    );
  const setFilterText = (text: string): void => setParameter('filter', text);
  const [edited, setEdited] = useState<HostRow | null>(null);
  const [isLabelling, setLabelling] = useState(false);
  const add = (isOpen: boolean): void => setParameter('add', isOpen ? '1' : null);
  const hasLiveHost = fleet.totals.hosts > fleet.totals.offline;
  // Frames go on without hosts: what they show is as old as the last answer of a host.
  const lastSeen = fleet.rows.reduce<number | null>(
    (latest, { seenAt }) => (seenAt !== null && seenAt > (latest ?? 0) ? seenAt : latest),
    null,
  );
  const measuredAt = hasLiveHost ? fleet.at : lastSeen;
  const isLive = fleet.at !== null && fleet.failure === null && now - fleet.at < freshMs && (hasLiveHost || fleet.totals.hosts === 0);
  const addButton = (
    <Button variant="contained" startIcon={<Plus size={16} />} onClick={() => add(true)} data-testid="add-host">
      Add host
    </Button>
  );
  return (
    <Page
      title="Hosts"
      about={fleet.at === null ? undefined : countOf(fleet.totals.hosts, 'host')}
      search={<FilterInput text={filterText} onText={setFilterText} />}
      actions={
        <>
          <LiveState isLive={isLive} at={measuredAt} now={now} />
          {addButton}
        </>
      }
    >
      <FleetBody
        filterText={filterText}
        onFilterText={setFilterText}
        onEdit={setEdited}
        onLabel={() => setLabelling(true)}
        addButton={addButton}
        now={now}
      />
      <Suspense fallback={null}>
        {search.has('add') ? <AddHostDialog onClose={() => add(false)} /> : null}
        {edited === null ? null : <EditHostDialog host={edited} onClose={() => setEdited(null)} />}
        {isLabelling ? <LabelHostsDialog onClose={() => setLabelling(false)} /> : null}
      </Suspense>
    </Page>
  );
};

const FilterInput = ({ text, onText }: { readonly text: string; readonly onText: (text: string) => void }) => {
  const { search } = useShell();
  const isInvalid = readHostSearch(text).problem !== null;
  return (
    <div className="search" data-invalid={isInvalid}>
      <Search size={16} aria-hidden="true" />
      <input
        data-filter
        aria-label="Filter hosts"
        aria-invalid={isInvalid}
        placeholder="site:ams1 state:degraded drops>0"
        value={text}
        onChange={(event) => onText(event.target.value)}
        spellCheck={false}
        data-testid="host-filter"
      />
      <button type="button" className="kbd" onClick={search} aria-label="Search everything, Control K" data-testid="open-palette">
        Ctrl K
      </button>
    </div>
  );
};

interface FleetBodyProps {
  readonly filterText: string;
  readonly onFilterText: (text: string) => void;
  readonly onEdit: (host: HostRow) => void;
  readonly onLabel: () => void;
  readonly addButton: React.ReactNode;
  readonly now: number;
}

const FleetBody = ({ filterText, onFilterText, onEdit, onLabel, addButton, now }: FleetBodyProps) => {
  const fleet = useFleet();
  const version = fleet.version();
  const [sort, setSort] = useState<GridSort>({ column: 'state', isDescending: false });
  const { test, problem } = useHostSearch(filterText, fleet.at ?? now);
  // The version stands for the frame: the store itself never changes its identity.
  const order = useMemo(() => (version < 0 ? new Uint32Array() : orderHosts(fleet, test, sort)), [fleet, version, test, sort]);
  if (fleet.at === null)
    return fleet.failure === null ? <Bones label="Loading hosts" lines={8} /> : <FailureView failure={fleet.failure} />;
  if (fleet.rows.length === 0) {
    return (
      <div className="card fill">
        <Blank title="No hosts yet" icon={<ServerCog size={32} aria-hidden="true" />} action={addButton}>
          Add the first one: the console makes a one-time token, you type one command on the host, and compare a fingerprint.
        </Blank>
        <WaitingEnrollments />
      </div>
    );
  }
  return (
    <>
      <FleetFigures filterText={filterText} onFilterText={onFilterText} />
      <WaitingEnrollments />
      <section className="card fill" aria-label="Fleet">
        <FleetToolbar shown={order.length} filterText={filterText} problem={problem} sort={sort} onEdit={onEdit} onLabel={onLabel} />
        {order.length === 0 ? (
          <Blank
            title="No host matches the filter"
            action={
              <Button variant="outlined" onClick={() => onFilterText('')}>
                Clear the filter
              </Button>
            }
          />
        ) : (
          <HostsTable
            order={order}
            sort={sort}
            onSort={(column) =>
              setSort({ column, isDescending: sort.column === column ? !sort.isDescending : ['packets', 'drops', 'cpu'].includes(column) })
            }
            onFilterText={onFilterText}
            now={now}
          />
        )}
      </section>
    </>
  );
};

/** Hosts that are being added somewhere: the dialog can be closed and found again. */
const WaitingEnrollments = () => {
  const { data: enrollments = [] } = useEnrollmentsQuery({}, { pollingInterval: 5_000, skipPollingIfUnfocused: true });
  const [, setSearch] = useSearchParams();
  const waiting = enrollments.filter(({ state }) => state === 'waiting' || state === 'fingerprint' || state === 'signing');
  return waiting.map((enrollment) => (
    <div key={enrollment.enrollmentId} className="callout warn" role="status">
      <ServerCog size={16} aria-hidden="true" />
      <span className="grow">
        <strong className="mono">{enrollment.name}</strong>{' '}
        {enrollment.state === 'fingerprint' ? 'has answered: compare its fingerprint.' : 'is awaited at '}
        {enrollment.state === 'fingerprint' ? null : <span className="mono">{enrollment.address}</span>}
      </span>
      <Button variant="outlined" size="small" onClick={() => setSearch({ add: enrollment.enrollmentId })}>
        Continue
      </Button>
    </div>
  ));
};

interface FleetToolbarProps {
  readonly shown: number;
  readonly filterText: string;
  readonly problem: HostSearchProblem | null;
  readonly sort: GridSort;
  readonly onEdit: (host: HostRow) => void;
  readonly onLabel: () => void;
}

const FleetToolbar = ({ shown, filterText, problem, sort, onEdit, onLabel }: FleetToolbarProps) => {
  const fleet = useFleet();
  const dispatch = useConsoleDispatch();
  const navigate = useNavigate();
  const selected = useConsoleSelector(({ window }) => window.selectedHosts);
  const [only] = selected.length === 1 ? selected : [];
  const host = only === undefined ? undefined : fleet.row(only);
  return (
    <div className="toolbar">
      {selected.length === 0 ? (
        <span className="dim">Select hosts to plan a policy for them</span>
      ) : (
        <span className="chip sky">{formatCount(selected.length)} selected</span>
      )}
      {selected.length === 0 ? null : (
        <>
          <Button variant="text" size="small" onClick={() => void navigate('/policy?hosts=selected')} data-testid="plan-selected">
            Plan policy
          </Button>
          <Button
            variant="text"
            size="small"
            disabled={host === undefined}
            onClick={() => host !== undefined && onEdit(host)}
            data-testid="edit-selected"
          >
            Edit host
          </Button>
          <Button variant="text" size="small" onClick={onLabel} data-testid="label-selected">
            Labels
          </Button>
          <Button variant="text" size="small" onClick={() => void navigate(groupLink({ isOfSelected: true }))} data-testid="group-selected">
            Group
          </Button>
          <Button variant="outlined" size="small" onClick={() => dispatch(hostsSelected([]))}>
            Clear
          </Button>
        </>
      )}
      {problem === null ? null : (
        <span className="warn" role="alert">
          {problem.part === '' ? null : <mark className="mono">{problem.part}</mark>} {problem.message}
        </span>
      )}
      {problem !== null || filterText.trim() === '' ? null : (
        <Button
          variant="text"
          size="small"
          onClick={() => void navigate(groupLink({ rule: filterText.trim() }))}
          data-testid="group-filter"
        >
          Save as a group
        </Button>
      )}
      <span className="aside">
        {shown === fleet.rows.length ? '' : `${formatCount(shown)} of ${formatCount(fleet.rows.length)} · `}sorted by {sort.column}
      </span>
    </div>
  );
};
