/** What a run must not leave on the machine: namespaces, links, pins, mounts, run folders and processes of Nest. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './stamp.ts';

const entriesOf = (folder: string): readonly string[] => (existsSync(folder) ? readdirSync(folder) : []);

/** Command line of a process; empty when it is gone or a kernel thread. */
const commandOf = (pid: string): string => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
  } catch {
    return '';
  }
};

/** Programs that only a test or a demo starts. */
const programs = [
  'dist/agent/nest-agent.mjs',
  'dist/desktop/web/web.mjs',
  'test/lab/',
  'agent/main.ts',
  'desktop/web/main.ts',
  'dist/native/nest-packet',
].map((path) => join(root, path));

/** One phrase each; empty when the machine is clean. Always empty outside Linux. */
export const findLeftovers = (): readonly string[] => {
  if (process.platform !== 'linux') return [];
  const mounts = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((path) => path.startsWith('/run/nest') || path.startsWith('/sys/fs/bpf/nest'));
  const processes = entriesOf('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .map((pid) => ({ pid, command: commandOf(pid) }))
    .filter(({ command }) => programs.some((program) => command.includes(program)));
  return [
    ...entriesOf('/run/netns')
      .filter((name) => name.startsWith('nest'))
      .map((name) => `namespace ${name}`),
    ...entriesOf('/sys/class/net')
      .filter((name) => name.startsWith('nest'))
      .map((name) => `link ${name}`),
    ...entriesOf('/sys/fs/bpf')
      .filter((name) => name.startsWith('nest'))
      .map((name) => `pins /sys/fs/bpf/${name}`),
    ...entriesOf('/run')
      .filter((name) => name.startsWith('nest'))
      .map((name) => `folder /run/${name}`),
    ...mounts.map((path) => `mount ${path}`),
    ...processes.map(({ pid, command }) => `process ${pid}: ${command.slice(0, 120)}`),
  ];
};
