/** What becomes of a host in a rollout by what it answers. Pure. */
import type { RolloutHostRecord } from '../../../proto/model/rollout.ts';
import type { HostChange } from '../policy/rollout-steps.ts';
import type { Problem } from './rollout-hosts.ts';
import { lapsedProblem, lostRecordProblem, silentProblem } from './rollout-problems.ts';
import { inheritedState } from './rollout-progress.ts';
import type { HostProgress } from './rollout-progress.ts';

/** A change whose console died is tried again so often on a host. */
const attemptsMax = 3;

/** `until`: when a change that waits is taken back. `mayTryAgain`: the rollout still goes forward. */
export const learned = (
  host: HostProgress,
  change: HostChange,
  { until, mayTryAgain }: { readonly until: number; readonly mayTryAgain: boolean },
): Partial<HostProgress> => {
  const known = { isInherited: false, revision: change.revision ?? host.revision, rollbackAt: null, problem: change.problem ?? null };
  if (change.state === undefined) return {};
  if (change.state === 'pending') return { ...known, state: 'soaking', rollbackAt: until };
  if (change.state === 'confirmed') return { ...known, state: 'kept', problem: null };
  if (change.state === 'unreachable') return { ...known, state: 'unreachable', problem: change.problem ?? silentProblem };
  // The console that watched it is gone: nothing is known against the change.
  if (mayTryAgain && host.isInherited && host.attempt < attemptsMax) return { ...known, state: 'waiting', revision: null, problem: null };
  if (change.state === 'rolled-back') return { ...known, state: 'taken-back', problem: known.problem ?? lapsedProblem };
  return { ...known, state: 'failed' };
};

/** A host is back of which this console knows no more than its state: its own record says more. `endReason`: why nothing begins any more. */
export const recalled = (
  { state, revision }: HostProgress,
  record: RolloutHostRecord | null,
  endReason: Problem | null,
): Partial<HostProgress> => {
  const isKept = state === 'kept';
  if (record !== null && record.attempt > 0 && revision === null) {
    const { attempt, baseRevision, generation, baseline } = record;
    const known = { attempt, baseRevision, generation, baseline, revision: record.revision, isInherited: !isKept };
    return isKept ? known : { ...known, state: 'applying' };
  }
  if (isKept) return { attempt: 1, revision: 0, problem: lostRecordProblem };
  return { state: endReason === null ? 'waiting' : 'skipped', isInherited: false, problem: endReason };
};

/** What the console before this one has done to a host since its record was read; empty when it has changed nothing there. */
export const touched = (record: RolloutHostRecord): Partial<HostProgress> =>
  record.attempt === 0 || record.state === 'waiting' ? {} : { isInherited: false, ...record, ...inheritedState(record) };
