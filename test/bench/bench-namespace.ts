/** A network namespace and a bpffs of its own for a benchmark, both gone afterwards whatever happens in between. */
import { existsSync, mkdtempSync, readdirSync, rmdirSync } from 'node:fs';

import { command, tryCommand } from '../lab/command.ts';

export interface BenchPlace extends AsyncDisposable {
  readonly namespace: string;
  /** Mount point of the bpffs. */
  readonly bpffs: string;
  /** The link under test, and its other end, in the same namespace. */
  readonly link: string;
  readonly peer: string;
}

const prefix = 'nest-bench-';
const folderPrefix = '/run/nest-bench-';

/** Makes the place. What an earlier run that was killed left behind is removed first. Needs root. */
export const makeBenchPlace = async (signal: AbortSignal): Promise<BenchPlace> => {
  await removeLeftovers();
  const namespace = `${prefix}${String(process.pid)}`;
  const bpffs = mkdtempSync(folderPrefix);
  const place = { namespace, bpffs, link: 'bench0', peer: 'bench1', [Symbol.asyncDispose]: () => removePlace(namespace, bpffs) };
  try {
    await command(['mount', '-t', 'bpf', 'bpf', bpffs], { signal });
    await command(['ip', 'netns', 'add', namespace], { signal });
    const within = ['ip', '-n', namespace, 'link'];
    await command([...within, 'add', place.link, 'type', 'veth', 'peer', 'name', place.peer], { signal });
    for (const link of [place.link, place.peer]) {
      await command([...within, 'set', link, 'addrgenmode', 'none'], { signal });
      await command([...within, 'set', link, 'up'], { signal });
    }
    return place;
  } catch (error) {
    await place[Symbol.asyncDispose]();
    throw error;
  }
};

const removePlace = async (namespace: string, bpffs: string): Promise<void> => {
  await tryCommand(['ip', 'netns', 'del', namespace]);
  await tryCommand(['umount', '--lazy', bpffs]);
  if (existsSync(bpffs)) rmdirSync(bpffs);
};

/** Namespaces and folders whose maker is gone. */
const removeLeftovers = async (): Promise<void> => {
  const present = existsSync('/run/netns') ? readdirSync('/run/netns').filter((name) => name.startsWith(prefix)) : [];
  const dead = present.filter((name) => !existsSync(`/proc/${name.slice(prefix.length)}`));
  for (const name of dead) await tryCommand(['ip', 'netns', 'del', name]);
  if (present.length > dead.length) return; // another run is alive: its folder cannot be told from a leftover
  for (const name of readdirSync('/run').filter((entry) => entry.startsWith(prefix))) {
    await tryCommand(['umount', '--lazy', `/run/${name}`]);
    rmdirSync(`/run/${name}`);
  }
};
