/**
 * Runs Vitest with a configuration and ends with the counts line that npm test reads:
 * node build/vitest-run.ts <config> [--project <name>] [filters]. Prints why each skipped test was skipped.
 */
import { parseArgs } from 'node:util';
import { startVitest, type Reporter, type TestModule } from 'vitest/node';
import { countsLine, type Counts } from './counts.ts';
import { root } from './stamp.ts';

const countModules = (modules: readonly TestModule[], errorCount: number): Counts => {
  const counts = { passed: 0, failed: errorCount, skipped: 0 };
  for (const module of modules) {
    const results = [...module.children.allTests()].map((test) => ({ name: test.fullName, result: test.result() }));
    for (const { name, result } of results) {
      // A test that never came to an end did not pass.
      counts[result.state === 'pending' ? 'failed' : result.state] += 1;
      if (result.state === 'skipped') console.log(`SKIP ${name}: ${result.note ?? 'no reason given'}`);
    }
    // A file that could not be loaded, or whose hooks failed, has no failed test of its own.
    if (module.state() === 'failed' && !results.some(({ result }) => result.state === 'failed')) counts.failed += 1;
  }
  return counts;
};

let counts: Counts = { passed: 0, failed: 1, skipped: 0 };
const reporter: Reporter = {
  onTestRunEnd(modules, errors) {
    counts = countModules(modules, errors.length);
  },
};

const { positionals, values } = parseArgs({ allowPositionals: true, options: { project: { type: 'string' } } });
const [config = '', ...filters] = positionals;
const vitest = await startVitest('test', filters, {
  root,
  config,
  run: true,
  watch: false,
  reporters: ['default', reporter],
  ...(values.project === undefined ? {} : { project: values.project }),
});
await vitest.close();
if (counts.passed + counts.failed + counts.skipped === 0) {
  console.log('No test was found.');
  counts = { passed: 0, failed: 1, skipped: 0 };
}
console.log(countsLine(counts));
process.exit(counts.failed > 0 ? 1 : 0);
