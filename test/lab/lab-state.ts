/** What the lab knows about itself on disk, so that a later run can clean after one that was killed. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { ProcessRecord } from './process-record.ts';

export const runFolder = '/run/nest-lab';
const stateFile = `${runFolder}/lab.json`;

export interface LabState {
  /** 'partial': being built or taken down. */
  readonly phase: 'partial' | 'up';
  /** The process whose end is the lab's end; null for `lab up`. */
  readonly owner: ProcessRecord | null;
  /** Oldest first. */
  readonly processes: readonly ProcessRecord[];
}

/** State of the lab on this machine; undefined when there is none. A file cut short by a crash counts as a partial lab. */
export const readLabState = (): LabState | undefined => {
  if (!existsSync(stateFile)) return undefined;
  try {
    return JSON.parse(readFileSync(stateFile, 'utf8')) as LabState;
  } catch (error) {
    if (error instanceof SyntaxError) return { phase: 'partial', owner: null, processes: [] };
    throw error;
  }
};

/** Replaces the state as a whole. */
export const writeLabState = (state: LabState): void => {
  mkdirSync(dirname(stateFile), { recursive: true, mode: 0o755 });
  writeFileSync(`${stateFile}.new`, JSON.stringify(state, null, 2));
  renameSync(`${stateFile}.new`, stateFile);
};
