/** Processes by identity, not by number alone: a number may be reused, the start time tells them apart. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

export interface ProcessRecord {
  readonly name: string;
  readonly pid: number;
  /** Clock ticks since boot, from /proc/<pid>/stat. */
  readonly startTime: string;
}

/** State letter and start time of a process; undefined when there is none. */
const statOf = (pid: number): { readonly state: string; readonly startTime: string } | undefined => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0] ?? '', startTime: fields[19] ?? '' };
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH')) return undefined;
    throw error;
  }
};

/** Record of a running process. Throws when it has ended already. */
export const recordOf = (name: string, pid: number): ProcessRecord => {
  const stat = statOf(pid);
  if (stat === undefined) throw new Error(`${name} (process ${pid}) ended before it could be recorded.`);
  return { name, pid, startTime: stat.startTime };
};

/** True while that very process lives; a zombie does not. */
export const isAlive = (record: ProcessRecord): boolean => {
  const stat = statOf(record.pid);
  return stat !== undefined && stat.startTime === record.startTime && stat.state !== 'Z' && stat.state !== 'X';
};

const send = (record: ProcessRecord, signal: NodeJS.Signals): void => {
  try {
    process.kill(record.pid, signal);
  } catch (error) {
    // It ended between the look and the signal: what was wanted.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
};

/** Waits until the process has ended; false when it lives on after `timeoutMs`. */
export const hasEnded = async (record: ProcessRecord, timeoutMs: number): Promise<boolean> => {
  const deadline = performance.now() + timeoutMs;
  while (isAlive(record)) {
    if (performance.now() > deadline) return false;
    await sleep(20);
  }
  return true;
};

/** Ends the processes together: SIGTERM, `graceMs` to obey, SIGKILL. Says which had to be killed. */
export const endProcesses = async (records: readonly ProcessRecord[], graceMs = 5000): Promise<readonly ProcessRecord[]> => {
  const living = records.filter(isAlive);
  for (const record of living) send(record, 'SIGTERM');
  const deadline = performance.now() + graceMs;
  const killed: ProcessRecord[] = [];
  for (const record of living) {
    if (await hasEnded(record, Math.max(0, deadline - performance.now()))) continue;
    send(record, 'SIGKILL');
    killed.push(record);
  }
  for (const record of killed) await hasEnded(record, 5000);
  return killed;
};

/** Sends a signal when that very process still lives. */
export const signalProcess = (record: ProcessRecord, signal: NodeJS.Signals): void => {
  if (isAlive(record)) send(record, signal);
};
