/** Formats everything in place: prettier, clang-format where it is installed, buf for proto files. */
import { spawnSync } from 'node:child_process';
import { run } from './run.ts';
import { root } from './stamp.ts';

run('node_modules/.bin/prettier', ['--write', '--log-level', 'warn', '.']);
run('node_modules/.bin/buf', ['format', '--write', 'proto']);

const sources = spawnSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '--', 'bpf', 'native'], {
  cwd: root,
  encoding: 'utf8',
})
  .stdout.split('\n')
  .filter((path) => /\.(c|h|cc|hh|cpp|hpp)$/.test(path));
if (sources.length > 0 && spawnSync('clang-format-19', ['--version']).status === 0) run('clang-format-19', ['-i', ...sources]);
