import { createHash } from 'node:crypto';
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { makePrivateDirectory, readTextIfPresent, writeFileAtomic } from '../../../lib/atomic-file.ts';
import type { Logger } from '../../../lib/log.ts';

/** As many as a policy can name. */
export const denyCopiesMax = 256;
/** Of all copies together. */
export const denyCopyBytesMax = 256 << 20;

/** What a file of a deny list held when it was read last without a fault. */
export interface DenyCopy {
  readonly text: string;
  /** Milliseconds since the Unix epoch. */
  readonly readAtMs: number;
}

export interface DenyCopiesOptions {
  /** Made when the first copy is stored. */
  readonly directory: string;
  readonly log: Logger;
}

/**
 * Copies of the files that deny lists are read from, so that a list outlives its file and the agent. What the disk refuses
 * is kept in memory as long as the agent runs.
 */
export interface DenyCopies {
  /** Never raises. When there are too many copies, the oldest of those that are not in `used` go. */
  put(name: string, copy: DenyCopy, used: ReadonlySet<string>): Promise<void>;
  /** null: there is none, or it cannot be read. */
  get(name: string): Promise<DenyCopy | null>;
}

/** Copies in a directory of their own. */
export const createDenyCopies = ({ directory, log }: DenyCopiesOptions): DenyCopies => {
  const unsaved = new Map<string, DenyCopy>();
  return {
    put: async (name, copy, used) => {
      for (const other of unsaved.keys()) if (!used.has(other)) unsaved.delete(other);
      try {
        await makePrivateDirectory(directory);
        await makeRoom(directory, { bytes: copy.text.length, kept: new Set([...used].map(fileOf)), incoming: fileOf(name) });
        await writeFileAtomic(join(directory, fileOf(name)), `${heading(name, copy.readAtMs)}\n${copy.text}`);
        unsaved.delete(name);
      } catch (error) {
        unsaved.set(name, copy);
        log.warn('the copy of a deny list was not stored: it does not outlive the agent', { file: name, error });
      }
    },
    get: async (name) => {
      const held = unsaved.get(name);
      if (held !== undefined) return held;
      try {
        const stored = await readTextIfPresent(join(directory, fileOf(name)));
        return stored === null ? null : parseCopy(stored);
      } catch (error) {
        log.warn('the copy of a deny list cannot be read', { file: name, error });
        return null;
      }
    },
  };
};

/** Names of files may be as long as a path, so they do not become names here. */
const fileOf = (name: string): string => `${createHash('sha256').update(name).digest('hex')}.txt`;

const headingPattern = /^# nest copy of .*, read (?<time>\S+)$/;

const heading = (name: string, readAtMs: number): string =>
  `# nest copy of ${JSON.stringify(name)}, read ${new Date(readAtMs).toISOString()}`;

const parseCopy = (stored: string): DenyCopy | null => {
  const end = stored.indexOf('\n');
  const readAtMs = Date.parse(headingPattern.exec(stored.slice(0, Math.max(0, end)))?.groups?.['time'] ?? '');
  return Number.isNaN(readAtMs) ? null : { text: stored.slice(end + 1), readAtMs };
};

class TooManyCopies extends Error {
  constructor() {
    super(`All copies together would have more than ${String(denyCopyBytesMax)} bytes.`);
  }
}

/** Removes copies that nothing uses until one more fits. Raises TooManyCopies when it does not, and what the file system raises. */
const makeRoom = async (
  directory: string,
  { bytes, kept, incoming }: { readonly bytes: number; readonly kept: ReadonlySet<string>; readonly incoming: string },
): Promise<void> => {
  const names = (await readdir(directory)).filter((name) => name !== incoming);
  const copies: { readonly name: string; readonly size: number; readonly mtimeMs: number }[] = [];
  for (const name of names) {
    const { size, mtimeMs } = await stat(join(directory, name));
    copies.push({ name, size, mtimeMs });
  }
  let total = copies.reduce((sum, { size }) => sum + size, bytes);
  let count = copies.length + 1;
  for (const { name, size } of copies.toSorted((a, b) => a.mtimeMs - b.mtimeMs)) {
    if (count <= denyCopiesMax && total <= denyCopyBytesMax) return;
    if (kept.has(name)) continue;
    await rm(join(directory, name), { force: true });
    total -= size;
    count--;
  }
  if (count > denyCopiesMax || total > denyCopyBytesMax) throw new TooManyCopies();
};
