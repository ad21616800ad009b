/** Suite "packet": what a packet costs, what a change takes, how fast packets leave, beside peers in the same run. */
import { fileURLToPath } from 'node:url';
import { command } from '../lab/command.ts';
import { makeBenchPlace } from './bench-namespace.ts';
import { BenchRefused } from './report.ts';
import type { Suite } from './report.ts';
import { sections } from './sections.ts';

const workerTimeoutMs = 20 * 60_000;
/** A restless machine gets so many more chances, section by section. */
const triesMax = 3;

export const packetSuite: Suite = {
  name: 'packet',
  summary: 'cost per packet, forwarding, reload, flow events, memory and engines beside peers (root; makes and removes its own namespaces)',
  sections: sections.map(({ name }) => name),
  run: async (name, signal, progress) => {
    if (process.getuid?.() !== 0) throw new BenchRefused('loading programs needs root. Run it as root.');
    const section = sections.find((each) => each.name === name);
    if (section === undefined) throw new RangeError(`There is no section "${name}".`);
    for (let tries = 1; ; tries++) {
      try {
        return section.rows(await measureSection(name, signal));
      } catch (error) {
        if (!(error instanceof BenchRefused) || tries === triesMax) throw error;
        progress(`${name} is measured once more: ${error.message}`);
      }
    }
  },
};

/** A fresh namespace and a fresh data path for each. */
const measureSection = async (name: string, signal: AbortSignal): Promise<unknown> => {
  await using place = await makeBenchPlace(signal);
  const worker = fileURLToPath(new URL('packet-worker.ts', import.meta.url));
  const output = await command(
    ['ip', 'netns', 'exec', place.namespace, process.execPath, worker, name, place.bpffs, place.link, place.peer],
    { signal, timeoutMs: workerTimeoutMs },
  );
  return JSON.parse(output) as unknown;
};
