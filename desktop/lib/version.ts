/** The version of this build, from the .version file that repository and packages carry. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** From a bundle or a source file the file is at most that far up. */
const parentsMax = 5;

/** Looks for .version from the module's folder upwards; "0.0.0" when there is none. */
export const readVersion = (moduleUrl: string): string => {
  let folder = dirname(fileURLToPath(moduleUrl));
  for (let level = 0; level < parentsMax; level += 1) {
    const path = join(folder, '.version');
    if (existsSync(path)) return readFileSync(path, 'utf8').trim();
    folder = dirname(folder);
  }
  return '0.0.0';
};
