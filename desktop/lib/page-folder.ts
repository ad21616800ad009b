/** The renderer's built files in a folder: the list is taken once, the contents are read when asked for. */
import { readFileSync, readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { NestError } from '../../proto/model/error.ts';
import { contentTypeOf, noncePlaceholder } from './page.ts';

export interface PageFolder {
  /** Paths as in a URL, each with a leading slash; index.html is not among them. */
  readonly files: ReadonlySet<string>;
  /** index.html with the nonce filled in. */
  page(nonce: string): string;
  /** Only for a path of `files`. */
  read(path: string): Promise<Uint8Array>;
}

/** Opens a built renderer. Raises NOT_FOUND when the folder holds none. */
export const openPageFolder = (folder: string): PageFolder => {
  let index: string;
  try {
    index = readFileSync(join(folder, 'index.html'), 'utf8');
  } catch (cause) {
    throw new NestError('NOT_FOUND', 'The console page is not built. Run npm run build first.', { cause });
  }
  const files = new Set<string>();
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = `/${relative(folder, join(entry.parentPath, entry.name)).split(sep).join('/')}`;
    if (entry.isFile() && path !== '/index.html' && contentTypeOf(path) !== undefined) files.add(path);
  }
  return {
    files,
    page: (nonce) => index.replaceAll(noncePlaceholder, nonce),
    read: (path) => readFile(join(folder, path)),
  };
};
