import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openTestConsole } from './test-console.ts';
import type { TestConsole } from './test-console.ts';

let opened: TestConsole;
let file: string;
let words: string;

beforeEach(async () => {
  opened = await openTestConsole('');
  file = join(opened.folder, 'root.json');
  words = join(opened.folder, 'root-passphrase');
  await writeFile(words, 'another eleven words\n');
  await opened.nest(['fleet', 'init', 'Test']);
});
afterEach(() => opened.close());

const root = (verb: string, ...more: string[]) => opened.nest(['fleet', 'root', verb, file, '--root-passphrase-file', words, ...more]);

describe('nest fleet root', () => {
  it('takes the root away, goes on signing agents without it, and brings it back', async () => {
    expect(await root('export')).toMatchObject({ code: 0 });
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(JSON.parse((await root('remove', '--json')).out)).toMatchObject({ isHere: false });
    expect((await opened.addHost(['--yes'])).code).toBe(0);
    expect(await root('export')).toMatchObject({ code: 1, notes: expect.stringContaining('NOT_FOUND') });
    expect(JSON.parse((await root('restore', '--json')).out)).toMatchObject({ isHere: true });
  });

  it('removes nothing whose file does not open, and writes over no file', async () => {
    await root('export');
    const text = await readFile(file, 'utf8');
    expect(await root('export')).toMatchObject({ code: 1, notes: expect.stringContaining('STATE_FAILED') });
    await writeFile(words, 'not those words at all\n');
    expect(await root('remove')).toMatchObject({ code: 1, notes: expect.stringContaining('PASSPHRASE_WRONG') });
    await writeFile(words, 'another eleven words\n');
    await writeFile(file, text.replace('"Test"', '"Best"'));
    expect(await root('remove')).toMatchObject({ code: 1, notes: expect.stringContaining('PASSPHRASE_WRONG') });
  });
});
