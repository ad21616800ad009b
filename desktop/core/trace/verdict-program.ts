/** Finds and compiles dist/wasm/nest-verdict.wasm, from the sources as well as from a bundle. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compileVerdict } from '../../../native/wasm/index.ts';
import type { VerdictProgram } from '../../../native/wasm/index.ts';
import { NestError } from '../../../proto/model/error.ts';

/** From a bundle in dist/desktop/<host>, or from desktop/core/trace, the folder `dist` is at most that far up. */
const parentsMax = 4;
const name = 'wasm/nest-verdict.wasm';

/** The program, read and compiled at the first call. Raises ENGINE_UNAVAILABLE, also again, when it is not there. */
export const createVerdictProgram = (folder = dirname(fileURLToPath(import.meta.url))): (() => Promise<VerdictProgram>) => {
  let compiled: Promise<VerdictProgram> | undefined;
  return async () => {
    compiled ??= load(folder);
    try {
      return await compiled;
    } catch (error) {
      compiled = undefined;
      throw error;
    }
  };
};

const load = async (folder: string): Promise<VerdictProgram> => {
  const path = find(folder);
  if (path === undefined)
    throw new NestError('ENGINE_UNAVAILABLE', 'The verdict for hosts that are away is not part of this build. Run npm run build.');
  try {
    return await compileVerdict(await readFile(path));
  } catch (cause) {
    throw new NestError('ENGINE_UNAVAILABLE', 'The verdict for hosts that are away cannot be loaded. Install this console again.', {
      cause,
    });
  }
};

const find = (folder: string): string | undefined => {
  let parent = folder;
  for (let level = 0; level <= parentsMax; level++) {
    const found = [join(parent, 'dist', name), join(parent, name)].find((candidate) => existsSync(candidate));
    if (found !== undefined) return found;
    parent = dirname(parent);
  }
  return undefined;
};
