/** Flows of one host: one filter, who sends most, and every flow with the way it took. */
import { RefreshCw } from 'lucide-react';
import { useEffect, useState } from 'react';
import { useSearchParams } from 'react-router';
import { flowTermOf, parseFlowQuery, withFlowTerm } from '../../bridge/flow-grammar.ts';
import type { FlowNames } from '../../bridge/flow-grammar.ts';
import type { FlowList } from '../../bridge/model.ts';
import { useHostCountersQuery, useHostFlowsQuery, useHostQuery } from '../client/bridge-api.ts';
import { failureOf } from '../client/query-failure.ts';
import { useNow } from '../client/shell.tsx';
import { countOf, formatCount } from '../client/units.ts';
import { Outcome } from './blank.tsx';
import { FlowFilterField } from './flow-filter-field.tsx';
import { FlowTable } from './flow-table.tsx';
import { LiveState } from './host-state.tsx';
import { TopTalkers } from './top-talkers.tsx';

interface FlowExplorerProps {
  readonly hostId: string;
}

/** How often the list is asked for again, milliseconds. */
const pollMs = 2_000;
const limit = 500;
const windowSecondsUsual = 300;
/** Typing is over after this time, milliseconds. */
const typedAfterMs = 350;

const windows = [
  { value: '1m', title: '1 min' },
  { value: '', title: '5 min' },
  { value: '15m', title: '15 min' },
  { value: '1h', title: '1 h' },
] as const;

/** The filter in the address: what was typed is taken over once it can be read. */
const useFilterText = () => {
  const [search, setSearch] = useSearchParams();
  const taken = search.get('q') ?? '';
  const [typed, setTyped] = useState({ text: taken, taken });
  // A link or the back button brought another filter: it replaces what stands in the field.
  if (typed.taken !== taken) setTyped({ text: taken, taken });
  const { text } = typed;
  const take = (next: string): void => {
    setTyped({ text: next, taken: next });
    setSearch(
      (previous) => {
        if (next === '') previous.delete('q');
        else previous.set('q', next);
        return previous;
      },
      { replace: true },
    );
  };
  useEffect(() => {
    if (text === taken || parseFlowQuery(text).problems.length > 0) return undefined;
    const timer = setTimeout(() => take(text), typedAfterMs);
    return () => clearTimeout(timer);
  });
  return { text, taken, take, type: (next: string): void => setTyped({ text: next, taken }) };
};

/** Names of the host for suggestions; asked once. */
const useFlowNames = (hostId: string): FlowNames => {
  const { data: counters } = useHostCountersQuery({ hostId });
  const { data: detail } = useHostQuery({ hostId });
  return {
    mappings: counters?.mappings.map(({ mapping }) => mapping).filter((name) => name !== '') ?? [],
    interfaces: detail?.sample?.interfaces.map(({ name }) => name) ?? [],
  };
};

export const FlowExplorer = ({ hostId }: FlowExplorerProps) => {
  const filter = useFilterText();
  const names = useFlowNames(hostId);
  const { query } = parseFlowQuery(filter.taken);
  const input = { hostId, windowSeconds: windowSecondsUsual, ...query };
  const { data, currentData, error, isFetching, refetch } = useHostFlowsQuery(
    { ...input, limit },
    { pollingInterval: pollMs, skipPollingIfUnfocused: true },
  );
  const list = currentData ?? (isFetching ? data : undefined);
  const set = (key: string, value: string | null): void => filter.take(withFlowTerm(filter.taken, key, value));
  return (
    <section className="card fill" aria-label="Flows" style={{ minHeight: 420 }}>
      <div className="toolbar">
        <FlowFilterField text={filter.text} names={names} onText={filter.type} onTake={filter.take} />
        <FilterSelects text={filter.taken} onSet={set} />
        <ListState list={list} />
      </div>
      <TopTalkers input={input} onTerm={set} />
      <Outcome value={list} failure={failureOf(error)} label="Loading flows" onRetry={() => void refetch()}>
        {(flows) => <FlowTable hostId={hostId} list={flows} onClear={() => filter.take('')} />}
      </Outcome>
    </section>
  );
};

interface FilterSelectsProps {
  readonly text: string;
  readonly onSet: (key: string, value: string | null) => void;
}

/** The two terms that are changed most often, without typing; they write into the filter. */
const FilterSelects = ({ text, onSet }: FilterSelectsProps) => {
  const last = flowTermOf(text, 'last');
  return (
    <>
      <select
        className="input"
        style={{ width: 112 }}
        aria-label="Verdict"
        value={flowTermOf(text, 'verdict')}
        onChange={(event) => onSet('verdict', event.target.value === '' ? null : event.target.value)}
        data-testid="flow-verdict"
      >
        <option value="">any verdict</option>
        <option value="allowed">allowed</option>
        <option value="denied">denied</option>
      </select>
      <select
        className="input"
        style={{ width: 88 }}
        aria-label="Seen within"
        value={last === '5m' ? '' : last}
        onChange={(event) => onSet('last', event.target.value === '' ? null : event.target.value)}
        data-testid="flow-window"
      >
        {windows.some(({ value }) => value === last || last === '5m') ? null : <option value={last}>{last}</option>}
        {windows.map(({ value, title }) => (
          <option key={value} value={value}>
            {title}
          </option>
        ))}
      </select>
    </>
  );
};

const ListState = ({ list }: { readonly list: FlowList | undefined }) => {
  const now = useNow();
  return (
    <span className="aside line">
      {list === undefined ? (
        <RefreshCw size={14} aria-hidden="true" />
      ) : (
        <>
          <span className="cut">
            {list.truncated ? `${formatCount(list.flows.length)} of ${formatCount(list.matched)} flows` : countOf(list.matched, 'flow')}
          </span>
          <LiveState isLive={list.live} at={list.at} now={now} />
        </>
      )}
    </span>
  );
};
