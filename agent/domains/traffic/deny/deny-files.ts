import type { Stats } from 'node:fs';
import { open, realpath } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { isAbsolute, join, relative, sep } from 'node:path';

/** 500,000 prefixes of IPv6 with a comment each still fit. */
export const denyFileBytesMax = 64 << 20;

export type DenyFile =
  | { readonly text: string; readonly stamp: string; readonly problem: null }
  /** Why it was not read, and what to do. */
  | { readonly text: null; readonly stamp: string; readonly problem: string };

/** As {@link readDenyFile}, without the content: cheap enough for every few seconds. */
export const stampOfDenyFile = async (directory: string, name: string): Promise<string> => {
  const found = await locate(directory, name, async (file) => await Promise.resolve(stampOf(await file.stat())));
  return found.problem ?? found.value;
};

/**
 * Reads one file of the deny-list directory. `name` is a plain path below it: what leads out of it is not read, also by
 * a link. `stamp` changes whenever the content may have. Never raises.
 */
export const readDenyFile = async (directory: string, name: string): Promise<DenyFile> => {
  const found = await locate(directory, name, async (file) => {
    const facts = await file.stat();
    if (facts.size > denyFileBytesMax)
      throw new TooLarge(
        `${name} has ${facts.size.toLocaleString('en-US')} bytes and ${denyFileBytesMax.toLocaleString('en-US')} are allowed: split it.`,
      );
    return { text: await file.readFile('utf8'), stamp: stampOf(facts) };
  });
  return found.problem === null ? { ...found.value, problem: null } : { text: null, stamp: found.problem, problem: found.problem };
};

class TooLarge extends Error {}

const stampOf = ({ ino, size, mtimeMs }: Stats): string => `${String(ino)} ${String(size)} ${String(mtimeMs)}`;

type Located<Value> = { readonly value: Value; readonly problem: null } | { readonly value: null; readonly problem: string };

/** Opens a file below the directory for some work; every failure becomes a problem in words. */
const locate = async <Value>(directory: string, name: string, work: (file: FileHandle) => Promise<Value>): Promise<Located<Value>> => {
  const fail = (problem: string): Located<Value> => ({ value: null, problem });
  if (name === '' || isAbsolute(name) || name.split(/[/\\]/).includes('..'))
    return fail(`"${name}" leads out of ${directory}: put the file there and name it without a path.`);
  try {
    const root = await realpath(directory);
    const path = await realpath(join(directory, name));
    if (relative(root, path).split(sep)[0] === '..')
      return fail(`${name} is a link that leads out of ${directory}: put the file itself there.`);
    await using file = await open(path, 'r');
    return { value: await work(file), problem: null };
  } catch (error) {
    if (error instanceof TooLarge) return fail(error.message);
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    if (code === 'ENOENT') return fail(`There is no file ${name} in ${directory}: copy it to this host.`);
    if (code === 'EACCES') return fail(`${name} in ${directory} cannot be read: let the agent's user read it.`);
    if (code === 'EISDIR') return fail(`${name} in ${directory} is a directory: name a file.`);
    return fail(`${name} in ${directory} cannot be read${code === '' ? '' : ` (${code})`}.`);
  }
};
