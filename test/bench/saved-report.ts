/** A report on disk: the raw rows as JSON, the table for readers, and plots of the figures that form a series. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { linePlot } from './plot.ts';
import type { Series } from './plot.ts';
import { toTable } from './report.ts';
import type { Report, Row } from './report.ts';

/** Writes `<suite>.json`, `<suite>.md` and one SVG a plot; existing files are replaced. Raises what the disk raises. */
export const saveReport = (folder: string, report: Report): void => {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${report.suite}.json`), `${JSON.stringify(report, null, 2)}\n`);
  const { processor, processors, memoryBytes, kernel, node } = report.machine;
  const machine = `${processor}, ${String(processors)} processors, ${(memoryBytes / 2 ** 30).toFixed(0)} GiB, Linux ${kernel}, Node ${node}`;
  const plots = plotsOf(report.rows).map(({ file, ...plot }) => {
    writeFileSync(join(folder, file), linePlot({ ...plot, caption: machine }));
    return `![${plot.title}](${file})`;
  });
  const lines = [
    `# Benchmark \`${report.suite}\``,
    '',
    `${report.startedAt.slice(0, 10)}, ${machine}. Raw rows: [${report.suite}.json](${report.suite}.json).`,
    'Ratios are medians of sample-by-sample ratios to the figure they name, measured in turn in one run; absolute numbers hold for this machine alone.',
    '',
    '```text',
    toTable(report.rows),
    '```',
    ...(plots.length === 0 ? [] : ['', ...plots]),
  ];
  writeFileSync(join(folder, `${report.suite}.md`), `${lines.join('\n')}\n`);
};

interface Plot {
  readonly file: string;
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly series: readonly Series[];
}

/** Figures named "<kind>, <n> packets, <m> mappings": one plot over mappings, one over flows. */
const plotsOf = (rows: readonly Row[]): Plot[] => {
  const points = rows.flatMap((row) => {
    const match = /^(established|denied), ([\d,]+) packets?, ([\d,]+) mappings?$/.exec(row.figure);
    if (match === null) return [];
    const number = (text: string | undefined): number => Number((text ?? '').replaceAll(',', ''));
    return [{ kind: match[1] ?? '', flows: number(match[2]), mappings: number(match[3]), value: row.value }];
  });
  if (points.length === 0) return [];
  const kinds = [...new Set(points.map(({ kind }) => kind))];
  const most = Math.max(...points.map(({ mappings }) => mappings));
  const over = (x: 'mappings' | 'flows', keep: (point: (typeof points)[number]) => boolean, value: (ns: number) => number): Series[] =>
    kinds.map((kind) => ({
      name: kind,
      points: points.filter((point) => point.kind === kind && keep(point)).map((point) => ({ x: point[x], y: value(point.value) })),
    }));
  return [
    {
      file: 'packets-over-mappings.svg',
      title: 'Packets a second and core over the number of mappings, one packet',
      xLabel: 'mappings',
      yLabel: 'million packets a second',
      series: over(
        'mappings',
        ({ flows }) => flows === 1,
        (ns) => 1e3 / ns,
      ),
    },
    {
      file: 'cost-over-flows.svg',
      title: `Cost over the number of flows, ${most.toLocaleString('en-US')} mappings`,
      xLabel: 'different packets',
      yLabel: 'ns a packet, net',
      series: over(
        'flows',
        ({ mappings }) => mappings === most,
        (ns) => ns,
      ),
    },
  ];
};
