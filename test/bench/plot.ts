/** Line plots as SVG, for documents: logarithmic across, linear upwards from zero. No dependency, no script, readable on light and dark. */

export interface Series {
  readonly name: string;
  /** x above 0. */
  readonly points: readonly { readonly x: number; readonly y: number }[];
}

export interface LinePlot {
  readonly title: string;
  readonly caption: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly series: readonly Series[];
}

const width = 720;
const height = 380;
const margin = { top: 48, right: 140, bottom: 72, left: 64 } as const;
/** Told apart also by those who do not see colours: each has its own dashes. */
const strokes = [
  { colour: '#b7791f', dashes: '' },
  { colour: '#2b6cb0', dashes: '6 4' },
  { colour: '#2f855a', dashes: '2 3' },
  { colour: '#9b2c2c', dashes: '8 3 2 3' },
] as const;

/** The plot as an SVG document. */
export const linePlot = (plot: LinePlot): string => {
  const points = plot.series.flatMap((series) => series.points);
  const xs = [...new Set(points.map(({ x }) => x))].sort((a, b) => a - b);
  const top = niceTop(Math.max(...points.map(({ y }) => y)));
  const across = (x: number): number => {
    const [low = 1] = xs;
    const span = Math.log((xs.at(-1) ?? low) / low) || 1;
    return margin.left + (Math.log(x / low) / span) * (width - margin.left - margin.right);
  };
  const up = (y: number): number => height - margin.bottom - (y / top) * (height - margin.top - margin.bottom);
  const ticks = Array.from({ length: 6 }, (_, step) => (top / 5) * step);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="12" role="img">
<title>${escaped(plot.title)}</title>
<rect width="${width}" height="${height}" fill="#ffffff"/>
<text x="${margin.left}" y="24" font-size="15" fill="#1a202c">${escaped(plot.title)}</text>
${ticks.map((tick) => `<line x1="${margin.left}" x2="${width - margin.right}" y1="${n(up(tick))}" y2="${n(up(tick))}" stroke="#e2e8f0"/><text x="${margin.left - 8}" y="${n(up(tick) + 4)}" text-anchor="end" fill="#4a5568">${tickText(tick)}</text>`).join('\n')}
${xs.map((x) => `<text x="${n(across(x))}" y="${height - margin.bottom + 18}" text-anchor="middle" fill="#4a5568">${x.toLocaleString('en-US')}</text>`).join('\n')}
<text x="${n((margin.left + width - margin.right) / 2)}" y="${height - margin.bottom + 36}" text-anchor="middle" fill="#1a202c">${escaped(plot.xLabel)}</text>
<text x="16" y="${n((margin.top + height - margin.bottom) / 2)}" text-anchor="middle" fill="#1a202c" transform="rotate(-90 16 ${n((margin.top + height - margin.bottom) / 2)})">${escaped(plot.yLabel)}</text>
${plot.series.map((series, index) => seriesLines(series, index, { across, up })).join('\n')}
<text x="${margin.left}" y="${height - 12}" font-size="10" fill="#4a5568">${escaped(plot.caption)}</text>
</svg>
`;
};

const seriesLines = (
  { name, points }: Series,
  index: number,
  { across, up }: { readonly across: (x: number) => number; readonly up: (y: number) => number },
): string => {
  const stroke = strokes[index % strokes.length] ?? strokes[0];
  const sorted = points.toSorted((a, b) => a.x - b.x);
  const path = sorted.map(({ x, y }, position) => `${position === 0 ? 'M' : 'L'}${n(across(x))} ${n(up(y))}`).join(' ');
  const last = sorted.at(-1);
  return [
    `<path d="${path}" fill="none" stroke="${stroke.colour}" stroke-width="2" stroke-dasharray="${stroke.dashes}"/>`,
    ...sorted.map(({ x, y }) => `<circle cx="${n(across(x))}" cy="${n(up(y))}" r="3" fill="${stroke.colour}"/>`),
    ...(last === undefined
      ? []
      : [`<text x="${n(across(last.x) + 10)}" y="${n(up(last.y) + 4)}" fill="${stroke.colour}">${escaped(name)}</text>`]),
  ].join('\n');
};

/** The next of 1, 2, 2.5 and 5 times a power of ten. */
const niceTop = (value: number): number => {
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 2.5, 5, 10].find((step) => step * power >= value) ?? 10) * power;
};

const tickText = (value: number): string => (Number.isInteger(value) ? value.toLocaleString('en-US') : value.toFixed(1));
const n = (value: number): string => value.toFixed(1);
const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
