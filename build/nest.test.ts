import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';

it('npm run nest in a fresh clone says what to do first, without a stack trace', () => {
  const clone = mkdtempSync(join(tmpdir(), 'nest-clone-'));
  try {
    mkdirSync(join(clone, 'build'));
    cpSync(new URL('nest.mjs', import.meta.url), join(clone, 'build', 'nest.mjs'));
    const { status, stdout, stderr } = spawnSync(process.execPath, [join(clone, 'build', 'nest.mjs'), '--help'], { encoding: 'utf8' });
    expect([status, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/^nest: nothing is built here yet\. Run "npm start" .*\n$/);
  } finally {
    rmSync(clone, { recursive: true });
  }
});
