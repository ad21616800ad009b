/** Integration tests on the real kernel: the lab comes up once, the tests run one after the other, the lab goes down. */
import { spawnSync } from 'node:child_process';
import { buildAll } from './build.ts';
import { countsLine } from './counts.ts';
import { run } from './run.ts';
import { setup } from './setup.ts';

const { mode, reason } = await setup('test');
if (mode === 'observe') {
  console.log(`SKIP integration: ${reason}`);
  console.log(countsLine({ passed: 0, failed: 0, skipped: 1 }));
} else {
  await buildAll();
  // What a killed run left is cleaned even when no test needs the lab.
  spawnSync(process.execPath, ['test/lab/main.ts', 'down'], { stdio: 'ignore' });
  run(process.execPath, ['build/vitest-run.ts', 'test/integration/vitest.config.ts', ...process.argv.slice(2)]);
}
