import { readFile } from 'node:fs/promises';
import type { Engine } from '../../engine/api.ts';
import type { Logger } from '../../lib/log.ts';

export interface LocalTrafficOptions {
  /** off: hooks that an agent before this one left are taken away. */
  readonly wanted: 'auto' | 'off';
  readonly log: Logger;
  /** Root of the control groups of version 2. */
  readonly findGroup?: () => Promise<string>;
}

/** Keeps the hooks for what this host itself sends. */
export interface LocalTraffic {
  /** Attaches what is missing, and lets the hooks follow the host's routes. What is not possible is logged once, with its reason. */
  refresh(engine: Engine): Promise<void>;
}

export const createLocalTraffic = ({ wanted, log, findGroup = groupRoot }: LocalTrafficOptions): LocalTraffic => {
  let said: string | null = null;
  let group: string | undefined;
  return {
    refresh: async (engine) => {
      if (wanted === 'off') {
        if (said === null) await engine.detachLocal();
        said = 'off';
        return;
      }
      group ??= await findGroup();
      const { attached, reason, problems } = await engine.attachLocal(group);
      const now = [reason, ...problems].filter((text) => text !== '').join('; ');
      if (now === said) return;
      said = now;
      if (now === '') log.info('local traffic is judged', { attached });
      else log.warn('local traffic is not judged everywhere', { attached, reason: now });
    },
  };
};

/** Where version 2 is mounted; its usual place when it is nowhere, so that the reason names that. */
const groupRoot = async (): Promise<string> => {
  const mounts = await readFile('/proc/self/mounts', 'utf8');
  const mount = mounts.split('\n').find((line) => line.split(' ')[2] === 'cgroup2');
  return mount?.split(' ')[1] ?? '/sys/fs/cgroup';
};
