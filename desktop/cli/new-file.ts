/** Files that a command makes and that may be the only copy of what is in them. */
import { open } from 'node:fs/promises';
import { NestError } from '../../proto/model/error.ts';

/** Never over a file that is there; readable for its owner alone, and on the disk when this resolves. Raises STATE_FAILED. */
export const writeNewFile = async (path: string, text: string): Promise<void> => {
  try {
    await using file = await open(path, 'wx', 0o600);
    await file.writeFile(text);
    await file.sync();
  } catch (error) {
    throw new NestError('STATE_FAILED', `${path} cannot be written. Choose a name that does not exist in a folder you may write to.`, {
      cause: error,
    });
  }
};
