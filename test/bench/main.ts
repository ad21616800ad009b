/** `npm run bench -- <suite> [--json <file>]`: runs one benchmark suite, prints its table, writes its report. */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

import { BenchRefused, toReport, toTable } from './report.ts';
import { saveReport } from './saved-report.ts';
import { packetSuite } from './suite-packet.ts';
import { tablesSuite } from './suite-tables.ts';

const suites = [packetSuite, tablesSuite];

const usage = (): string =>
  [
    'Usage: npm run bench -- <suite> [--section <name>] [--json <file>] [--save <folder>]',
    '',
    'Suites:',
    ...suites.flatMap(({ name, summary, sections }) => [
      `  ${name.padEnd(8)} ${summary}`,
      ...(sections === undefined ? [] : [`  ${' '.repeat(8)} sections: ${sections.join(', ')}`]),
    ]),
    '',
    '  --section <name>  only that part of the suite',
    '  --json <file>     also write the report as JSON',
    '  --save <folder>   also write the report, its table and its plots there',
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
  const startedAt = new Date();
  try {
    if (values.section !== undefined && suite.sections?.includes(values.section) !== true) {
      console.error(`Suite "${suite.name}" has no section "${values.section}".\n\n${usage()}`);
      return 2;
    }
    const rows = await suite.run(interruption.signal, { only: values.section, progress: (line) => console.error(line) });
    console.log(toTable(rows));
    const report = toReport(suite.name, startedAt, rows);
    if (values.save !== undefined) saveReport(values.save, report);
    if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`);
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

process.exitCode = await main();
