/** Other builds of the packet program: its source with a text replaced, compiled as build/bpf.ts does. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface Variant extends Disposable {
  readonly objectPath: string;
}

const source = fileURLToPath(new URL('../../../bpf', import.meta.url));

/** `file` is relative to bpf/; `from` has to be there. */
export const buildVariant = (file: string, from: string, to: string): Variant => {
  const folder = mkdtempSync(join(tmpdir(), 'nest-t-'));
  cpSync(source, join(folder, 'bpf'), { recursive: true });
  const path = join(folder, 'bpf', file);
  const text = readFileSync(path, 'utf8');
  if (!text.includes(from)) throw new Error(`${file} does not contain ${from}`);
  writeFileSync(path, text.replace(from, to));
  const multiarch = process.arch === 'arm64' ? 'aarch64-linux-gnu' : 'x86_64-linux-gnu';
  const flags = ['--target=bpf', '-mcpu=v3', '-g', '-O2', '-I.', '-Iinclude', `-I/usr/include/${multiarch}`];
  const objectPath = join(folder, 'variant.bpf.o');
  execFileSync('clang-19', [...flags, '-c', 'nest_xdp.bpf.c', '-o', objectPath], { cwd: join(folder, 'bpf') });
  return { objectPath, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
};
