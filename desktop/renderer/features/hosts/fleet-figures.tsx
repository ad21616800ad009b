/** Five key figures of the fleet; pressing one filters the table. */
import type { ReactNode } from 'react';
import { useFleet } from '../../client/shell.tsx';
import { formatCount, formatScaled, formatShare } from '../../client/units.ts';
import { Sparkline } from '../../widgets/sparkline.tsx';

interface FleetFiguresProps {
  readonly filterText: string;
  readonly onFilterText: (text: string) => void;
}

export const FleetFigures = ({ filterText, onFilterText }: FleetFiguresProps) => {
  const fleet = useFleet();
  const { totals } = fleet;
  const state = (name: string, count: number) => ({
    value: formatCount(count),
    label: name,
    isOn: filterText === `state:${name}`,
    onPress: () => onFilterText(filterText === `state:${name}` ? '' : `state:${name}`),
  });
  const degraded = fleet.rows.find((host) => host.state === 'degraded');
  return (
    <div className="kpis">
      <Figure
        {...state('healthy', totals.healthy)}
        note={
          totals.hosts === 0 ? null : (
            <span className={totals.healthy === totals.hosts ? 'ok' : 'dim'}>
              {formatShare(totals.healthy / totals.hosts)} of the fleet
            </span>
          )
        }
      />
      <Figure
        {...state('degraded', totals.degraded)}
        note={
          degraded === undefined ? <span className="dim">none</span> : <span className="crit">{degraded.stateReason ?? degraded.name}</span>
        }
      />
      <Figure
        {...state('offline', totals.offline)}
        note={<span className="off">{totals.offline === 0 ? 'none' : 'last state shown with its age'}</span>}
      />
      <Figure
        value={formatScaled(totals.packetsPerSecond)}
        label="packets / s"
        note={
          totals.packetsPerSecond === null ? (
            <span className="dim">not known: no host answers</span>
          ) : fleet.history.length > 1 ? (
            <Sparkline points={fleet.history} width={190} height={24} label="Packets per second of the fleet" />
          ) : (
            <span className="dim">measuring</span>
          )
        }
      />
      <Figure
        value={formatScaled(totals.dropsPerSecond)}
        label="drops / s"
        isOn={filterText === 'drops>0'}
        onPress={() => onFilterText(filterText === 'drops>0' ? '' : 'drops>0')}
        note={
          totals.worst === null ? (
            <span className="dim">{totals.dropsPerSecond === null ? 'not known: no host answers' : 'nothing dropped now'}</span>
          ) : (
            <span className="crit">most on {totals.worst.name}</span>
          )
        }
      />
    </div>
  );
};

interface FigureProps {
  readonly value: string;
  readonly label: string;
  readonly note: ReactNode;
  readonly isOn?: boolean;
  readonly onPress?: () => void;
}

const Figure = ({ value, label, note, isOn, onPress }: FigureProps) => {
  const body = (
    <>
      <div className="value">{value}</div>
      <div className="label">{label}</div>
      <div className="note">{note}</div>
    </>
  );
  return onPress === undefined ? (
    <div className="card kpi">{body}</div>
  ) : (
    <button
      type="button"
      className="card kpi"
      aria-pressed={isOn}
      onClick={onPress}
      data-testid={`figure-${label.replaceAll(/[^a-z]/g, '')}`}
    >
      {body}
    </button>
  );
};
