import { randomBytes } from 'node:crypto';
import { chmod, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** Only the owner may read: these files hold keys and tokens. */
const privateFileMode = 0o600;
const privateDirectoryMode = 0o700;

/**
 * Replaces the file so that after a crash either the old or the new content is there, whole: temporary file in the
 * same directory, flush, rename, flush of the directory. Mode 0600. Throws what the file system throws.
 */
export const writeFileAtomic = async (path: string, content: string | Uint8Array): Promise<void> => {
  const temporary = join(dirname(path), `.${randomBytes(6).toString('hex')}.partial`);
  try {
    const file = await open(temporary, 'wx', privateFileMode);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncDirectory(dirname(path));
};

/** The file's text; null when there is no such file. */
export const readTextIfPresent = async (path: string): Promise<string | null> => {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
};

/** Makes the directory, readable by the owner alone, also when it was there with a wider mode. */
export const makePrivateDirectory = async (path: string): Promise<void> => {
  await mkdir(path, { recursive: true, mode: privateDirectoryMode });
  await chmod(path, privateDirectoryMode);
};

const isMissing = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === 'ENOENT';

/** Flushes a directory: without it a new or renamed file may be gone after a power cut. Throws what the file system throws. */
export const syncDirectory = async (path: string): Promise<void> => {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
};
