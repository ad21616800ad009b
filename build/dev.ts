/** Watch mode: npm start, started anew after each change of a source; only what the change touches is built again. */
import { watch } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { endSignal, startChild, type OwnedChild } from './child.ts';
import { root } from './stamp.ts';

const watched = ['agent', 'bpf', 'desktop', 'native', 'proto/nest', 'proto/model', 'test/lab'];
const settleMs = 300;
const stopGraceMs = 40_000;

const end = endSignal();
const changes = new Set<string>();

const watchFolder = async (folder: string): Promise<void> => {
  try {
    for await (const { filename } of watch(join(root, folder), { recursive: true, signal: end })) {
      if (filename !== null && !/(^|[/\\])[.#]|~$/.test(filename)) changes.add(join(folder, filename));
    }
  } catch (error) {
    if (!end.aborted) throw error;
  }
};

const start = (): OwnedChild => {
  const child = startChild([process.execPath, join(root, 'build/start.ts'), ...process.argv.slice(2)]);
  child.process.stdout?.pipe(process.stdout);
  return child;
};

const watchers = watched.map(watchFolder);
let current = start();
while (!end.aborted) {
  await sleep(settleMs, undefined, { signal: end }).catch(() => undefined);
  if (changes.size === 0 || end.aborted) continue;
  console.log(`changed: ${[...changes].slice(0, 5).join(', ')}`);
  changes.clear();
  await current.stop(stopGraceMs);
  current = start();
}
await current.stop(stopGraceMs);
await Promise.all(watchers);
