import { describe, expect, it } from 'vitest';
import { linePlot } from './plot.ts';

const plot = {
  title: 'Cost <of> a packet',
  caption: 'AMD & friends',
  xLabel: 'flows',
  yLabel: 'ns',
  series: [
    {
      name: 'ours',
      points: [
        { x: 100, y: 40 },
        { x: 1, y: 20 },
        { x: 10, y: 30 },
      ],
    },
    { name: 'theirs', points: [{ x: 1, y: 10 }] },
  ],
};
const circles = (svg: string): number[][] =>
  [...svg.matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)"/g)].map(([, x, y]) => [Number(x), Number(y)]);

describe('a plot', () => {
  it('goes from left to right by the logarithm, and up from zero', () => {
    const [one, ten, hundred] = circles(linePlot(plot));
    const [left = 0, low = 0] = one ?? [];
    const [middle = 0, between = 0] = ten ?? [];
    const [right = 0, high = 0] = hundred ?? [];
    expect(middle - left).toBeCloseTo(right - middle, 0);
    expect(low - between).toBeCloseTo(between - high, 0);
    expect(high).toBeLessThan(low);
  });

  it('names its series and escapes what it is told', () => {
    const svg = linePlot(plot);
    expect(svg).toContain('>ours</text>');
    expect(svg).toContain('>theirs</text>');
    expect(svg).toContain('<title>Cost &lt;of&gt; a packet</title>');
    expect(svg).toContain('AMD &amp; friends');
  });

  it('of one point alone has no missing numbers', () => {
    expect(linePlot({ ...plot, series: [{ name: 'one', points: [{ x: 5, y: 5 }] }] })).not.toMatch(/NaN|Infinity/);
  });
});
