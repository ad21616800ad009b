/** Skips a build step whose inputs are unchanged: a hash of their contents is kept in dist/.stamps. */
import { createHash } from 'node:crypto';
import { existsSync, lstatSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Absolute path of the repository. */
export const root = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '');

/** True when the module of this URL is the program Node was started with. */
export const isMain = (moduleUrl: string): boolean => process.argv[1] !== undefined && fileURLToPath(moduleUrl) === process.argv[1];

export interface Step {
  /** File name of the stamp. */
  readonly name: string;
  /** Files and folders relative to the repository; what is missing counts as missing, not as an error. */
  readonly inputs: readonly string[];
  /** Files that must exist for the step to count as done. */
  readonly outputs: readonly string[];
  /** Further facts the result depends on: versions, options. */
  readonly facts?: readonly string[];
  readonly run: () => void;
}

const ignored = new Set(['node_modules', 'dist', 'gen', 'out', '.git']);

const addFiles = (path: string, files: string[]): void => {
  const absolute = join(root, path);
  if (!existsSync(absolute)) return;
  if (!lstatSync(absolute).isDirectory()) {
    files.push(path);
    return;
  }
  for (const name of readdirSync(absolute).sort()) {
    if (!ignored.has(name)) addFiles(join(path, name), files);
  }
};

/** SHA-256 over names and contents of everything under the given paths. */
export const hashInputs = (inputs: readonly string[], facts: readonly string[] = []): string => {
  const files: string[] = [];
  for (const input of inputs) addFiles(input, files);
  const hash = createHash('sha256');
  for (const fact of facts) hash.update(`${fact}\0`);
  for (const file of files)
    hash
      .update(file)
      .update('\0')
      .update(readFileSync(join(root, file)))
      .update('\0');
  return hash.digest('hex');
};

/** Runs the step unless its stamp matches; the stamp is written only after a run that did not throw. */
export const runIfStale = (step: Step): boolean => {
  const folder = join(root, 'dist/.stamps');
  const stamp = join(folder, step.name);
  const hash = hashInputs(step.inputs, step.facts);
  const isFresh =
    existsSync(stamp) && readFileSync(stamp, 'utf8') === hash && step.outputs.every((output) => existsSync(join(root, output)));
  if (isFresh) return false;
  rmSync(stamp, { force: true });
  step.run();
  mkdirSync(folder, { recursive: true });
  writeFileSync(stamp, hash);
  return true;
};
