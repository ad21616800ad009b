/** A line of at most 300 points without axes. Its ground is below the smallest point by a part of the largest, so that a steady rate looks calm. */
import { memo } from 'react';
import { formatScaled } from '../client/units.ts';

interface SparklineProps {
  readonly points: readonly number[];
  readonly width: number;
  readonly height: number;
  /** What is drawn, for instance "packets per second". */
  readonly label: string;
  readonly tone?: 'sky' | 'crit' | 'warn' | 'off';
}

/** Two points a pixel are enough: longer histories are thinned by their largest value, which keeps spikes. */
export const thin = (points: readonly number[], countMax: number): readonly number[] => {
  if (points.length <= countMax) return points;
  const size = points.length / countMax;
  return Array.from({ length: countMax }, (_, index) =>
    Math.max(...points.slice(Math.floor(index * size), Math.max(Math.floor(index * size) + 1, Math.floor((index + 1) * size)))),
  );
};

/** Room under the smallest point, as a share of the largest. */
const roomShare = 0.12;

/** The path of a line through the points; empty for fewer than two. */
export const linePath = (points: readonly number[], width: number, height: number): string => {
  if (points.length < 2) return '';
  const top = Math.max(...points, Number.MIN_VALUE);
  const ground = Math.max(0, Math.min(...points) - top * roomShare);
  const step = width / (points.length - 1);
  return points
    .map(
      (point, index) =>
        `${index === 0 ? 'M' : 'L'}${(index * step).toFixed(1)} ${(height - 1 - ((Math.max(ground, point) - ground) / (top - ground)) * (height - 3)).toFixed(1)}`,
    )
    .join('');
};

export const Sparkline = memo(({ points, width, height, label, tone = 'sky' }: SparklineProps) => {
  const shown = thin(points, width);
  const path = linePath(shown, width, height);
  if (path === '') return <span className="off">–</span>;
  const text = `${label}, ${formatScaled(Math.min(...points))} to ${formatScaled(Math.max(...points))}`;
  return (
    <svg
      className={`spark ${tone}`}
      width={width}
      height={height}
      viewBox={`0 0 ${String(width)} ${String(height)}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={text}
    >
      <path className="area" d={`${path}L${String(width)} ${String(height)}L0 ${String(height)}Z`} />
      <path className="stroke" d={path} />
    </svg>
  );
});
Sparkline.displayName = 'Sparkline';
