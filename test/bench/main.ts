/** `npm run bench -- <suite>`: runs one benchmark suite or a section of it, prints its table, writes its report. */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

import { BenchRefused, mergeSection, toSectionReport, toTable } from './report.ts';
import type { Report, Suite } from './report.ts';
import { readReport, saveReport } from './saved-report.ts';
import { auditSuite } from './suite-audit.ts';
import { fleetSuite } from './suite-fleet.ts';
import { packetSuite } from './suite-packet.ts';
import { tablesSuite } from './suite-tables.ts';

const suites = [packetSuite, tablesSuite, auditSuite, fleetSuite];

const usage = (): string =>
  [
    'Usage: npm run bench -- <suite> [--section <name>] [--json <file>] [--save <folder>]',
    '',
    'Suites:',
    ...suites.flatMap(({ name, summary, sections }) => [
      `  ${name.padEnd(8)} ${summary}`,
      `  ${' '.repeat(8)} sections: ${sections.join(', ')}`,
    ]),
    '',
    '  --section <name>  only that part of the suite',
    '  --json <file>     also write what was measured as JSON',
    '  --save <folder>   also put it into the report, its tables and its plots there; sections that were not run stay as they were',
    '  --help            this text',
  ].join('\n');

/** Exit code: 0 all targets met, 1 a target missed, 2 wrong arguments, 3 the run was refused, 130 interrupted. */
const main = async (): Promise<number> => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { json: { type: 'string' }, save: { type: 'string' }, section: { type: 'string' }, help: { type: 'boolean', default: false } },
  });
  if (values.help) {
    console.log(usage());
    return 0;
  }
  const suite = suites.find(({ name }) => name === positionals[0]);
  if (suite === undefined || positionals.length > 1) {
    console.error(`${positionals.length === 0 ? 'Name a suite.' : `There is no suite "${positionals.join(' ')}".`}\n\n${usage()}`);
    return 2;
  }
  const interruption = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const)
    process.once(name, () => {
      interruption.abort(new Error(`interrupted by ${name}`));
    });
  if (values.section !== undefined && !suite.sections.includes(values.section)) {
    console.error(`Suite "${suite.name}" has no section "${values.section}".\n\n${usage()}`);
    return 2;
  }
  try {
    const { rows } = await measure(suite, interruption.signal, values);
    console.log(toTable(rows));
    return rows.some(({ ok }) => ok === false) ? 1 : 0;
  } catch (error) {
    if (interruption.signal.aborted) {
      console.error('Interrupted; everything was taken down.');
      return 130;
    }
    if (!(error instanceof BenchRefused)) throw error;
    console.error(`Refused: ${error.message}`);
    return 3;
  }
};

interface Outputs {
  readonly section?: string | undefined;
  readonly save?: string | undefined;
  readonly json?: string | undefined;
}

/** Runs one section or all. Each is written as soon as it is done: one that is refused later takes nothing with it. */
const measure = async (suite: Suite, signal: AbortSignal, { section, save, json }: Outputs): Promise<Report> => {
  let measured: Report = { suite: suite.name, sections: [], rows: [] };
  let saved = save === undefined ? measured : readReport(save, suite.name);
  for (const name of section === undefined ? suite.sections : [section]) {
    const startedAt = new Date();
    const rows = await suite.run(name, signal, (line) => console.error(line));
    const report = toSectionReport(name, startedAt, rows);
    measured = mergeSection(measured, report, suite.sections);
    if (json !== undefined) writeFileSync(json, `${JSON.stringify(measured, null, 2)}\n`);
    if (save === undefined) continue;
    saved = mergeSection(saved, report, suite.sections);
    await saveReport(save, saved);
  }
  return measured;
};

process.exitCode = await main();
