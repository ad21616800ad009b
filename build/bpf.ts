/**
 * Compiles the packet programs to dist/bpf: bpf/*.bpf.c for the agent, bpf/test/*.bpf.c for tests and benchmarks.
 * The compiler's output is shown as it is; an object without instructions is an error.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { isMain, root, runIfStale } from './stamp.ts';

const compiler = 'clang-19';

const flags = ['--target=bpf', '-mcpu=v3', '-g', '-O2', '-Wall', '-Wextra', '-Werror', '-Wshadow', '-Ibpf', '-Ibpf/include'];

/** linux/types.h needs asm/types.h, which Debian keeps in a folder per architecture. */
const multiarch = process.arch === 'arm64' ? 'aarch64-linux-gnu' : 'x86_64-linux-gnu';

const sourcesIn = (folder: string): readonly string[] =>
  readdirSync(join(root, folder))
    .filter((name) => name.endsWith('.bpf.c'))
    .sort()
    .map((name) => join(folder, name));

const outputOf = (source: string): string => join('dist/bpf', basename(source).replace(/\.c$/, '.o'));

const compile = (source: string): void => {
  const output = outputOf(source);
  execFileSync(compiler, [...flags, `-I/usr/include/${multiarch}`, '-c', source, '-o', output], { cwd: root, stdio: 'inherit' });
  const sections = execFileSync('readelf', ['--section-headers', '--wide', output], { cwd: root, encoding: 'utf8' });
  // [ 3] xdp PROGBITS 0000000000000000 000040 0014a8 ...: the size is the third number.
  const hasCode = sections
    .split('\n')
    .some((line) => /\]\s+(?:xdp|tc)\s+PROGBITS\s+[0-9a-f]+\s+[0-9a-f]+\s+(?!0+\s)[0-9a-f]+\s/.test(line));
  if (!hasCode) throw new Error(`${output} holds no program: look at ${source} and the compiler's messages`);
};

/** Compiles what is stale; returns whether anything was done. */
export const buildBpf = (): boolean => {
  const sources = [...sourcesIn('bpf'), ...sourcesIn('bpf/test')];
  return runIfStale({
    name: 'bpf',
    inputs: ['bpf', 'build/bpf.ts'],
    outputs: sources.map(outputOf),
    facts: [execFileSync(compiler, ['--version'], { encoding: 'utf8' })],
    run: () => {
      mkdirSync(join(root, 'dist/bpf'), { recursive: true });
      for (const source of sources) compile(source);
    },
  });
};

if (isMain(import.meta.url)) console.log(buildBpf() ? 'dist/bpf built' : 'dist/bpf is up to date');
