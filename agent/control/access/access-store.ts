import { join } from 'node:path';
import { errorCodeOf, NestError } from '../../../proto/model/error.ts';
import { emptyChain, takeUpdate } from '../../../proto/model/access/chain.ts';
import type { AccessChain } from '../../../proto/model/access/chain.ts';
import { rootTrustOf } from '../../../proto/model/root-change.ts';
import type { RootStep } from '../../../proto/model/root-change.ts';
import { chainOf, chainText, envelopeOf, envelopeText } from '../../../proto/model/access/storage.ts';
import type { SignedUpdate } from '../../../proto/model/access/update.ts';
import { makePrivateDirectory, readTextIfPresent, writeFileAtomic } from '../../lib/atomic-file.ts';
import { createAccessJournal } from './access-journal.ts';

/** Steps that are kept beside the whole before it is written anew. */
export const journalStepsMax = 64;

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

/**
 * The chain and, apart from it, how far it ever was: an old copy of the one does not hide behind the other. Each is a file with the whole
 * and a journal of what came after it, because a lock should cost two small writes and not the whole history twice.
 */
export interface AccessStore {
  load(fleet: FleetTrust): Promise<StoredAccess>;
  /** Whole or not at all, also when the agent is killed; one at a time. Raises STATE_FAILED. */
  save(chain: AccessChain): Promise<void>;
  close(): Promise<void>;
}

/** What the files hold: enough to know whether a chain goes on from there. */
interface Stored {
  readonly chain: AccessChain;
  /** Steps in the journal. */
  readonly steps: number;
}

const chainFile = 'chain.json';
const chainJournal = 'chain.log';
const marksFile = 'marks.json';
const marksJournal = 'marks.log';

/** Files of one folder in the agent's state directory. */
export const openAccessStore = async (stateDir: string): Promise<AccessStore> => {
  const folder = join(stateDir, 'access');
  await makePrivateDirectory(folder);
  const steps = createAccessJournal(join(folder, chainJournal));
  const markLines = createAccessJournal(join(folder, marksJournal));
  /** Null: the next is written whole. */
  let stored: Stored | null = null;
  const writeWhole = async (chain: AccessChain): Promise<void> => {
    await writeFileAtomic(join(folder, chainFile), chainText(chain));
    await writeFileAtomic(join(folder, marksFile), JSON.stringify({ fleetId: chain.fleetId, marks: [...chain.marks] }));
    // What is left of them after a power cut is known already.
    await steps.clear();
    await markLines.clear();
    stored = { chain, steps: 0 };
  };
  const addSteps = async (chain: AccessChain, { added, before }: { readonly added: readonly SignedUpdate[]; readonly before: Stored }) => {
    await steps.append(added.map(({ envelope }) => envelopeText(envelope)));
    const { epoch = 0, revision = 0 } = chain.head ?? {};
    // After the step: a mark of what is not there would lock the host.
    await markLines.append([`${chain.fleetId} ${String(epoch)} ${String(revision)}`]);
    stored = { chain, steps: before.steps + added.length };
  };
  return {
    load: async ({ fleetId, fleetRoot, rootStep = null }) => {
      stored = null;
      const marked = readMarks(await readTextIfPresent(join(folder, marksFile)), fleetId);
      const marks = withMarkLines(marked, await markLines.lines(), fleetId);
      const root = rootTrustOf(fleetRoot, rootStep);
      const empty = emptyChain(fleetId, root, marks);
      const text = await readTextIfPresent(join(folder, chainFile));
      if (text === null) return { chain: empty, problem: marks.size === 0 ? '' : 'The stored access bundle is gone.' };
      try {
        const whole = chainOf(text, { fleetId, root, marks });
        if (whole === null) return { chain: empty, problem: '' };
        const lines = await steps.lines();
        const { chain, isTorn } = replayed(whole, lines);
        if (isTorn) steps.dropLast();
        stored = { chain, steps: lines.length };
        return { chain, problem: '' };
      } catch (error) {
        // Damaged state must not let anybody do more than before: an empty chain with a mark decides like one that was lost.
        if (errorCodeOf(error) !== 'STATE_CORRUPT') throw error;
        const lost = marks.size === 0 ? new Map([[1, 1]]) : marks;
        return { chain: { ...empty, marks: lost }, problem: 'The stored access bundle is damaged.' };
      }
    },
    save: async (chain) => {
      const before = stored;
      const added = before === null ? null : stepsBetween(before.chain, chain);
      // Until it has succeeded nobody knows what the files hold.
      stored = null;
      try {
        const isShort = before !== null && added !== null && before.steps + added.length <= journalStepsMax;
        if (isShort && (await isDone(addSteps(chain, { added, before })))) return;
        await writeWhole(chain);
      } catch (error) {
        throw notStored(error);
      }
    },
    close: async () => {
      await Promise.all([steps.close(), markLines.close()]);
    },
  };
};

/** A journal that cannot be written, or was removed, is no failure: what is written whole does not need it. */
const isDone = (work: Promise<void>): Promise<boolean> =>
  work.then(
    () => true,
    () => false,
  );

const notStored = (cause: unknown): NestError =>
  new NestError(
    'STATE_FAILED',
    'The access bundle is in force but could not be stored on the host. Check the free space and the rights of its state directory.',
    { cause },
  );

/** The updates that lead from one chain to the other, one after the other; null when more than that has changed. */
const stepsBetween = (before: AccessChain, after: AccessChain): readonly SignedUpdate[] | null => {
  const { head } = before;
  if (head === null || before.fleetId !== after.fleetId || before.forks !== after.forks || head.epoch !== after.head?.epoch) return null;
  const from = after.updates.findLastIndex(({ hash }) => hash === head.hash);
  const added = after.updates.slice(from + 1);
  const isWhole = added.every(({ previous }, index) => previous.includes((added[index - 1] ?? head).hash));
  return from < 0 || !isWhole ? null : added;
};

/** Verified again, step by step. Only the last line may be one that was not finished; STATE_CORRUPT for any other that does not hold. */
const replayed = (whole: AccessChain, lines: readonly string[]): { readonly chain: AccessChain; readonly isTorn: boolean } => {
  let chain = whole;
  for (const [index, line] of lines.entries()) {
    try {
      ({ chain } = takeUpdate(chain, envelopeOf(line), 0));
    } catch (error) {
      if (index === lines.length - 1) return { chain, isTorn: true };
      throw new NestError('STATE_CORRUPT', 'The stored access bundle does not hold. A console delivers it again.', { cause: error });
    }
  }
  return { chain, isTorn: false };
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

const markLine = /^(\S+) (\d{1,15}) (\d{1,15})$/;

/** The same with what came after it. */
const withMarkLines = (marks: AccessChain['marks'], lines: readonly string[], fleetId: string): AccessChain['marks'] => {
  const after = new Map(marks);
  for (const line of lines) {
    const [, fleet, epoch = '1', revision = '1'] = markLine.exec(line) ?? [null, fleetId];
    if (fleet === fleetId) after.set(Number(epoch), Math.max(after.get(Number(epoch)) ?? 0, Number(revision)));
  }
  return after;
};
