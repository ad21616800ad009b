/** Lint: oxlint with type-aware rules, knip for dead code and dependencies, clang-format for C and C++ where it is installed. */
import { spawnSync } from 'node:child_process';
import { generate } from './gen.ts';
import { run } from './run.ts';
import { root } from './stamp.ts';

const clangFormat = 'clang-format-19';

generate();
run('node_modules/.bin/oxlint', ['--config', 'build/check/oxlint.json', '--type-aware', '--deny-warnings', '.']);
run('node_modules/.bin/knip', ['--no-progress']);
run('node_modules/.bin/prettier', ['--check', '--log-level', 'warn', '.']);
run('node_modules/.bin/buf', ['lint', 'proto']);
if (spawnSync('git', ['cat-file', '-e', 'main:proto/buf.yaml'], { cwd: root }).status === 0) {
  run('node_modules/.bin/buf', ['breaking', 'proto', '--against', '.git#branch=main,subdir=proto']);
} else {
  console.log('SKIP buf breaking: branch main has no protos yet');
}

const sources = spawnSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '--', 'bpf', 'native'], {
  cwd: root,
  encoding: 'utf8',
})
  .stdout.split('\n')
  .filter((path) => /\.(c|h|cc|hh|cpp|hpp)$/.test(path));
if (spawnSync(clangFormat, ['--version']).status === 0) {
  if (sources.length > 0) run(clangFormat, ['--dry-run', '--Werror', ...sources]);
} else {
  console.log(`SKIP clang-format: ${clangFormat} is not installed (apt-get install ${clangFormat})`);
}
