/** What must be seen on every page: the console is not reachable, or a change waits for its confirmation. */
import { Siren, TimerReset, Unplug } from 'lucide-react';
import { useEffect, useRef } from 'react';
import { Link, useLocation } from 'react-router';
import type { HostRow } from '../../bridge/model.ts';
import { useCurrentRolloutQuery } from '../client/bridge-api.ts';
import type { Failure } from '../client/failure.ts';
import { hostLink } from '../client/links.ts';
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

/** Somebody works with a key from the safe. Everybody sees it, and nobody can close it. */
export const BreakGlassBanner = () => {
  const fleet = useFleet();
  const now = useNow();
  const uses = fleet.rows.flatMap(({ name, hostId, breakGlass = [] }) => breakGlass.map((use) => ({ ...use, name, hostId })));
  const living = uses.filter(({ until }) => until > now);
  const [first] = living.toSorted((left, right) => right.until - left.until);
  if (first === undefined) return null;
  const hosts = new Set(living.map(({ hostId }) => hostId)).size;
  return (
    <div className="banner alarm" role="alert" data-testid="break-glass-banner">
      <Siren size={16} aria-hidden="true" />
      <strong>Break-glass on {hosts === 1 ? first.name : countOf(hosts, 'host')}.</strong>
      <span className="grow">
        {first.operator} may do everything for another {formatCountdown(first.until - now)}: {first.reason}
      </span>
      <Link to={hostLink(first.hostId)}>Look</Link>
    </div>
  );
};

export const RolloutBanner = () => {
  const { data: rollout, refetch } = useCurrentRolloutQuery({}, { pollingInterval: rolloutPollMs, skipPollingIfUnfocused: true });
  const fleet = useFleet();
  const { pathname } = useLocation();
  const now = useNow();
  // The fleet's frames tell within a second which hosts wait; the rollout itself is asked for as soon as that changes.
  const waiting = fleet.rows.filter(({ pendingUntil }) => pendingUntil !== null);
  const waitingIds = waiting.map(({ hostId }) => hostId).join(' ');
  const seenIds = useRef(waitingIds);
  useEffect(() => {
    if (seenIds.current === waitingIds) return;
    seenIds.current = waitingIds;
    void refetch();
  }, [waitingIds, refetch]);
  if (rollout === null || rollout === undefined || rollout.state !== 'pending' || rollout.rollbackAt === null)
    return <ForeignBanner waiting={rollout?.state === 'applying' ? [] : waiting} now={now} />;
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

/** A change that another console or the host itself began: it is seen here, but kept or undone where it was made. */
const ForeignBanner = ({ waiting, now }: { readonly waiting: readonly HostRow[]; readonly now: number }) => {
  const [first] = waiting.toSorted((left, right) => (left.pendingUntil ?? 0) - (right.pendingUntil ?? 0));
  if (first === undefined || first.pendingUntil === null || first.pendingUntil <= now) return null;
  return (
    <div className="banner alarm" role="status" data-testid="rollout-banner">
      <TimerReset size={16} aria-hidden="true" />
      <strong>A change waits on {countOf(waiting.length, 'host')}.</strong>
      <span className="grow">It is taken back in {formatCountdown(first.pendingUntil - now)} unless it is kept.</span>
      <Link to={hostLink(first.hostId, 'policy')}>Look at {first.name}</Link>
    </div>
  );
};
