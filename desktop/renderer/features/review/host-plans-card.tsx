import type { FleetPlan, HostPlan } from '../../../bridge/model.ts';
import { formatCount } from '../../client/units.ts';
import { Card } from '../../widgets/card.tsx';
import { VerdictLabel } from '../../widgets/host-state.tsx';

interface HostPlansCardProps {
  readonly plan: FleetPlan;
  readonly hostId: string;
  /** Chooses whose difference is shown. */
  readonly onHost: (hostId: string) => void;
}

/** One row a host: what it would lose, what it would let in, whether it can. */
export const HostPlansCard = ({ plan, hostId, onHost }: HostPlansCardProps) => (
  <Card title="By host" isFlush testId="host-plans">
    <div className="table-scroll" style={{ maxHeight: 260 }}>
      <table className="table">
        <thead>
          <tr>
            <th scope="col">Host</th>
            <th scope="col">Base</th>
            <th scope="col" className="right">
              Flows
            </th>
            <th scope="col" className="right">
              Cut
            </th>
            <th scope="col" className="right">
              Newly allowed
            </th>
            <th scope="col">Can apply</th>
          </tr>
        </thead>
        <tbody>
          {plan.hosts.map((host) => (
            <HostPlanRow key={host.hostId} host={host} isShown={host.hostId === hostId} onShow={() => onHost(host.hostId)} />
          ))}
        </tbody>
      </table>
    </div>
  </Card>
);

const HostPlanRow = ({ host, isShown, onShow }: { readonly host: HostPlan; readonly isShown: boolean; readonly onShow: () => void }) => {
  const reason = host.problem?.message ?? host.cannotApplyReason;
  return (
    <tr className={isShown ? 'row selected' : 'row'}>
      <td>
        <button type="button" className="link-button mono" aria-pressed={isShown} onClick={onShow}>
          {host.hostName}
        </button>
      </td>
      <td className="mono">{host.baseRevision === null ? '–' : `rev ${String(host.baseRevision)}`}</td>
      <td className="mono right">{formatCount(host.impact?.replayed)}</td>
      <td className={(host.impact?.cut ?? 0) > 0 ? 'mono right crit' : 'mono right'}>{formatCount(host.impact?.cut)}</td>
      <td className={(host.impact?.newlyAllowed ?? 0) > 0 ? 'mono right ok' : 'mono right'}>{formatCount(host.impact?.newlyAllowed)}</td>
      <td className="wrap">
        {host.canApply && host.problem === null ? (
          <VerdictLabel isAllowed word="Yes" />
        ) : (
          <span className="crit">
            {host.problem === null ? '' : `${host.problem.code}: `}
            {reason ?? 'No'}
          </span>
        )}
      </td>
    </tr>
  );
};
