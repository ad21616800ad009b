/** A report on disk: the raw rows as JSON, the tables for readers, and plots of the figures that form a series. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { z } from 'zod';
import { linePlot } from './plot.ts';
import type { Series } from './plot.ts';
import { toTable } from './report.ts';
import type { Machine, Report, Row } from './report.ts';

const machineSchema = z.object({
  processor: z.string(),
  processors: z.number(),
  memoryBytes: z.number(),
  kernel: z.string(),
  node: z.string(),
});
const rowSchema = z.object({
  section: z.string(),
  figure: z.string(),
  unit: z.string(),
  value: z.number(),
  baseline: z.string().nullable(),
  baselineValue: z.number().nullable(),
  ratio: z.number().nullable(),
  target: z.object({ op: z.enum(['>=', '<=']), value: z.number() }).nullable(),
  ok: z.boolean().nullable(),
  samples: z.array(z.number()),
});
const reportSchema = z.object({
  suite: z.string(),
  sections: z.array(z.object({ name: z.string(), startedAt: z.string(), machine: machineSchema })),
  rows: z.array(rowSchema),
});

/** The report that was saved there before; an empty one when there is none. Raises when the file is something else. */
export const readReport = (folder: string, suite: string): Report => {
  const file = join(folder, `${suite}.json`);
  if (!existsSync(file)) return { suite, sections: [], rows: [] };
  const parsed = reportSchema.safeParse(JSON.parse(readFileSync(file, 'utf8')));
  if (!parsed.success) throw new Error(`${file} is no report of this version of the benchmark: move it away.`, { cause: parsed.error });
  return parsed.data;
};

/** Writes `<suite>.json`, `<suite>.md` and one SVG a plot; existing files are replaced. Raises what the disk raises. */
export const saveReport = async (folder: string, report: Report): Promise<void> => {
  mkdirSync(folder, { recursive: true });
  const write = async (name: string, text: string): Promise<void> => {
    const filepath = join(folder, name);
    writeFileSync(filepath, await format(text, { ...(await resolveConfig(filepath)), filepath }));
  };
  await write(`${report.suite}.json`, JSON.stringify(report, rounded, 2));
  const plots = plotsOf(report.rows).map(({ file, section, ...plot }) => {
    const taken = report.sections.find(({ name }) => name === section);
    writeFileSync(join(folder, file), linePlot({ ...plot, caption: taken === undefined ? '' : nameOf(taken.machine) }));
    return { section, line: `![${plot.title}](${file})` };
  });
  const lines = [
    `# Benchmark \`${report.suite}\``,
    '',
    `Raw rows: [${report.suite}.json](${report.suite}.json). Ratios are medians of sample-by-sample ratios to the figure they name, measured in`,
    'turn in one run; absolute numbers hold for the machine they were taken on alone.',
    ...report.sections.flatMap(({ name, startedAt, machine }) => [
      '',
      `## ${name}`,
      '',
      `${startedAt.slice(0, 16).replace('T', ' ')} UTC, ${nameOf(machine)}.`,
      '',
      '```text',
      toTable(report.rows.filter((row) => row.section === name)),
      '```',
      ...plots.flatMap(({ section, line }) => (section === name ? ['', line] : [])),
    ]),
  ];
  await write(`${report.suite}.md`, lines.join('\n'));
};

const nameOf = ({ processor, processors, memoryBytes, kernel, node }: Machine): string =>
  `${processor}, ${String(processors)} processors, ${(memoryBytes / 2 ** 30).toFixed(0)} GiB, Linux ${kernel}, Node ${node}`;

interface Plot {
  readonly file: string;
  /** That its points come from. */
  readonly section: string;
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly series: readonly Series[];
}

const numberOf = (text: string | undefined): number => Number((text ?? '').replaceAll(',', ''));

const plotsOf = (rows: readonly Row[]): Plot[] => [...costPlots(rows), ...rulePlots(rows)];

/** Figures named "<kind>, <n> packets, <m> mappings": one plot over mappings, one over flows. */
const costPlots = (rows: readonly Row[]): Plot[] => {
  const points = rows.flatMap((row) => {
    const match = /^(established|denied), ([\d,]+) packets?, ([\d,]+) mappings?$/.exec(row.figure);
    if (match === null) return [];
    return [{ kind: match[1] ?? '', flows: numberOf(match[2]), mappings: numberOf(match[3]), value: row.value }];
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
      section: 'cost',
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
      section: 'cost',
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

/** Figures named "nftables v<version>, <n> rules, ..." and "<n> mappings, every packet judged and denied". */
const rulePlots = (rows: readonly Row[]): Plot[] => {
  const over = (name: string, pattern: RegExp): Series => ({
    name,
    points: rows.flatMap((row) => {
      const match = pattern.exec(row.figure);
      return match === null ? [] : [{ x: numberOf(match[1]), y: row.value }];
    }),
  });
  const series = [
    over('nest', /^([\d,]+) mappings, every packet judged and denied$/),
    over('nftables', /^nftables v[\d.]+, ([\d,]+) rules/),
  ];
  if (series.every(({ points }) => points.length < 2)) return [];
  return [
    {
      file: 'packets-over-rules.svg',
      section: 'nftables',
      title: 'Packets a second on veth over the number of rules',
      xLabel: 'rules',
      yLabel: 'thousand packets a second',
      series,
    },
  ];
};

/** Five digits are more than a measurement has. */
const rounded = (_key: string, value: unknown): unknown =>
  typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(5)) : value;
