import type { FleetPlan, TableStats } from '../../../bridge/model.ts';
import { countOf, formatBytes, formatCount, formatSpan } from '../../client/units.ts';
import { Card } from '../../widgets/card.tsx';
import { SelectField } from '../../widgets/field.tsx';

/** Seconds the operator may choose; the second is the default. */
export const confirmChoices = [15, 60, 120, 300, 900] as const;

interface SafetyCardProps {
  readonly plan: FleetPlan;
  /** Seconds. */
  readonly confirmWithin: number;
  readonly onConfirmWithin: (seconds: number) => void;
}

/** What happens when things go wrong. */
export const SafetyCard = ({ plan, confirmWithin, onConfirmWithin }: SafetyCardProps) => {
  const tables = plan.hosts.find((host) => host.tables !== null)?.tables ?? null;
  return (
    <Card title="Safety" testId="safety">
      <div className="stack">
        <SelectField
          label="Taken back by itself unless kept within"
          value={String(confirmWithin)}
          options={confirmChoices.map((seconds) => ({ value: String(seconds), title: formatSpan(seconds) }))}
          onValue={(text) => onConfirmWithin(Number(text))}
          testId="confirm-within"
        />
        <dl className="facts">
          <dt>Takes back</dt>
          <dd>
            each host by itself after <strong>{confirmWithin} s</strong> without your confirmation, also when this console is gone
          </dd>
          <dt>Management</dt>
          <dd>
            <Reachability plan={plan} />
          </dd>
          <dt>Swap</dt>
          <dd>atomic: every packet is judged by the old policy or the new one</dd>
          {tables === null ? null : <Tables tables={tables} />}
        </dl>
      </div>
    </Card>
  );
};

const Reachability = ({ plan }: { readonly plan: FleetPlan }) => {
  const reachable = plan.hosts.filter((host) => host.managementReachable === true).length;
  const lost = plan.hosts.filter((host) => host.managementReachable === false);
  if (lost.length > 0) return <span className="crit">would be cut on {lost.map((host) => host.hostName).join(', ')}</span>;
  if (reachable === plan.hosts.length)
    return <span className="ok">reachable under the draft on {`${String(reachable)} of ${String(plan.hosts.length)}`}</span>;
  return <span className="warn">not known on {countOf(plan.hosts.length - reachable, 'host')}</span>;
};

const Tables = ({ tables }: { readonly tables: TableStats }) => (
  <>
    <dt>Tables</dt>
    <dd>
      {countOf(tables.pairs, 'pair')}, {formatCount(tables.identities)} prefixes, {formatBytes(tables.imageBytes)}
      <span className="dim"> compiled in {tables.compileMs.toFixed(tables.compileMs < 10 ? 1 : 0)} ms</span>
    </dd>
  </>
);
