/**
 * Bundles every program into dist/: the page with Vite, everything that runs on Node or Electron with Rolldown. Each
 * target is skipped when nothing it is made of has changed; stale ones are built in a process of their own, one after the other.
 * Paths in sources are relative to import.meta.url, which differs between source and bundle: code that looks for
 * dist/native or dist/bpf asks for both forms (see native/index.ts).
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isMain, root, runIfStale } from './stamp.ts';

interface Target {
  readonly name: string;
  /** Relative to the repository. */
  readonly entry: string;
  readonly output: string;
  readonly format: 'esm' | 'cjs' | 'page';
  readonly inputs: readonly string[];
}

const consoleInputs = [
  'desktop/bridge',
  'desktop/core',
  'desktop/grpc',
  'desktop/lib',
  'native/explain',
  'native/image',
  'native/wasm',
  'proto',
];

export const targets: readonly Target[] = [
  {
    name: 'renderer',
    entry: 'desktop/renderer/index.html',
    output: 'dist/desktop/renderer/index.html',
    format: 'page',
    inputs: ['desktop/renderer', 'desktop/bridge', 'proto', 'assets', 'build/vite.renderer.config.ts'],
  },
  {
    name: 'agent',
    entry: 'agent/main.ts',
    output: 'dist/agent/nest-agent.mjs',
    format: 'esm',
    inputs: ['agent', 'native/index.ts', 'native/addon.ts', 'native/explain', 'native/image', 'proto'],
  },
  {
    name: 'web',
    entry: 'desktop/web/main.ts',
    output: 'dist/desktop/web/web.mjs',
    format: 'esm',
    inputs: ['desktop/web', ...consoleInputs],
  },
  {
    name: 'cli',
    entry: 'desktop/cli/main.ts',
    output: 'dist/desktop/cli/nest.mjs',
    format: 'esm',
    inputs: ['desktop/cli', ...consoleInputs],
  },
  {
    name: 'core',
    entry: 'desktop/main/core-main.ts',
    output: 'dist/desktop/core/core.mjs',
    format: 'esm',
    inputs: ['desktop/main', ...consoleInputs],
  },
  {
    name: 'shard',
    entry: 'desktop/grpc/shard/shard-main.ts',
    output: 'dist/desktop/shard/shard.mjs',
    format: 'esm',
    inputs: ['desktop/grpc', 'desktop/lib', 'proto'],
  },
  {
    name: 'main',
    entry: 'desktop/main/main.ts',
    output: 'dist/desktop/main/main.js',
    format: 'esm',
    inputs: ['desktop/main', 'desktop/bridge', 'desktop/lib', 'proto'],
  },
  {
    name: 'preload',
    entry: 'desktop/preload/preload.ts',
    output: 'dist/desktop/preload/preload.cjs',
    format: 'cjs',
    inputs: ['desktop/preload', 'desktop/bridge', 'proto'],
  },
];

/** Packages that stay outside: Electron is the host itself, the others hold machine code. */
export const externalPackages = ['electron', 'keytar', '@node-rs/argon2'] as const;

/** Brings the named targets (all by default) up to date; returns the names of those that were built. Throws when one cannot be. */
export const bundleAll = (names: readonly string[] = targets.map(({ name }) => name)): readonly string[] => {
  const unknown = names.filter((name) => !targets.some((target) => target.name === name));
  if (unknown.length > 0)
    throw new Error(`there is no target ${unknown.join(', ')}; there are ${targets.map(({ name }) => name).join(', ')}`);
  return targets
    .filter(({ name }) => names.includes(name))
    .filter((target) =>
      runIfStale({
        name: `bundle-${target.name}`,
        inputs: [...target.inputs, 'build/bundle.ts', 'package-lock.json', '.version'],
        outputs: [target.output],
        run: () => {
          buildApart(target);
        },
      }),
    )
    .map(({ name }) => name);
};

const buildApart = ({ name }: Target): void => {
  const { status, error } = spawnSync(process.execPath, [`${root}/build/bundle.ts`, '--build', name], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, NODE_ENV: 'production' },
  });
  if (status !== 0) throw new Error(`bundle ${name} failed; the reason is printed above`, { cause: error });
};

const buildPage = async (): Promise<void> => {
  const { build } = await import('vite');
  await build({ configFile: `${root}/build/vite.renderer.config.ts`, logLevel: 'warn' });
};

const buildProgram = async ({ entry, output, format }: Target): Promise<void> => {
  const { build } = await import('rolldown');
  const isExternal = (id: string): boolean => externalPackages.some((name) => id === name || id.startsWith(`${name}/`));
  rmSync(join(root, dirname(output)), { recursive: true, force: true });
  await build({
    input: join(root, entry),
    cwd: root,
    platform: 'node',
    external: isExternal,
    tsconfig: false,
    resolve: { conditionNames: ['node', 'import', 'default'] },
    transform: { target: 'node24', define: { 'process.env.NODE_ENV': '"production"', NEST_VERSION: JSON.stringify(readVersion()) } },
    onLog: (level, log, next) => {
      // Packages that probe with eval or name a file of their own warn about themselves; ours must not.
      const isOurs = log.id === undefined || !log.id.includes('node_modules');
      if (level === 'warn' && isOurs) throw new Error(log.message);
      if (isOurs) next(level, log);
    },
    output: { file: join(root, output), format: format === 'cjs' ? 'cjs' : 'esm', codeSplitting: false, minify: false, sourcemap: false },
  });
};

/** What sources ask for as NEST_VERSION, which only bundles define. */
const readVersion = (): string => readFileSync(join(root, '.version'), 'utf8').trim();

const buildOne = async (name: string | undefined): Promise<void> => {
  const target = targets.find((candidate) => candidate.name === name);
  if (target === undefined) throw new Error(`there is no target ${name ?? '(none given)'}`);
  await (target.format === 'page' ? buildPage() : buildProgram(target));
};

const runCommandLine = async ([first, ...rest]: readonly string[]): Promise<string | undefined> => {
  if (first === '--build') {
    await buildOne(rest[0]);
    return undefined;
  }
  const built = bundleAll(first === undefined ? undefined : [first, ...rest]);
  return built.length === 0 ? 'bundles are up to date' : `bundled ${built.join(', ')}`;
};

if (isMain(import.meta.url)) {
  try {
    const said = await runCommandLine(process.argv.slice(2));
    if (said !== undefined) console.log(said);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
