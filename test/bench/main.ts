/** `npm run bench -- <suite> [--json <file>]`: runs one benchmark suite, prints its table, writes its report. */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

import { BenchRefused, toReport, toTable } from './report.ts';
import { packetSuite } from './suite-packet.ts';
import { tablesSuite } from './suite-tables.ts';

const suites = [packetSuite, tablesSuite];

const usage = (): string =>
  [
    'Usage: npm run bench -- <suite> [--json <file>]',
    '',
    'Suites:',
    ...suites.map(({ name, summary }) => `  ${name.padEnd(8)} ${summary}`),
    '',
    '  --json <file>  also write the report as JSON',
    '  --help         this text',
  ].join('\n');

/** Exit code: 0 all targets met, 1 a target missed, 2 wrong arguments, 3 the run was refused, 130 interrupted. */
const main = async (): Promise<number> => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { json: { type: 'string' }, help: { type: 'boolean', default: false } },
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
    const rows = await suite.run(interruption.signal);
    console.log(toTable(rows));
    if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(toReport(suite.name, startedAt, rows), null, 2)}\n`);
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
