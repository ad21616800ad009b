/**
 * Compiles the verdict to WebAssembly: dist/wasm/nest-verdict.wasm, without a C library and without imports. The compiler's
 * output is shown as it is; a module that grew over its budget is an error.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, renameSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { isMain, root, runIfStale } from './stamp.ts';

const compiler = 'clang-19';
const linker = 'wasm-ld-19';

/** Programs this step needs, by Debian package. */
export const wasmTools = { [compiler]: 'clang-19', [linker]: 'lld-19' } as const;

const output = 'dist/wasm/nest-verdict.wasm';
/** Of the module: a page loads it. */
export const wasmBytesMax = 200_000;

const sourceFolders = ['native/src/user', 'native/wasm'];

const flags = [
  '--target=wasm32',
  '-std=gnu11',
  '-Oz',
  '-ffreestanding',
  '-mbulk-memory',
  '-fvisibility=hidden',
  '-Wall',
  '-Wextra',
  '-Werror',
  '-Wshadow',
  '-Wno-unused-function',
  '-DNEST_RUNTIME_USER',
  '-isystem',
  'native/wasm/include',
  '-isystem',
  'bpf/include',
  '-Ibpf',
  '-Inative/src',
  '-Inative/src/user',
];

const linkFlags = ['--no-entry', '--strip-all', '--gc-sections', '-z', 'stack-size=131072', '--max-memory=4294967296'];

const sources = (): readonly string[] =>
  sourceFolders.flatMap((folder) =>
    readdirSync(join(root, folder))
      .filter((name) => name.endsWith('.c'))
      .sort()
      .map((name) => join(folder, name)),
  );

const compile = (): void => {
  const folder = join(root, 'dist/wasm/build');
  mkdirSync(folder, { recursive: true });
  const objects = sources().map((source) => {
    const object = join(folder, `${basename(source, '.c')}.o`);
    execFileSync(compiler, [...flags, '-c', source, '-o', object], { cwd: root, stdio: 'inherit' });
    return object;
  });
  const linked = join(folder, 'nest-verdict.wasm');
  execFileSync(linker, [...linkFlags, ...objects, '-o', linked], { cwd: root, stdio: 'inherit' });
  const { size } = statSync(linked);
  if (size > wasmBytesMax) throw new Error(`${output} would have ${String(size)} bytes; ${String(wasmBytesMax)} is its budget`);
  renameSync(linked, join(root, output));
};

/** Compiles when stale; returns whether anything was done. */
export const buildWasm = (): boolean =>
  runIfStale({
    name: 'wasm',
    inputs: ['bpf/include', 'bpf/lib', ...sourceFolders, 'build/wasm.ts'],
    outputs: [output],
    facts: [execFileSync(compiler, ['--version'], { encoding: 'utf8' }), execFileSync(linker, ['--version'], { encoding: 'utf8' })],
    run: compile,
  });

if (isMain(import.meta.url)) console.log(buildWasm() ? `${output} built` : `${output} is up to date`);
