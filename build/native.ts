/** Compiles native/src to dist/native: the addon nest.node and the packet tool nest-packet. Compiler output is shown as it is. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { isMain, root, runIfStale } from './stamp.ts';

const outputs = ['nest.node', 'nest-packet'] as const;

/** Compilers at a time: two cores, and the build is short. */
const jobs = 2;

const run = (command: string, args: readonly string[]): void => {
  execFileSync(command, args, { cwd: root, stdio: 'inherit' });
};

/** Compiles when stale; returns whether anything was done. */
export const buildNative = (): boolean =>
  runIfStale({
    name: 'native',
    inputs: [
      'native/CMakeLists.txt',
      'native/src',
      'native/bench',
      'bpf/include',
      'build/native.ts',
      'node_modules/node-addon-api/package.json',
    ],
    outputs: outputs.map((name) => join('dist/native', name)),
    facts: [
      execFileSync('c++', ['--version'], { encoding: 'utf8' }),
      execFileSync('pkg-config', ['--modversion', 'libbpf'], { encoding: 'utf8' }),
    ],
    run: () => {
      const folder = join(root, 'dist/native/build');
      mkdirSync(folder, { recursive: true });
      run('cmake', ['-S', 'native', '-B', folder, `-DNEST_NODE_MODULES=${root}/node_modules`, '--log-level=NOTICE']);
      run('cmake', ['--build', folder, '--parallel', String(jobs)]);
      for (const name of outputs) {
        // Renamed into place: a running agent keeps the file it has mapped.
        const output = join(root, 'dist/native', name);
        copyFileSync(join(folder, name), `${output}.new`);
        renameSync(`${output}.new`, output);
      }
    },
  });

if (isMain(import.meta.url)) console.log(buildNative() ? 'dist/native built' : 'dist/native is up to date');
