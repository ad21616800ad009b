/** What must be seen on every page: the console is not reachable, or a change waits for its confirmation. */
import { TimerReset, Unplug } from 'lucide-react';
import { Link, useLocation } from 'react-router';
import { useCurrentRolloutQuery } from '../client/bridge-api.ts';
import type { Failure } from '../client/failure.ts';
import { useBridgeStatus, useFleet, useNow } from '../client/shell.tsx';
import { countOf, formatAge, formatCountdown } from '../client/units.ts';

/** The rollout another window or the command line started is found within this time, milliseconds. */
const rolloutPollMs = 5_000;

/** Shown while the bridge is away, or when the core does not tell its state any more. */
export const LostBanner = ({ failure }: { readonly failure: Failure | null }) => {
  const fleet = useFleet();
  const now = useNow();
  const status = useBridgeStatus();
  if (status === 'open' && failure === null) return null;
  const age = fleet.at === null ? '' : `What you see is ${formatAge(now - fleet.at)} old. `;
  return (
    <div className="banner alarm" role="alert" data-testid="lost-banner">
      <Unplug size={16} aria-hidden="true" />
      <strong>The console does not answer.</strong>
      <span className="grow cut">
        {age}
        {status === 'closed' ? 'Start it again, then open the link it prints.' : 'Trying again by itself.'} Hosts keep enforcing.
      </span>
      <span className="mono">{failure?.code ?? 'NOT_CONNECTED'}</span>
    </div>
  );
};

export const RolloutBanner = () => {
  const { data: rollout } = useCurrentRolloutQuery({}, { pollingInterval: rolloutPollMs, skipPollingIfUnfocused: true });
  const { pathname } = useLocation();
  const now = useNow();
  if (rollout === null || rollout === undefined || rollout.state !== 'pending' || rollout.rollbackAt === null) return null;
  if (pathname === `/rollout/${rollout.rolloutId}`) return null;
  const pending = rollout.hosts.filter((host) => host.state === 'pending').length;
  return (
    <div className="banner alarm" role="status" data-testid="rollout-banner">
      <TimerReset size={16} aria-hidden="true" />
      <strong>A change waits on {countOf(pending, 'host')}.</strong>
      <span className="grow">It is taken back in {formatCountdown(rollout.rollbackAt - now)} unless you keep it.</span>
      <Link to={`/rollout/${rollout.rolloutId}`}>Keep or undo</Link>
    </div>
  );
};
