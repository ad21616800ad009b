/** Packets a second by verdict, five minutes: the one live chart of the host page. Loaded only there. */
import { Area, AreaChart, CartesianGrid, Tooltip, XAxis, YAxis } from 'recharts';
import type { HostSample } from '../../bridge/model.ts';
import { useWidth } from '../client/size.ts';
import { timeTicks } from '../client/time-ticks.ts';
import { formatScaled, formatTime } from '../client/units.ts';

interface VerdictChartProps {
  readonly history: HostSample['history'];
}

const heightPixels = 232;

export const VerdictChart = ({ history }: VerdictChartProps) => {
  const [frame, width] = useWidth();
  const ticks = timeTicks(history[0]?.at ?? 0, history.at(-1)?.at ?? 0);
  return (
    <div className="chart" ref={frame} role="img" aria-label={chartText(history)} style={{ height: heightPixels }}>
      {width > 0 ? (
        <AreaChart
          width={width}
          height={heightPixels}
          data={history}
          margin={{ top: 8, right: 12, bottom: 0, left: 4 }}
          accessibilityLayer={false}
        >
          <CartesianGrid vertical={false} stroke="var(--line)" />
          <XAxis
            dataKey="at"
            type="number"
            domain={['dataMin', 'dataMax']}
            ticks={[...ticks.at]}
            tickFormatter={(at: number) => formatTime(at).slice(0, ticks.hasSeconds ? 8 : 5)}
            minTickGap={24}
            stroke="var(--dim)"
            tickLine={false}
            axisLine={false}
            fontSize={11}
          />
          <YAxis
            tickFormatter={(rate: number) => formatScaled(rate)}
            width={52}
            stroke="var(--dim)"
            tickLine={false}
            axisLine={false}
            fontSize={11}
          />
          <Tooltip
            isAnimationActive={false}
            formatter={(rate) => [`${formatScaled(Number(rate))} packets/s`]}
            labelFormatter={(at) => formatTime(Number(at))}
            contentStyle={{ background: 'var(--sunken)', border: '1px solid var(--outline)', borderRadius: 8, color: 'var(--text)' }}
            cursor={{ stroke: 'var(--outline)' }}
          />
          <Area
            dataKey="allowed"
            name="allowed"
            type="monotone"
            stroke="var(--sky)"
            strokeWidth={1.8}
            fill="var(--sky)"
            fillOpacity={0.12}
            dot={false}
            isAnimationActive={false}
          />
          <Area
            dataKey="denied"
            name="denied"
            type="monotone"
            stroke="var(--crit)"
            strokeWidth={1.8}
            strokeDasharray="6 3"
            fill="var(--crit)"
            fillOpacity={0.12}
            dot={false}
            isAnimationActive={false}
          />
        </AreaChart>
      ) : null}
    </div>
  );
};

const chartText = (history: HostSample['history']): string => {
  const last = history.at(-1);
  return last === undefined
    ? 'No rates yet'
    : `Packets per second, now ${formatScaled(last.allowed)} allowed and ${formatScaled(last.denied)} denied`;
};
