/** Why the host is not healthy, in sentences, before any figure. */
import Button from '@mui/material/Button';
import { CircleCheck } from 'lucide-react';
import { Link } from 'react-router';
import type { HostDetail, HostSample } from '../../../bridge/model.ts';
import { flowsLink, hostLink } from '../../client/links.ts';
import { useNow } from '../../client/shell.tsx';
import { formatAge, formatCountdown } from '../../client/units.ts';
import { Card } from '../../widgets/card.tsx';

interface WhyCardProps {
  readonly detail: HostDetail;
  readonly sample: HostSample;
}

const titles = { healthy: 'Health', degraded: 'Why degraded', offline: 'Why offline', connecting: 'Why connecting' } as const;

export const WhyCard = ({ detail, sample }: WhyCardProps) => {
  const now = useNow();
  const { pending } = sample.policy;
  const { hostId } = detail.row;
  const isWell = sample.state === 'healthy' && sample.warnings.length === 0;
  return (
    <Card title={titles[sample.state]} testId="why">
      <div className="stack">
        {pending === null ? null : (
          <p className="warn strong">
            Revision {pending.revision} is taken back in {formatCountdown(pending.rollbackAt - now)} unless it is confirmed.
          </p>
        )}
        {isWell ? (
          <p className="line">
            <CircleCheck size={16} className="ok" aria-hidden="true" /> Nothing to do.
          </p>
        ) : null}
        {sample.stateReason === null || sample.warnings.some(({ message }) => message === sample.stateReason) ? null : (
          <p className={sample.state === 'offline' ? 'off' : 'crit strong'}>{sample.stateReason}</p>
        )}
        {sample.warnings.map((warning) => (
          <div key={warning.code}>
            <p className={warning.severity === 'critical' ? 'crit strong' : 'warn strong'}>{warning.title}</p>
            <p>{warning.message}</p>
            <p className="dim">since {formatAge(now - warning.since)}</p>
          </div>
        ))}
        {isWell ? null : (
          <div className="line wrap">
            <Button variant="text" size="small" component={Link} to={hostLink(hostId, 'policy')}>
              Open policy
            </Button>
            <Button variant="outlined" size="small" component={Link} to={flowsLink(hostId, { verdict: 'denied' })}>
              Show denied flows
            </Button>
          </div>
        )}
      </div>
    </Card>
  );
};
