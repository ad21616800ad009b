import Button from '@mui/material/Button';
import type { BackendRow, BalancerList } from '../../../bridge/model.ts';
import { endpointText } from '../../client/links.ts';
import { growthOf, ratePerSecond, secondsOf } from '../../client/readings.ts';
import { useNow } from '../../client/shell.tsx';
import { formatAge, formatBytes, formatCount, formatScaled, formatShare } from '../../client/units.ts';
import { UseBar } from '../../widgets/use-bar.tsx';
import type { BackendWish } from './backend-dialog.tsx';
import type { Balancer } from './balancer-words.ts';

interface BackendTableProps {
  readonly balancer: Balancer;
  readonly isLive: boolean;
  readonly readings: readonly BalancerList[];
  readonly onWanted: (backend: BackendRow, change: BackendWish) => void;
}

const headings = ['Backend', 'State', 'Health', 'Weight', 'New flows'] as const;
const figures = ['Traffic', 'Live flows'] as const;

export const BackendTable = ({ balancer, isLive, readings, onWanted }: BackendTableProps) => {
  const find = (list: BalancerList, name: string): BackendRow | undefined =>
    list.balancers.find(({ mapping }) => mapping === balancer.mapping)?.backends.find((backend) => backend.name === name);
  const begun = balancer.backends.map(({ name }) => growthOf(readings, (list) => find(list, name)?.flows));
  const total = begun.reduce<number>((sum, flows) => sum + (flows ?? 0), 0);
  const weights = balancer.backends.reduce((sum, backend) => sum + weightOf(backend), 0);
  return (
    // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- it scrolls in a narrow window, so it must be reachable by keyboard
    <div className="table-scroll" tabIndex={0} role="region" aria-label={`Backends of ${balancer.mapping}`}>
      <table className="table roomy">
        <thead>
          <tr>
            {headings.map((title) => (
              <th key={title} scope="col">
                {title === 'New flows' && readings.length > 1 ? `New flows, ${String(Math.round(secondsOf(readings)))} s` : title}
              </th>
            ))}
            {figures.map((title) => (
              <th key={title} scope="col" className="right">
                {title}
              </th>
            ))}
            <th scope="col">
              <span className="unseen">Change</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {balancer.backends.map((backend, index) => (
            <BackendLine
              key={backend.name}
              backend={backend}
              shareWanted={weights === 0 ? null : weightOf(backend) / weights}
              begun={begun[index] ?? null}
              shareLive={total === 0 ? null : (begun[index] ?? 0) / total}
              packets={ratePerSecond(readings, (list) => find(list, backend.name)?.packets)}
              bytes={ratePerSecond(readings, (list) => find(list, backend.name)?.bytes)}
              isLive={isLive}
              onWanted={(change) => onWanted(backend, change)}
            />
          ))}
        </tbody>
      </table>
    </div>
  );
};

/** Only what is up gets new flows. */
const weightOf = ({ weight, effective }: BackendRow): number => (effective === 'up' ? weight : 0);

interface BackendLineProps {
  readonly backend: BackendRow;
  readonly shareWanted: number | null;
  readonly shareLive: number | null;
  readonly begun: number | null;
  readonly packets: number | null;
  readonly bytes: number | null;
  readonly isLive: boolean;
  readonly onWanted: (change: BackendWish) => void;
}

const BackendLine = ({ backend, shareWanted, shareLive, begun, packets, bytes, isLive, onWanted }: BackendLineProps) => (
  <tr className="row" data-testid={`backend-${backend.name}`}>
    <td>
      <div className="mono strong">{backend.name}</div>
      <div className="mono dim">{endpointText(backend.address, backend.port ?? 0)}</div>
    </td>
    <td>
      <StateWord backend={backend} />
    </td>
    <td className="wrap">
      <HealthWord backend={backend} />
    </td>
    <td>
      <div className="mono">{backend.weight}</div>
      <div className="dim">{formatShare(shareWanted)} wanted</div>
    </td>
    <td>
      <UseBar label={`New flows of ${backend.name}`} share={shareLive} text={begun === null ? '' : formatCount(begun)} isNeutral />
    </td>
    <td className="mono right">
      <div>{packets === null ? '–' : `${formatScaled(packets)}/s`}</div>
      <div className="dim">{bytes === null ? '–' : `${formatBytes(bytes)}/s`}</div>
    </td>
    <td className="mono right">{formatCount(backend.liveFlows)}</td>
    <td className="right">
      <BackendActions backend={backend} isLive={isLive} onWanted={onWanted} />
    </td>
  </tr>
);

const states: Readonly<Record<BackendRow['effective'], { readonly tone: string; readonly shape: string; readonly word: string }>> = {
  up: { tone: 'ok', shape: 'dot', word: 'Up' },
  drain: { tone: 'warn', shape: 'dot triangle', word: 'Draining' },
  down: { tone: 'crit', shape: 'dot square', word: 'Down' },
};

/** What it is, and what the policy wants when that differs. */
const StateWord = ({ backend }: { readonly backend: BackendRow }) => {
  const { tone, shape, word } = states[backend.effective];
  return (
    <>
      <span className={`state ${tone}`}>
        <span className={shape} aria-hidden="true" />
        {word}
      </span>
      {backend.wanted === backend.effective ? null : <div className="dim">wanted {backend.wanted}</div>}
    </>
  );
};

const HealthWord = ({ backend }: { readonly backend: BackendRow }) => {
  const now = useNow();
  const { health, healthDetail, healthSince } = backend;
  if (health === 'unknown') return <span className="off">{healthDetail === '' ? 'not checked' : healthDetail}</span>;
  return (
    <>
      <div className={health === 'up' ? '' : 'crit'}>
        {healthDetail === '' ? (health === 'up' ? 'answers' : 'does not answer') : healthDetail}
      </div>
      {healthSince === null ? null : (
        <div className="dim">
          {health} for {formatAge(now - healthSince)}
        </div>
      )}
    </>
  );
};

interface BackendActionsProps {
  readonly backend: BackendRow;
  readonly isLive: boolean;
  readonly onWanted: (change: BackendWish) => void;
}

/** The next step at hand, and everything else behind one button. */
const BackendActions = ({ backend, isLive, onWanted }: BackendActionsProps) => {
  const isUp = backend.wanted === 'up';
  return (
    <span className="line actions">
      <Button
        variant="outlined"
        size="small"
        disabled={!isLive}
        aria-label={isUp ? `Drain ${backend.name}` : `Bring ${backend.name} up`}
        onClick={() => onWanted({ state: isUp ? 'drain' : 'up' })}
      >
        {isUp ? 'Drain…' : 'Up…'}
      </Button>
      <Button variant="outlined" size="small" disabled={!isLive} aria-label={`Change ${backend.name}`} onClick={() => onWanted({})}>
        Change…
      </Button>
    </span>
  );
};
