import { join } from 'node:path';
import { errorCodeOf, NestError } from '../../../proto/model/error.ts';
import { emptyChain } from '../../../proto/model/access/chain.ts';
import type { AccessChain } from '../../../proto/model/access/chain.ts';
import { rootTrustOf } from '../../../proto/model/root-change.ts';
import type { RootStep } from '../../../proto/model/root-change.ts';
import { chainOf, chainText } from '../../../proto/model/access/storage.ts';
import { makePrivateDirectory, readTextIfPresent, writeFileAtomic } from '../../lib/atomic-file.ts';

export interface StoredAccess {
  readonly chain: AccessChain;
  /** Why less was found than there must have been; empty when all is well. */
  readonly problem: string;
}

export interface FleetTrust {
  readonly fleetId: string;
  /** Trusted roots, PEM. */
  readonly fleetRoot: string;
  /** The last step of a change of the root: it answers for the beginning of the bundle. */
  readonly rootStep?: Pick<RootStep, 'accessBeginning'> | null;
}

/** The chain and, apart from it, how far it ever was: an old copy of the one does not hide behind the other. */
export interface AccessStore {
  load(fleet: FleetTrust): Promise<StoredAccess>;
  /** Whole or not at all, also when the agent is killed. Raises STATE_FAILED. */
  save(chain: AccessChain): Promise<void>;
}

const chainFile = 'chain.json';
const marksFile = 'marks.json';

/** Files of one folder in the agent's state directory. */
export const openAccessStore = async (stateDir: string): Promise<AccessStore> => {
  const folder = join(stateDir, 'access');
  await makePrivateDirectory(folder);
  return {
    load: async ({ fleetId, fleetRoot, rootStep = null }) => {
      const root = rootTrustOf(fleetRoot, rootStep);
      const marks = readMarks(await readTextIfPresent(join(folder, marksFile)), fleetId);
      const empty = emptyChain(fleetId, root, marks);
      const text = await readTextIfPresent(join(folder, chainFile));
      if (text === null) return { chain: empty, problem: marks.size === 0 ? '' : 'The stored access bundle is gone.' };
      try {
        const chain = chainOf(text, { fleetId, root, marks });
        return { chain: chain ?? empty, problem: '' };
      } catch (error) {
        // Damaged state must not let anybody do more than before: an empty chain with a mark decides like one that was lost.
        if (errorCodeOf(error) !== 'STATE_CORRUPT') throw error;
        const lost = marks.size === 0 ? new Map([[1, 1]]) : marks;
        return { chain: { ...empty, marks: lost }, problem: 'The stored access bundle is damaged.' };
      }
    },
    save: async (chain) => {
      try {
        await writeFileAtomic(join(folder, chainFile), chainText(chain));
        await writeFileAtomic(join(folder, marksFile), JSON.stringify({ fleetId: chain.fleetId, marks: [...chain.marks] }));
      } catch (error) {
        throw new NestError(
          'STATE_FAILED',
          'The access bundle is in force but could not be stored on the host. Check the free space and the rights of its state directory.',
          { cause: error },
        );
      }
    },
  };
};

/** Marks of this fleet. What cannot be read counts as one step taken: there was a bundle. */
const readMarks = (text: string | null, fleetId: string): AccessChain['marks'] => {
  if (text === null) return new Map();
  try {
    const stored = JSON.parse(text) as { readonly fleetId: string; readonly marks: readonly (readonly [number, number])[] };
    return stored.fleetId === fleetId ? new Map(stored.marks) : new Map();
  } catch {
    // Somebody damaged the file: that must not reopen the host.
    return new Map([[1, 1]]);
  }
};
