/** Tidy: size, names, headers and lists that must agree (build/check/rules.ts), over everything git knows or would add. */
import { spawnSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import * as rules from './check/rules.ts';
import { root } from './stamp.ts';

const topLevel = new Set(
  'desktop agent native bpf proto build assets test docs .version package.json package-lock.json electron-builder.yml tsconfig.json LICENSE.md README.md .ci .github .gitignore .gitattributes .npmrc .editorconfig'.split(
    ' ',
  ),
);
const binary = /\.(png)$/;

const listed = spawnSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '--deduplicate'], {
  cwd: root,
  encoding: 'utf8',
  maxBuffer: 16 << 20,
});
const paths = listed.stdout
  .split('\n')
  .filter((path) => path !== '' && statSync(join(root, path), { throwIfNoEntry: false })?.isFile() === true);
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

const problems: string[] = [];
for (const name of new Set(paths.map((path) => path.split('/')[0] ?? ''))) {
  if (!topLevel.has(name)) problems.push(`${name}: the top level is fixed (docs/ARCHITECTURE.md)`);
}
for (const path of paths) {
  problems.push(...rules.checkBlob(path, statSync(join(root, path)).size), ...rules.checkName({ path, text: '' }));
  if (binary.test(path)) continue;
  const file = { path, text: read(path) };
  problems.push(...rules.checkSize(file), ...rules.checkFunctions(file), ...rules.checkTexts(file), ...rules.checkHeader(file));
}
const packageVersion = (JSON.parse(read('package.json')) as { version: string }).version;
problems.push(...rules.checkVersion(read('.version'), packageVersion, read('docs/CHANGELOG.md')));
problems.push(...rules.checkErrorDocs(rules.errorCodesOf(read('proto/nest/v1/error.proto')), read('docs/ERRORS.md')));

for (const problem of problems) console.error(problem);
console.log(`${paths.length} files, ${problems.length} problems`);
if (paths.length === 0 || problems.length > 0) process.exit(1);
