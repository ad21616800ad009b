/** Deny lists of a host: of its policy, and those it keeps beside it; what they hit, when they end. */
import Button from '@mui/material/Button';
import { Plus, ShieldBan } from 'lucide-react';
import { useState } from 'react';
import { useSearchParams } from 'react-router';
import type { DenyListTable, HostSample } from '../../../bridge/model.ts';
import { useDenyListsQuery } from '../../client/bridge-api.ts';
import { failureOf } from '../../client/query-failure.ts';
import { ratePerSecond, useReadings } from '../../client/readings.ts';
import { useNow } from '../../client/shell.tsx';
import { formatBytes, formatCount, formatScaled } from '../../client/units.ts';
import { Blank, Outcome } from '../../widgets/blank.tsx';
import { Card } from '../../widgets/card.tsx';
import { LiveState } from '../../widgets/host-state.tsx';
import { DenyListAddDialog } from './deny-list-add-dialog.tsx';
import { DenyListCard } from './deny-list-card.tsx';
import { DenySearchCard } from './deny-search-card.tsx';
import { endText } from './deny-words.tsx';
import type { DenyList } from './deny-words.tsx';

interface DenyListsTabProps {
  readonly hostId: string;
  readonly sample: HostSample | null;
}

const pollMs = 2_000;

export const DenyListsTab = ({ hostId, sample }: DenyListsTabProps) => {
  const { currentData, error, refetch } = useDenyListsQuery({ hostId }, { pollingInterval: pollMs, skipPollingIfUnfocused: true });
  return (
    <Outcome value={currentData} failure={failureOf(error)} label="Loading the deny lists" onRetry={() => void refetch()}>
      {(table) => <DenyListsView hostId={hostId} table={table} sample={sample} />}
    </Outcome>
  );
};

const DenyListsView = ({ hostId, table, sample }: DenyListsTabProps & { readonly table: DenyListTable }) => {
  const now = useNow();
  const readings = useReadings(table);
  const [search, setSearch] = useSearchParams();
  const [isAdding, setAdding] = useState(false);
  const chosen = table.lists.find(({ name }) => name === search.get('list')) ?? table.lists[0];
  const choose = (name: string): void => setSearch({ list: name }, { replace: true });
  return (
    <div className="lists">
      <Card
        title="Deny lists"
        isFlush
        testId="deny-lists"
        aside={
          <>
            <LiveState isLive={table.live} at={table.at} now={now} />
            <Button
              variant="text"
              size="small"
              startIcon={<Plus size={14} />}
              disabled={!table.live}
              onClick={() => setAdding(true)}
              data-testid="deny-add"
            >
              Add prefixes
            </Button>
          </>
        }
      >
        {table.lists.length === 0 ? (
          <Blank title="No deny list" icon={<ShieldBan size={28} aria-hidden="true" />}>
            Packets from and to denied prefixes are dropped before any mapping is asked. Add prefixes for this host at once, or lists to the
            policy for many.
          </Blank>
        ) : (
          <ListTable table={table} readings={readings} chosen={chosen} onChoose={choose} />
        )}
      </Card>
      <div className="column">
        <DenySearchCard hostId={hostId} table={table} sample={sample} onChoose={choose} />
        {chosen === undefined ? null : (
          <DenyListCard
            key={`${chosen.origin} ${chosen.name}`}
            hostId={hostId}
            list={chosen}
            isLive={table.live}
            onAdd={() => setAdding(true)}
          />
        )}
      </div>
      {isAdding ? (
        <DenyListAddDialog
          hostId={hostId}
          lists={table.lists}
          into={chosen?.origin === 'host' ? chosen.name : ''}
          onDone={choose}
          onClose={() => setAdding(false)}
        />
      ) : null}
    </div>
  );
};

interface ListTableProps {
  readonly table: DenyListTable;
  readonly readings: readonly DenyListTable[];
  readonly chosen: DenyList | undefined;
  readonly onChoose: (name: string) => void;
}

const ListTable = ({ table, readings, chosen, onChoose }: ListTableProps) => (
  <div className="table-scroll">
    <table className="table roomy">
      <thead>
        <tr>
          <th scope="col">List</th>
          <th scope="col">Kept by</th>
          <th scope="col" className="right">
            Prefixes
          </th>
          <th scope="col" className="right">
            Hits/s
          </th>
          <th scope="col" className="right">
            Hits in all
          </th>
          <th scope="col">Ends</th>
        </tr>
      </thead>
      <tbody>
        {table.lists.map((list) => (
          <ListLine
            key={`${list.origin} ${list.name}`}
            list={list}
            isChosen={list === chosen}
            hitsPerSecond={ratePerSecond(readings, ({ lists }) => lists.find(({ name }) => name === list.name)?.hitPackets)}
            onChoose={() => onChoose(list.name)}
          />
        ))}
      </tbody>
    </table>
  </div>
);

interface ListLineProps {
  readonly list: DenyList;
  readonly isChosen: boolean;
  readonly hitsPerSecond: number | null;
  readonly onChoose: () => void;
}

const ListLine = ({ list, isChosen, hitsPerSecond, onChoose }: ListLineProps) => {
  const now = useNow();
  return (
    <>
      <tr className={isChosen ? 'row selected pressable' : 'row pressable'}>
        <td>
          <button
            type="button"
            className="link-button mono"
            aria-pressed={isChosen}
            onClick={onChoose}
            data-testid={`deny-list-${list.name}`}
          >
            {list.name}
          </button>
        </td>
        <td>
          {list.origin === 'policy' ? 'policy' : 'this host'}
          {list.file === null ? null : <div className="mono dim">{list.file}</div>}
        </td>
        <td className="mono right">{formatCount(list.prefixes)}</td>
        <td className={(hitsPerSecond ?? 0) > 0 ? 'mono right crit' : 'mono right'}>{formatScaled(hitsPerSecond)}</td>
        <td className="mono right">
          <div>{formatCount(list.hitPackets)}</div>
          <div className="dim">{formatBytes(list.hitBytes)}</div>
        </td>
        <td>{endText(list, now)}</td>
      </tr>
      {list.problem === null ? null : (
        <tr className="row note">
          <td colSpan={6} className="wrap warn">
            {list.problem}
          </td>
        </tr>
      )}
    </>
  );
};
