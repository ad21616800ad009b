import Button from '@mui/material/Button';
import { useEffect } from 'react';
import { Link } from 'react-router';
import type { GroupPlan, GroupPlanHost, HostGroup } from '../../../bridge/group-model.ts';
import { useDraftQuery } from '../../client/bridge-api.ts';
import { usePlanGroupMutation } from '../../client/group-api.ts';
import { hostLink } from '../../client/links.ts';
import { failureOf } from '../../client/query-failure.ts';
import { countOf, formatCount } from '../../client/units.ts';
import { Blank, Bones, FailureView } from '../../widgets/blank.tsx';
import { Card } from '../../widgets/card.tsx';
import { DiffView } from '../../widgets/diff-view.tsx';

const outcomes: readonly { readonly outcome: GroupPlanHost['outcome']; readonly words: string; readonly tone: string }[] = [
  { outcome: 'changes', words: 'can take it and change', tone: 'ok' },
  { outcome: 'same', words: 'have it already', tone: 'dim' },
  { outcome: 'refused', words: 'refuse it', tone: 'crit' },
  { outcome: 'away', words: 'do not answer', tone: 'warn' },
];

/** Names told in a line, and hosts with a reason listed; of the others only the number. */
const namesShown = 6;
const reasonsShown = 50;

const namesText = (names: readonly string[]): string =>
  `${names.slice(0, namesShown).join(', ')}${names.length > namesShown ? ` and ${String(names.length - namesShown)} more` : ''}`;

/** What the draft of the policy page would do to every member of a group. Nothing is changed. */
export const GroupPlanCard = ({ group }: { readonly group: HostGroup }) => {
  const draft = useDraftQuery({});
  const [run, { data: plan, error, isLoading }] = usePlanGroupMutation();
  const policy = draft.data?.policy;
  useEffect(() => {
    if (policy === undefined) return undefined;
    const running = run({ name: group.name, policy });
    return () => running.abort();
  }, [run, group.name, policy]);
  const failure = failureOf(error) ?? failureOf(draft.error);
  const again = (): void => void (policy === undefined ? draft.refetch() : run({ name: group.name, policy }));
  return (
    <Card title={`Dry run on ${group.name}`} aside="nothing is changed" testId="group-plan">
      {draft.data === null ? (
        <Blank title="There is no draft to try">
          Begin one on the <Link to="/policy">policy page</Link>; what it would do to {countOf(group.hostIds.length, 'host')} is shown here.
        </Blank>
      ) : failure !== null ? (
        <FailureView failure={failure} onRetry={again} />
      ) : plan === undefined || isLoading ? (
        <Bones label={`Asking ${countOf(group.hostIds.length, 'host')}`} />
      ) : (
        <>
          <Summary plan={plan} />
          <Button variant="outlined" onClick={again} data-testid="plan-again">
            Ask again
          </Button>
        </>
      )}
    </Card>
  );
};

const Summary = ({ plan }: { readonly plan: GroupPlan }) => {
  const troubled = plan.hosts.filter(({ outcome }) => outcome === 'refused' || outcome === 'away');
  return (
    <div className="stack" data-testid="group-summary">
      <ul className="line wrap">
        {outcomes.map(({ outcome, words, tone }) =>
          plan.outcomes[outcome] === 0 ? null : (
            <li key={outcome} className={`chip ${tone}`}>
              {formatCount(plan.outcomes[outcome])} {words}
            </li>
          ),
        )}
      </ul>
      {plan.measured === 0 ? (
        <p>
          {plan.outcomes.same + plan.differences.length === 0
            ? 'Nothing was planned.'
            : 'No host could replay its flows: the effect on them is not known.'}
        </p>
      ) : (
        <p>
          Of {formatCount(plan.replayed)} flows {formatCount(plan.unchanged)} stay, {formatCount(plan.cut)} are cut (
          {formatCount(plan.cutLive)} live now), {formatCount(plan.newlyAllowed)} are newly allowed.
        </p>
      )}
      {plan.cutOff.length === 0 ? null : (
        <p className="crit" role="alert">
          It cuts this console off from {namesText(plan.cutOff)}; they would take it back by themselves.
        </p>
      )}
      {plan.problems.map(({ code, severity, path, message, hostNames }) => (
        <p key={`${code} ${path} ${message}`} className={severity === 'error' ? 'crit' : 'warn'}>
          {path === '' ? '' : `${path}: `}
          {message} <span className="dim">({namesText(hostNames)})</span>
        </p>
      ))}
      {troubled.length === 0 ? null : (
        <ul className="stack">
          {troubled.slice(0, reasonsShown).map(({ hostId, hostName, reason }) => (
            <li key={hostId}>
              <Link className="mono" to={hostLink(hostId)}>
                {hostName}
              </Link>{' '}
              {reason}
            </li>
          ))}
          {troubled.length > reasonsShown ? <li className="dim">and {formatCount(troubled.length - reasonsShown)} more</li> : null}
        </ul>
      )}
      {plan.differences.map(({ hostNames, diff }) => (
        <section key={hostNames[0]} aria-label={`Difference on ${String(hostNames.length)}`}>
          <h3>
            {countOf(hostNames.length, 'host')} <span className="dim">{namesText(hostNames)}</span>
          </h3>
          <DiffView lines={diff} />
        </section>
      ))}
      {plan.rest === 0 ? null : <p className="dim">And {countOf(plan.rest, 'more difference')}.</p>}
    </div>
  );
};
