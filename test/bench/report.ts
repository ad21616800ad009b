/** What a benchmark reports: rows with their samples, as a table for people and as JSON for machines. */
import { cpus, release, totalmem } from 'node:os';

interface Target {
  readonly op: '>=' | '<=';
  readonly value: number;
}

export interface Row {
  readonly figure: string;
  readonly unit: string;
  /** Median of the samples. */
  readonly value: number;
  /** Figure this one is compared with; null = none. */
  readonly baseline: string | null;
  readonly baselineValue: number | null;
  /** Median of the sample-by-sample ratios to the baseline. */
  readonly ratio: number | null;
  /** What the ratio has to meet where there is a baseline, else the value. */
  readonly target: Target | null;
  readonly ok: boolean | null;
  readonly samples: readonly number[];
}

export interface Machine {
  readonly processor: string;
  readonly processors: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly node: string;
}

/** What was measured in one go. */
export interface SectionReport {
  readonly name: string;
  readonly startedAt: string;
  readonly machine: Machine;
  readonly rows: readonly Row[];
}

/** Sections may have been measured on different days. */
export interface Report {
  readonly suite: string;
  readonly sections: readonly Omit<SectionReport, 'rows'>[];
  readonly rows: readonly (Row & { readonly section: string })[];
}

/** A suite fills rows; it throws {@link BenchRefused} when its own guard says that the machine is too restless. */
export interface Suite {
  readonly name: string;
  readonly summary: string;
  /** Parts that can be run alone, in the order in which they are reported. */
  readonly sections: readonly string[];
  readonly run: (section: string, signal: AbortSignal, progress: (line: string) => void) => Promise<readonly Row[]>;
}

export class BenchRefused extends Error {}

/** The middle value; the mean of the two middle ones for an even count. Needs at least one. */
export const median = (values: readonly number[]): number => {
  if (values.length === 0) throw new RangeError('The median of nothing does not exist.');
  const sorted = values.toSorted((a, b) => a - b);
  const upper = sorted.length >> 1;
  const low = sorted[sorted.length % 2 === 0 ? upper - 1 : upper] ?? 0;
  return (low + (sorted[upper] ?? 0)) / 2;
};

export interface Measurement {
  readonly figure: string;
  readonly unit: string;
  readonly samples: readonly number[];
  /** Interleaved with the samples: one each per round. */
  readonly baseline?: { readonly figure: string; readonly samples: readonly number[] };
  readonly target?: Target;
}

/** The row of a measurement. */
export const toRow = ({ figure, unit, samples, baseline, target }: Measurement): Row => {
  const value = median(samples);
  const ratio = baseline === undefined ? null : median(samples.map((sample, round) => sample / (baseline.samples[round] ?? Number.NaN)));
  return {
    figure,
    unit,
    value,
    baseline: baseline?.figure ?? null,
    baselineValue: baseline === undefined ? null : median(baseline.samples),
    ratio,
    target: target ?? null,
    ok: target === undefined ? null : meets(ratio ?? value, target),
    samples,
  };
};

/** Indices of the most samples that lie within a share of their lowest one (0.1 = 10 %), in order. */
export const steadyRounds = (samples: readonly number[], driftMax: number): number[] => {
  const within = (lowest: number): number[] =>
    samples.flatMap((sample, round) => (sample >= lowest && sample <= lowest * (1 + driftMax) ? [round] : []));
  return samples.map(within).reduce((best, found) => (found.length > best.length ? found : best), []);
};

/** A section that was measured on this machine from that time on. */
export const toSectionReport = (name: string, startedAt: Date, rows: readonly Row[]): SectionReport => ({
  name,
  startedAt: startedAt.toISOString(),
  machine: {
    processor: cpus()[0]?.model ?? 'unknown',
    processors: cpus().length,
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.version,
  },
  rows,
});

/**
 * The report with this section in the place of the one of the same name. `order`: the sections of the suite; what it no longer has is left
 * out.
 */
export const mergeSection = (report: Report, { rows, ...section }: SectionReport, order: readonly string[]): Report => {
  const sections = [...report.sections.filter(({ name }) => name !== section.name), section];
  const all = [...report.rows.filter((row) => row.section !== section.name), ...rows.map((row) => ({ section: section.name, ...row }))];
  return {
    suite: report.suite,
    sections: order.flatMap((name) => sections.filter((each) => each.name === name)),
    rows: order.flatMap((name) => all.filter((row) => row.section === name)),
  };
};

/** The rows as a table of text. */
export const toTable = (rows: readonly Row[]): string => {
  const cells = rows.map((row) => [
    row.figure,
    formatNumber(row.value),
    row.unit,
    row.ratio === null ? '' : `${row.ratio.toFixed(2)} x ${row.baseline ?? ''}`,
    row.target === null ? '' : `${row.target.op} ${formatNumber(row.target.value)}`,
    row.ok === null ? '' : row.ok ? 'ok' : 'MISSED',
  ]);
  const table = [['figure', 'value', 'unit', 'ratio', 'target', ''], ...cells];
  const widths = table[0]?.map((_, column) => Math.max(...table.map((line) => line[column]?.length ?? 0))) ?? [];
  return table
    .map((line) =>
      line
        .map((cell, column) => (column === 1 ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
};

const meets = (value: number, target: Target): boolean => (target.op === '>=' ? value >= target.value : value <= target.value);

const formatNumber = (value: number): string =>
  Number.isInteger(value) || Math.abs(value) >= 100 ? Math.round(value).toLocaleString('en-US') : value.toPrecision(3);
