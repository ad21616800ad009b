/** Type check of every project, by the native compiler. */
import { generate } from './gen.ts';
import { run } from './run.ts';

generate();
run('node_modules/.bin/tsc', ['--build', '--pretty', ...process.argv.slice(2)]);
