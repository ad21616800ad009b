/** Who sends most among the flows that match: sums by one property; a press narrows the filter to it. */
import { useState } from 'react';
import type { InputOf } from '../../bridge/contract.ts';
import { reasonWord } from '../../bridge/flow-grammar.ts';
import type { FlowSums } from '../../bridge/model.ts';
import { useFlowSumsQuery } from '../client/bridge-api.ts';
import { failureOf } from '../client/query-failure.ts';
import { countOf, formatBytes, formatCount } from '../client/units.ts';
import { Outcome } from './blank.tsx';
import { Choice } from './field.tsx';

type SumBy = InputOf<'host.flowSums'>['by'];

interface TopTalkersProps {
  readonly input: Omit<InputOf<'host.flowSums'>, 'by' | 'limit'>;
  /** Puts a term into the filter. */
  readonly onTerm: (key: string, value: string) => void;
}

const pollMs = 4_000;
const shown = 6;

const properties = [
  { value: 'source', title: 'Source' },
  { value: 'destination', title: 'Destination' },
  { value: 'mapping', title: 'Mapping' },
  { value: 'port', title: 'Port' },
  { value: 'reason', title: 'Reason' },
] as const satisfies readonly { value: SumBy; title: string }[];

/** The filter term for a key; null when the grammar has none for it. */
const termOf = (by: SumBy, key: string): readonly [string, string] | null => {
  switch (by) {
    case 'source':
      return ['src', key];
    case 'destination':
      return ['dst', key];
    case 'mapping':
      return key === '' ? null : ['mapping', key];
    case 'port': {
      const port = /\/(\d+)$/.exec(key)?.[1];
      return port === undefined ? ['proto', key] : ['port', port];
    }
    default:
      return ['reason', reasonWord(key)];
  }
};

export const TopTalkers = ({ input, onTerm }: TopTalkersProps) => {
  const [by, setBy] = useState<SumBy>('source');
  const { data, currentData, error, isFetching } = useFlowSumsQuery(
    { ...input, by, limit: shown },
    { pollingInterval: pollMs, skipPollingIfUnfocused: true },
  );
  const sums = currentData ?? (isFetching ? data : undefined);
  return (
    <div className="talkers" data-testid="top-talkers">
      <div className="talkers-head">
        <h2>Top talkers</h2>
        <Choice label="Summed by" isLabelHidden value={by} options={properties} onValue={setBy} testId="talkers-by" />
        <span className="dim cut">{sums === undefined ? '' : `${countOf(sums.flows, 'flow')}, ${formatBytes(sums.bytes)}`}</span>
      </div>
      <Outcome value={sums} failure={failureOf(error)} label="Summing flows">
        {(summed) => <Sums by={by} summed={summed} onTerm={onTerm} />}
      </Outcome>
    </div>
  );
};

interface SumsProps {
  readonly by: SumBy;
  readonly summed: FlowSums;
  readonly onTerm: (key: string, value: string) => void;
}

const Sums = ({ by, summed, onTerm }: SumsProps) => {
  const largest = summed.sums[0]?.bytes ?? 0;
  if (summed.sums.length === 0) return <p className="dim">No flow matches.</p>;
  return (
    <ol className="talkers-list">
      {summed.sums.slice(0, shown).map((sum) => {
        const term = termOf(by, sum.key);
        const name = sum.key === '' ? 'default action' : by === 'reason' ? reasonWord(sum.key) : sum.key;
        return (
          <li key={sum.key}>
            <div className="bar sky" aria-hidden="true">
              <i style={{ width: `${String(largest === 0 ? 0 : (sum.bytes / largest) * 100)}%` }} />
            </div>
            {term === null ? (
              <span className="dim cut">{name}</span>
            ) : (
              <button type="button" className="link-button mono cut" title="Only these" onClick={() => onTerm(...term)}>
                {name}
              </button>
            )}
            <span className="mono">{formatBytes(sum.bytes)}</span>
            <span className="dim">
              {countOf(sum.flows, 'flow')}
              {sum.deniedFlows === 0 ? '' : `, ${formatCount(sum.deniedFlows)} denied`}
            </span>
          </li>
        );
      })}
    </ol>
  );
};
