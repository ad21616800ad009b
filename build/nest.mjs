// Starts the command line from source: `npm run nest`. What a fresh clone lacks is said in one sentence instead of a stack trace.
// Plain JavaScript for Node 20 and later: nothing is installed yet when this runs.
import { existsSync } from 'node:fs';

const at = (path) => new URL(`../${path}`, import.meta.url);

/** Exit code for wrong use, as everywhere on the command line. */
const wrongUse = 2;

if (existsSync(at('node_modules/commander')) && existsSync(at('proto/gen/nest/v1/access.ts'))) {
  await import(at('desktop/cli/main.ts').href);
} else {
  console.error('nest: nothing is built here yet. Run "npm start" (or "npm ci", then "npm run build") once, then try again.');
  process.exitCode = wrongUse;
}
