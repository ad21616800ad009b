import { formatShare } from '../client/units.ts';

interface MeterProps {
  readonly label: string;
  /** 0..1; null = not measured. */
  readonly share: number | null;
  /** For instance "1.2 GiB of 3.8 GiB". */
  readonly detail?: string;
}

/** Above these shares a bar is orange, then red. */
const nearShare = 0.7;
const fullShare = 0.9;

/** A labelled bar; the figure stands beside it, the colour only adds to it. */
export const Meter = ({ label, share, detail }: MeterProps) => {
  const tone = share === null || share < nearShare ? 'sky' : share < fullShare ? 'warn' : 'crit';
  return (
    <div className="meter">
      <div className="meter-head">
        <span className="cut">
          {label}
          {detail === undefined ? null : <span className="off"> {detail}</span>}
        </span>
        <span className="mono">{formatShare(share)}</span>
      </div>
      <div className={`bar ${tone}`} role="img" aria-label={`${label} ${formatShare(share)}`}>
        <i style={{ width: `${String(Math.min(1, Math.max(0, share ?? 0)) * 100)}%` }} />
      </div>
    </div>
  );
};
