/**
 * Layer check: dependency-cruiser in allow-list mode over the tree, then over a planted tree of canaries, each of which
 * must be reported. Fails also when the table names a folder that is gone, or a folder exists that it does not name.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { canaries } from './check/canary.ts';
import { generate } from './gen.ts';
import { isMain, root } from './stamp.ts';

const sources = ['agent', 'build', 'desktop', 'native', 'proto', 'test'];
/** Fewer modules than this means that the parser saw nothing: dependency-cruiser passes on an empty tree. */
const modulesMin = 100;

const knownFolders: Readonly<Record<string, readonly string[]>> = {
  agent: ['cli', 'config', 'control', 'domains', 'engine', 'lib', 'server'],
  desktop: ['bridge', 'cli', 'core', 'grpc', 'lib', 'main', 'preload', 'renderer', 'web'],
  'desktop/renderer': ['app', 'client', 'features', 'widgets'],
  proto: ['gen', 'model', 'nest', 'vendor'],
};

interface Violation {
  readonly from: string;
  readonly to: string;
  readonly rule: { readonly name: string };
}
interface Report {
  readonly modules: readonly { readonly source: string }[];
  readonly summary: { readonly violations: readonly Violation[] };
}

const cruise = (folder: string, paths: readonly string[]): Report => {
  const result = spawnSync(
    process.execPath,
    [
      join(root, 'node_modules/dependency-cruiser/bin/dependency-cruiser.mjs'),
      '--config',
      join(root, 'build/check/layers.cjs'),
      '--output-type',
      'json',
      ...paths,
    ],
    { cwd: folder, encoding: 'utf8', maxBuffer: 256 << 20 },
  );
  if (result.stdout === '') throw new Error(`dependency-cruiser gave no report:\n${result.stderr}`);
  return JSON.parse(result.stdout) as Report;
};

const checkTree = (): string[] => {
  const report = cruise(root, sources);
  const problems = report.summary.violations.map(
    (violation) => `${violation.from} may not import ${violation.to} (${violation.rule.name})`,
  );
  if (report.modules.length < modulesMin)
    problems.push(`only ${report.modules.length} modules were seen, expected at least ${modulesMin}: the check is blind`);
  console.log(`${report.modules.length} modules, ${problems.length} forbidden imports`);
  return problems;
};

/** Plants every canary in a temporary tree and returns those that were not reported. */
const checkCanaries = (): string[] => {
  const folder = mkdtempSync(join(tmpdir(), 'nest-canary-'));
  try {
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
    const write = (path: string, text: string): void => {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), text);
    };
    for (const { to } of canaries) write(to, 'export interface Target {\n  readonly name: string;\n}\n');
    for (const { from, to } of canaries) {
      const specifier = relative(dirname(from), to);
      write(
        from,
        `import type { Target } from '${specifier.startsWith('.') ? specifier : `./${specifier}`}';\n\nexport type Canary = Target;\n`,
      );
    }
    const report = cruise(
      folder,
      sources.filter((source) => existsSync(join(folder, source))),
    );
    const caught = new Set(report.summary.violations.map((violation) => `${violation.from} > ${violation.to}`));
    return canaries
      .filter(({ from, to }) => !caught.has(`${from} > ${to}`))
      .map(({ from, to }) => `canary lives: ${from} > ${to} was not reported`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};

const checkFolders = (): string[] =>
  Object.entries(knownFolders).flatMap(([parent, names]) => {
    const found = readdirSync(join(root, parent), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
    return [
      ...found.filter((name) => !names.includes(name)).map((name) => `${parent}/${name} is not in the layer table (build/layers.ts)`),
      ...names.filter((name) => !found.includes(name)).map((name) => `${parent}/${name} is in the layer table but does not exist`),
    ];
  });

if (isMain(import.meta.url)) {
  generate();
  const problems = [...checkFolders(), ...checkTree(), ...checkCanaries()];
  for (const problem of problems) console.error(problem);
  console.log(`${canaries.length} canaries planted`);
  if (problems.length > 0) process.exit(1);
}
