/** End-to-end tests: the console's page in Chromium against the fleet of the lab. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { buildAll } from './build.ts';
import { countsLine, type Counts } from './counts.ts';
import { setup } from './setup.ts';
import { root } from './stamp.ts';

interface Report {
  readonly stats: { readonly expected: number; readonly unexpected: number; readonly flaky: number; readonly skipped: number };
  readonly errors: readonly unknown[];
}

/** Playwright's own report as counts. A test that passed only when repeated did not pass. */
const countsOf = ({ stats, errors }: Report): Counts => ({
  passed: stats.expected,
  failed: stats.unexpected + stats.flaky + errors.length,
  skipped: stats.skipped,
});

const runPlaywright = (args: readonly string[]): Counts => {
  const report = join(root, 'dist/e2e/report.json');
  rmSync(report, { force: true });
  const { error } = spawnSync(
    process.execPath,
    [join(root, 'node_modules/@playwright/test/cli.js'), 'test', '--config', 'test/e2e/playwright.config.ts', ...args],
    { cwd: root, stdio: 'inherit' },
  );
  if (existsSync(report)) return countsOf(JSON.parse(readFileSync(report, 'utf8')) as Report);
  console.log(`Playwright gave no report${error === undefined ? '' : `: ${error.message}`}. Its output is above.`);
  return { passed: 0, failed: 1, skipped: 0 };
};

const { mode, reason } = await setup('test');
const hasChromium = spawnSync('chromium', ['--version']).status === 0;
if (mode === 'observe' || !hasChromium) {
  console.log(`SKIP e2e: ${mode === 'observe' ? reason : 'chromium is not installed (apt-get install chromium)'}`);
  console.log(countsLine({ passed: 0, failed: 0, skipped: 1 }));
} else {
  await buildAll();
  const counts = runPlaywright(process.argv.slice(2));
  console.log(countsLine(counts));
  process.exitCode = counts.failed > 0 ? 1 : 0;
}
