import { CircleCheck } from 'lucide-react';
import type { PolicyProblem, TableStats } from '../../../bridge/model.ts';
import { countOf, formatBytes, formatCount } from '../../client/units.ts';
import { FailureView } from '../../widgets/blank.tsx';
import { Card } from '../../widgets/card.tsx';
import type { CheckedPolicy } from './policy-editor-state.ts';

interface ProblemsCardProps {
  readonly checked: CheckedPolicy;
  /** Leads to the field of a problem. */
  readonly onShow: (path: string) => void;
}

export const ProblemsCard = ({ checked, onShow }: ProblemsCardProps) => {
  const { check, isStale, failure } = checked;
  const problems = check?.problems ?? [];
  const errors = problems.filter(({ severity }) => severity === 'error').length;
  return (
    <Card
      title={errors > 0 ? `Problems (${String(errors)})` : problems.length > 0 ? `Warnings (${String(problems.length)})` : 'Checked'}
      aside={isStale ? 'checking…' : undefined}
      testId="problems"
    >
      {failure === null ? null : <FailureView failure={failure} />}
      {/* Told at most once a check, which is itself paced. */}
      <div className="unseen" aria-live="polite">
        {check === null || isStale ? '' : errors > 0 ? `${String(errors)} problems` : 'No problems'}
      </div>
      {problems.length === 0 ? null : (
        <div className="problem-list">
          {problems.map((problem) => (
            <ProblemLine key={`${problem.path} ${problem.code} ${problem.message}`} problem={problem} onShow={onShow} />
          ))}
        </div>
      )}
      {check?.valid === true ? <TablesLine tables={check.tables} hasWarnings={problems.length > 0} /> : null}
    </Card>
  );
};

const ProblemLine = ({ problem, onShow }: { readonly problem: PolicyProblem; readonly onShow: (path: string) => void }) => (
  <button
    type="button"
    className="problem"
    aria-label={`${problem.path === '' ? 'document' : problem.path}: ${problem.message}`}
    onClick={() => onShow(problem.path)}
    data-testid="problem"
  >
    <span className={problem.severity === 'error' ? 'crit' : 'warn'}>
      <span className={problem.severity === 'error' ? 'dot square' : 'dot triangle'} aria-hidden="true" />
    </span>
    <span className="grow">
      <span className="mono sky">{problem.path === '' ? 'document' : problem.path}</span>
      <span style={{ display: 'block' }}>{problem.message}</span>
    </span>
  </button>
);

const TablesLine = ({ tables, hasWarnings }: { readonly tables: TableStats | null; readonly hasWarnings: boolean }) => (
  <div className="line" style={{ paddingTop: hasWarnings ? 8 : 0 }}>
    <CircleCheck className="ok" size={16} aria-hidden="true" />
    <span>
      The policy compiles
      {tables === null ? (
        '.'
      ) : (
        <span className="dim">{` to ${countOf(tables.pairs, 'pair')} over ${formatCount(tables.identities)} prefixes, ${formatBytes(tables.imageBytes)}.`}</span>
      )}
    </span>
  </div>
);
