/** The folder a console keeps its data in, made where it is missing. */
import { accessSync, constants, existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { NestError } from '../../../proto/model/error.ts';

/** Folders made below one that is there. */
const levelsMax = 64;

/**
 * Makes the folder, and those above it, for its owner alone. One level at a time: Node's recursive way never ends where a level can neither
 * be made nor be seen (/proc). Raises STATE_FAILED with the folder's name and what stands in the way.
 */
export const makeDataFolder = (folder: string): void => {
  const missing: string[] = [];
  let at = resolve(folder);
  while (!existsSync(at) && dirname(at) !== at && missing.length < levelsMax) {
    missing.unshift(at);
    at = dirname(at);
  }
  try {
    if (!statSync(at).isDirectory()) throw unusable(folder, `${at} is a file, not a folder`);
    // Also where nothing is missing: every later file would fail.
    accessSync(at, constants.W_OK | constants.X_OK);
    for (const level of missing) makeLevel(level);
  } catch (error) {
    if (error instanceof NestError) throw error;
    throw unusable(folder, `${missing[0] ?? at} cannot be ${missing.length === 0 ? 'written' : 'made'}`, error);
  }
};

const makeLevel = (level: string): void => {
  try {
    mkdirSync(level, { mode: 0o700 });
  } catch (error) {
    // Another process of this console may have been first.
    if (!existsSync(level)) throw error;
  }
};

const unusable = (folder: string, why: string, cause?: unknown): NestError =>
  new NestError(
    'STATE_FAILED',
    `The data folder ${folder} cannot be used: ${why}. Check the path and its rights, or name another with --data.`,
    {
      details: { folder },
      cause,
    },
  );
