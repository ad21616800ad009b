import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { NestError } from '../../proto/model/error.ts';
import { configTemplate } from '../config/template.ts';
import type { Terminal } from './terminal.ts';

/** Writes the commented default configuration. Throws CONFIG_INVALID when a file is there and `force` is not set. */
export const runInit = async (path: string, force: boolean, { stdout }: Terminal): Promise<void> => {
  await mkdir(dirname(path), { recursive: true });
  try {
    await writeFile(path, configTemplate, { flag: force ? 'w' : 'wx', mode: 0o644 });
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : '';
    if (code === 'EEXIST')
      throw new NestError('CONFIG_INVALID', `${path} exists already. Edit it, or write over it with --force.`, { cause: error });
    throw new NestError(
      'STATE_FAILED',
      `${path} cannot be written (${String(code)}). Check the directory and your rights, then try again.`,
      { cause: error },
    );
  }
  stdout.write(`Wrote ${path}. Read it through, then start the agent: nest-agent run --config ${path}\n`);
};
