/**
 * Compiles native/src to dist/native: the addon nest.node, the packet process nest-fastpathd (and its DPDK twin where DPDK is) with its
 * control tool, and the packet tool nest-packet. Compiler output is shown as it is.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { isMain, root, runIfStale } from './stamp.ts';

const outputs = ['nest.node', 'nest-packet', 'nest-fastpathd', 'nest-fastpathctl'] as const;
/** Built where their libraries are. */
const optionalOutputs = ['nest-fastpathd-dpdk'] as const;

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
      'bpf/lib',
      'build/native.ts',
      'node_modules/node-addon-api/package.json',
    ],
    outputs: outputs.map((name) => join('dist/native', name)),
    facts: [
      execFileSync('c++', ['--version'], { encoding: 'utf8' }),
      execFileSync('pkg-config', ['--modversion', 'libbpf'], { encoding: 'utf8' }),
      spawnSync('pkg-config', ['--modversion', 'libdpdk'], { encoding: 'utf8' }).stdout,
    ],
    run: () => {
      const folder = join(root, 'dist/native/build');
      mkdirSync(folder, { recursive: true });
      run('cmake', ['-S', 'native', '-B', folder, `-DNEST_NODE_MODULES=${root}/node_modules`, '--log-level=NOTICE']);
      run('cmake', ['--build', folder, '--parallel', String(jobs)]);
      const built = [...outputs, ...optionalOutputs.filter((name) => existsSync(join(folder, name)))];
      for (const name of built) {
        // Renamed into place: a running agent keeps the file it has mapped.
        const output = join(root, 'dist/native', name);
        copyFileSync(join(folder, name), `${output}.new`);
        renameSync(`${output}.new`, output);
      }
    },
  });

if (isMain(import.meta.url)) console.log(buildNative() ? 'dist/native built' : 'dist/native is up to date');
