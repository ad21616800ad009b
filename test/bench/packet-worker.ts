/**
 * The measuring half of suite "packet": runs one section inside the benchmark's network namespace, prints its measurements as
 * JSON. Arguments: section, bpffs directory, link, peer. Removes its pins at the end, also when interrupted.
 */
import { bpfObjectPath, loadNative } from '../../native/index.ts';
import type { Bench } from './section.ts';
import { sections } from './sections.ts';

/** The reporting half may be killed: then nobody waits for us, and our pins have to go. */
const parent = process.ppid;

const main = async ([name = '', bpffs = '', link = '', peer = '']: readonly string[]): Promise<void> => {
  const section = sections.find((candidate) => candidate.name === name);
  if (section === undefined) throw new RangeError(`There is no section "${name}".`);
  const interruption = new AbortController();
  for (const reason of ['SIGINT', 'SIGTERM'] as const)
    process.once(reason, () => interruption.abort(new Error(`interrupted by ${reason}`)));
  const { signal } = interruption;
  const pinPath = `${bpffs}/nest`;
  const path = await loadNative().open({ objectPath: bpfObjectPath(), pinPath });
  try {
    const bench: Bench = {
      path,
      pinPath,
      link,
      peer,
      signal,
      throwIfUnwanted: () => {
        signal.throwIfAborted();
        if (process.ppid !== parent) throw new Error('The benchmark that started this one is gone.');
      },
      swap: async (image) => await path.swap(image, path.state().sequence + 1),
    };
    console.log(JSON.stringify(await section.measure(bench)));
  } finally {
    await path.remove();
  }
};

await main(process.argv.slice(2));
