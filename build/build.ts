/** Builds everything the product runs from: generated code, packet program, native addon, bundles. Skips what is fresh. */
import { spawnSync } from 'node:child_process';
import { buildBpf } from './bpf.ts';
import { bundleAll, targets } from './bundle.ts';
import { generate } from './gen.ts';
import { buildNative } from './native.ts';
import { skipped, step } from './progress.ts';
import { isMain } from './stamp.ts';
import { buildWasm, wasmTools } from './wasm.ts';

/** Why the native parts cannot be built here; undefined when they can. */
const nativeObstacle = (): string | undefined => {
  if (process.platform !== 'linux') return 'the packet program and its loader are for Linux';
  const missing = ['clang-19', 'cmake', 'g++'].filter((tool) => spawnSync(tool, ['--version']).status !== 0);
  return missing.length === 0
    ? undefined
    : `${missing.join(', ')} not installed; without it agents only observe (apt-get install ${missing.join(' ')})`;
};

/** Why the verdict cannot be built for WebAssembly; any system that has the tools can. */
const wasmObstacle = (): string | undefined => {
  const missing = Object.entries(wasmTools).filter(([tool]) => spawnSync(tool, ['--version']).status !== 0);
  return missing.length === 0
    ? undefined
    : `${missing.map(([tool]) => tool).join(', ')} not installed; without it the console cannot try packets (apt-get install ${missing
        .map(([, name]) => name)
        .join(' ')})`;
};

/** One line a step. Throws with the tool's own words when a step fails. */
export const buildAll = async (): Promise<void> => {
  await step('gen', generate);
  const obstacle = nativeObstacle();
  if (obstacle === undefined) {
    await step('bpf', buildBpf);
    await step('native', buildNative);
  } else {
    skipped('bpf', obstacle);
    skipped('native', obstacle);
  }
  const wasmMissing = wasmObstacle();
  if (wasmMissing === undefined) await step('wasm', buildWasm);
  else skipped('wasm', wasmMissing);
  for (const { name } of targets) await step(`bundle ${name}`, () => bundleAll([name]).length > 0);
};

if (isMain(import.meta.url)) await buildAll();
