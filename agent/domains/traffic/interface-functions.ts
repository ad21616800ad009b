import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** SR-IOV virtual functions of the device behind an interface. */
export interface VirtualFunctions {
  readonly enabled: number;
  readonly total: number;
}

/** Where the kernel tells of interfaces. */
const networkClass = '/sys/class/net';

/** Virtual functions by the files that the kernel keeps for the device (`sriov_numvfs`, `sriov_totalvfs`); null: it has none, or does not tell. */
export const readVirtualFunctions = async (name: string, root: string = networkClass): Promise<VirtualFunctions | null> => {
  const [enabled, total] = await Promise.all(
    ['sriov_numvfs', 'sriov_totalvfs'].map(async (file) => await countIn(join(root, name, 'device', file))),
  );
  // A device whose firmware has them switched off says 0 of 0.
  return enabled === undefined || total === undefined || total === 0 ? null : { enabled, total };
};

const countIn = async (path: string): Promise<number | undefined> => {
  const text = await readFile(path, 'utf8').catch(() => '');
  return /^\d+\n?$/.test(text) ? Number(text) : undefined;
};
