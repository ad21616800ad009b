/** The state of a host: a colour, a shape and a word, and how old it is. */
import type { FlowRow, HostRow, HostState } from '../../bridge/model.ts';
import { formatAge } from '../client/units.ts';

const looks: Readonly<Record<HostState, { readonly tone: string; readonly shape: string; readonly word: string }>> = {
  healthy: { tone: 'ok', shape: 'dot', word: 'Healthy' },
  degraded: { tone: 'crit', shape: 'dot square', word: 'Degraded' },
  offline: { tone: 'off', shape: 'dot ring', word: 'Offline' },
  connecting: { tone: 'warn', shape: 'dot triangle', word: 'Connecting' },
};

interface HostStateLabelProps {
  readonly host: Pick<HostRow, 'state' | 'seenAt'>;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

export const HostStateLabel = ({ host, now }: HostStateLabelProps) => {
  const { tone, shape, word } = looks[host.state];
  const age = host.state === 'offline' && host.seenAt !== null ? ` ${formatAge(now - host.seenAt)}` : '';
  return (
    <span className={`state ${tone}`}>
      <span className={shape} aria-hidden="true" />
      {word}
      {age}
    </span>
  );
};

interface LiveStateProps {
  readonly isLive: boolean;
  /** When the numbers were measured; null when never. */
  readonly at: number | null;
  readonly now: number;
}

/** "Live", or how old what is shown is. */
export const LiveState = ({ isLive, at, now }: LiveStateProps) =>
  isLive ? (
    <span className="live-state ok" data-testid="live-state">
      <span className="dot" aria-hidden="true" />
      Live
    </span>
  ) : (
    <span className="live-state off" data-testid="live-state">
      <span className="dot ring" aria-hidden="true" />
      {at === null ? 'No data yet' : `${formatAge(now - at)} ago`}
    </span>
  );

interface VerdictLabelProps {
  readonly isAllowed: boolean;
  readonly word?: string;
}

export const VerdictLabel = ({ isAllowed, word }: VerdictLabelProps) => (
  <span className={isAllowed ? 'state ok' : 'state crit'}>
    <span className={isAllowed ? 'dot' : 'dot square'} aria-hidden="true" />
    {word ?? (isAllowed ? 'Allowed' : 'Denied')}
  </span>
);

const flowLooks: Readonly<Record<FlowRow['state'], { readonly tone: string; readonly shape: string; readonly word: string }>> = {
  live: { tone: 'ok', shape: 'dot', word: 'Allowed' },
  ended: { tone: 'off', shape: 'dot ring', word: 'Ended' },
  denied: { tone: 'crit', shape: 'dot square', word: 'Denied' },
  cut: { tone: 'warn', shape: 'dot triangle', word: 'Cut' },
};

/** What became of a flow. One that ended was allowed, but nothing of it passes now: it is not green. */
export const FlowStateLabel = ({ flow }: { readonly flow: Pick<FlowRow, 'state'> }) => {
  const { tone, shape, word } = flowLooks[flow.state];
  return (
    <span className={`state ${tone}`}>
      <span className={shape} aria-hidden="true" />
      {word}
    </span>
  );
};
