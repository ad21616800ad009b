/** Takes the lab's every trace off the machine, whoever made it and however that ended. Touches the lab's own names only. */
import { existsSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { command, tryCommand } from './command.ts';
import { readLabState, runFolder } from './lab-state.ts';
import { endProcesses, recordOf, type ProcessRecord } from './process-record.ts';
import { labHosts, namespaces } from './topology.ts';

/** Namespaces of the lab that exist now. */
export const presentNamespaces = (): readonly string[] => {
  if (!existsSync('/run/netns')) return [];
  const present = new Set(readdirSync('/run/netns'));
  return namespaces.filter((name) => present.has(name));
};

/** Mount points below the run folder, deepest first. */
export const labMounts = (): readonly string[] =>
  readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((path) => path.startsWith(`${runFolder}/`))
    .sort((a, b) => b.length - a.length);

/** Processes inside the namespaces: the lab's own by definition. */
export const namespaceProcesses = async (): Promise<readonly ProcessRecord[]> => {
  const records: ProcessRecord[] = [];
  for (const namespace of presentNamespaces()) {
    const { stdout } = await tryCommand(['ip', 'netns', 'pids', namespace]);
    for (const pid of stdout
      .split(/\s+/)
      .filter((text) => text !== '')
      .map(Number)) {
      try {
        records.push(recordOf(namespace, pid));
      } catch {
        continue; // it ended while we looked
      }
    }
  }
  return records;
};

/** Idempotent. Answers with what was found, one phrase each; empty when there was nothing. */
export const teardown = async (): Promise<readonly string[]> => {
  const found: string[] = [];
  const recorded = readLabState()?.processes ?? [];
  await endProcesses(recorded);
  const strays = await namespaceProcesses();
  await endProcesses(strays, 1000);
  if (recorded.length + strays.length > 0) found.push(`${recorded.length + strays.length} processes`);
  for (const { consoleLink } of labHosts) {
    if (!existsSync(`/sys/class/net/${consoleLink}`)) continue;
    await command(['ip', 'link', 'delete', consoleLink]);
    found.push(`link ${consoleLink}`);
  }
  for (const mount of labMounts()) {
    rmSync(join(mount, 'nest'), { recursive: true, force: true });
    await command(['umount', mount]);
    found.push(`mount ${mount}`);
  }
  for (const namespace of presentNamespaces()) {
    await command(['ip', 'netns', 'delete', namespace]);
    found.push(`namespace ${namespace}`);
  }
  rmSync(runFolder, { recursive: true, force: true });
  return found;
};
