import { CircleCheck } from 'lucide-react';
import type { FleetPlan } from '../../../bridge/model.ts';
import { countOf, formatCount } from '../../client/units.ts';
import { Card } from '../../widgets/card.tsx';

interface Warning {
  readonly title: string;
  readonly text: string;
  readonly severity: 'warning' | 'error';
}

/** Everything that speaks against applying, the gravest first; the same problem on several hosts once. */
export const warningsOf = (plan: FleetPlan): readonly Warning[] => {
  const warnings = new Map<string, Warning>();
  const add = (warning: Warning): void => void warnings.set(`${warning.title} ${warning.text}`, warning);
  for (const host of plan.hosts) {
    if (host.managementReachable === false)
      add({
        severity: 'error',
        title: `${host.hostName} would lose its management connection`,
        text: 'The console could not confirm: the host would take the change back by itself.',
      });
    if (host.problem !== null) add({ severity: 'error', title: `${host.hostName} cannot be planned`, text: host.problem.message });
    else if (!host.canApply)
      add({ severity: 'error', title: `${host.hostName} cannot apply`, text: host.cannotApplyReason ?? 'It gave no reason.' });
  }
  if (plan.cut > 0)
    add({
      severity: 'warning',
      title: `Cuts ${countOf(plan.cut, 'flow')}`,
      text: `${plan.cutLive === 0 ? 'None of them is' : `${formatCount(plan.cutLive)} of them ${plan.cutLive === 1 ? 'is' : 'are'}`} under way now, the others have ended and would be cut when they come again. Narrow the mapping if one of them is wanted.`,
    });
  for (const { problems } of plan.hosts)
    for (const { path, message, severity } of problems) add({ severity, title: path === '' ? 'The whole policy' : path, text: message });
  return [...warnings.values()].sort((left, right) => Number(left.severity === 'warning') - Number(right.severity === 'warning'));
};

export const WarningsCard = ({ plan }: { readonly plan: FleetPlan }) => {
  const warnings = warningsOf(plan);
  return (
    <Card
      title="Warnings"
      aside={warnings.length === 0 ? undefined : <span className="chip warn">{warnings.length}</span>}
      testId="warnings"
    >
      {warnings.length === 0 ? (
        <p className="line">
          <CircleCheck size={16} className="ok" aria-hidden="true" /> Nothing speaks against it.
        </p>
      ) : (
        warnings.map((warning) => (
          <div key={`${warning.title} ${warning.text}`} className="warning">
            <span className={warning.severity === 'error' ? 'crit' : 'warn'}>
              <span className={warning.severity === 'error' ? 'dot square' : 'dot triangle'} aria-hidden="true" />
            </span>
            <div>
              <h3>{warning.title}</h3>
              <p>{warning.text}</p>
            </div>
          </div>
        ))
      )}
    </Card>
  );
};
