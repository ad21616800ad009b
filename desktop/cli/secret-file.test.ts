import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openTestConsole } from './test-console.ts';
import type { TestConsole } from './test-console.ts';

let opened: TestConsole;
beforeEach(async () => {
  opened = await openTestConsole('');
  await opened.nest(['fleet', 'init', 'Test']);
});
afterEach(() => opened.close());

describe('a file with a secret', () => {
  it('that cannot be read is called by what it holds', async () => {
    const missing = join(opened.folder, 'missing');
    const notesOf = async (...args: readonly string[]): Promise<string> => (await opened.nest(args)).notes;
    expect(await notesOf('mfa', 'step-up', '--code-file', missing)).toBe(
      `error CONFIG_INVALID: The code file ${missing} cannot be read. Check the path and its rights.`,
    );
    expect(await notesOf('license', 'set', '--key-file', missing)).toContain(`The licence key file ${missing} cannot be read.`);
    expect(await notesOf('fleet', 'unlock-check', '--passphrase-file', missing)).toContain(
      `The passphrase file ${missing} cannot be read.`,
    );
  });

  it('with the code of a new factor is looked for before the factor is made', async () => {
    const missing = join(opened.folder, 'missing');
    const refused = await opened.nest(['mfa', 'enrol', '--code-file', missing]);
    expect(refused).toMatchObject({ code: 1, out: '', notes: expect.stringContaining(`The code file ${missing} cannot be read.`) });
    await writeFile(missing, '');
    // There are no hosts to keep it: what the core says comes next.
    expect((await opened.nest(['mfa', 'enrol', '--code-file', missing])).notes).not.toContain('cannot be read');
  });
});
