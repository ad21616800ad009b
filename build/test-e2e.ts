/** End-to-end tests in Chromium against the lab. Last line: N passed, N failed, N skipped. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './stamp.ts';

const report = join(root, 'dist/e2e/report.json');
const chromium = '/usr/bin/chromium';

interface PlaywrightReport {
  readonly stats: { readonly expected: number; readonly unexpected: number; readonly flaky: number; readonly skipped: number };
}

if (process.getuid?.() !== 0 || process.platform !== 'linux' || !existsSync(chromium)) {
  console.log(`SKIP end to end: needs Linux, root and ${chromium} (apt-get install chromium)`);
  console.log('0 passed, 0 failed, 1 skipped');
  process.exit(0);
}
mkdirSync(join(root, 'docs/screenshots'), { recursive: true });
rmSync(report, { force: true });
const { status } = spawnSync(join(root, 'node_modules/.bin/playwright'), ['test', '--config', 'test/e2e/playwright.config.ts', ...process.argv.slice(2)], { cwd: root, stdio: 'inherit' });
if (!existsSync(report)) {
  console.log('0 passed, 1 failed, 0 skipped');
  process.exit(1);
}
const { stats } = JSON.parse(readFileSync(report, 'utf8')) as PlaywrightReport;
console.log(`${stats.expected} passed, ${stats.unexpected + stats.flaky} failed, ${stats.skipped} skipped`);
process.exit(status === 0 && stats.expected > 0 ? 0 : 1);
