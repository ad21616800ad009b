/** A bar in a table cell with its figure: how much of something is used. The figure says it; the colour only adds to it. */
import { formatShare } from '../client/units.ts';

interface UseBarProps {
  readonly label: string;
  /** 0..1 and more; null = not measured. */
  readonly share: number | null;
  /** What is used, for instance "12.4 k packets/s". */
  readonly text: string;
  /** A share of a whole is no warning when it is large. */
  readonly isNeutral?: boolean;
}

const nearShare = 0.8;

export const UseBar = ({ label, share, text, isNeutral = false }: UseBarProps) => {
  const tone = isNeutral || share === null || share < nearShare ? 'sky' : share < 1 ? 'warn' : 'crit';
  return (
    <div className="use">
      <div className={`bar ${tone}`} role="img" aria-label={`${label}: ${formatShare(share)}`}>
        <i style={{ width: `${String(Math.min(1, Math.max(0, share ?? 0)) * 100)}%` }} />
      </div>
      <span className="mono">{formatShare(share)}</span>
      <span className="dim">{text}</span>
    </div>
  );
};
