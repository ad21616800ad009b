import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { readTextIfPresent, syncDirectory } from '../../lib/atomic-file.ts';

/** A write returns when it is on the disk: one call instead of a write and a flush. */
const openFlags = constants.O_RDWR | constants.O_CREAT | constants.O_DSYNC;
const privateMode = 0o600;

/** Lines that were added since something else was stored whole. */
export interface AccessJournal {
  /** What is there. A last line that was not finished is left out, and overwritten by the next. Throws what the file system throws. */
  lines(): Promise<readonly string[]>;
  /** Durable when it resolves. Lines hold no line breaks. Throws what the file system throws; then `clear` comes before the next. */
  append(lines: readonly string[]): Promise<void>;
  /** Takes the last line back, as if it had not been finished. */
  dropLast(): void;
  /** Empties the file when there is one. Throws what the file system throws. */
  clear(): Promise<void>;
  /** Ends the use of the file. */
  close(): Promise<void>;
}

/** A journal in a file that is made with the first line; `lines` is called before `append`. */
export const createAccessJournal = (path: string): AccessJournal => {
  let file: FileHandle | null = null;
  let ends: number[] = [];
  const opened = async (): Promise<FileHandle> => {
    if (file !== null) return file;
    file = await open(path, openFlags, privateMode);
    await syncDirectory(dirname(path));
    return file;
  };
  const close = async (): Promise<void> => {
    const last = file;
    file = null;
    await last?.close();
  };
  return {
    lines: async () => {
      ends = [];
      const text = (await readTextIfPresent(path)) ?? '';
      const found = text.split('\n').slice(0, -1);
      let end = 0;
      for (const line of found) ends.push((end += Buffer.byteLength(line) + 1));
      return found;
    },
    append: async (added) => {
      const content = Buffer.from(added.map((line) => `${line}\n`).join(''));
      const begin = ends.at(-1) ?? 0;
      const handle = await opened();
      const [{ bytesWritten }, { nlink }] = await Promise.all([handle.write(content, 0, content.length, begin), handle.stat()]);
      // Nobody would find it there after a restart.
      if (nlink === 0) throw new Error('the file was removed');
      if (bytesWritten < content.length) throw new Error('not all of it could be written');
      ends.push(begin + content.length);
    },
    dropLast: () => void ends.pop(),
    clear: async () => {
      ends = [];
      // Opened anew: after a failed flush, and for a file that was removed under the agent.
      await close();
      if (((await readTextIfPresent(path)) ?? '') !== '') await (await opened()).truncate(0);
    },
    close,
  };
};
