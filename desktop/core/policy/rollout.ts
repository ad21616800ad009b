/** What is known about one rollout, and the state that follows from its hosts. Pure. */
import type { Rollout, RolloutHost } from '../../bridge/model.ts';

/** A command on the whole rollout that is running now. */
export type RolloutPhase = 'applying' | 'confirming' | 'undoing' | null;

export interface RolloutRecord {
  readonly rolloutId: string;
  /** "" when the rollout was found on the hosts instead of made here. */
  readonly planId: string;
  /** What the hosts know it by. */
  readonly transactionId: string;
  readonly startedAt: number;
  readonly confirmWithinSeconds: number;
  readonly hosts: readonly RolloutHost[];
  /** Generation that was to become current, by host id. */
  readonly generations: Readonly<Record<string, string>>;
}

/** The record as the bridge shows it. */
export const rolloutOf = (record: RolloutRecord, phase: RolloutPhase): Rollout => {
  const deadlines = record.hosts.flatMap(({ state, rollbackAt }) => (state === 'pending' && rollbackAt !== null ? [rollbackAt] : []));
  return {
    rolloutId: record.rolloutId,
    planId: record.planId,
    startedAt: record.startedAt,
    confirmWithinSeconds: record.confirmWithinSeconds,
    state: stateOf(record.hosts, phase),
    hosts: record.hosts,
    rollbackAt: deadlines.length === 0 ? null : Math.min(...deadlines),
  };
};

/** 'pending' as long as one host waits for keep or undo, whatever became of the others; 'mixed' when they ended differently. */
const stateOf = (hosts: readonly RolloutHost[], phase: RolloutPhase): Rollout['state'] => {
  if (phase !== null) return phase;
  const has = (state: RolloutHost['state']): boolean => hosts.some((host) => host.state === state);
  const all = (...states: readonly RolloutHost['state'][]): boolean => hosts.every((host) => states.includes(host.state));
  if (has('waiting') || has('applying')) return 'applying';
  if (has('pending')) return 'pending';
  if (all('confirmed')) return 'confirmed';
  if (all('rolled-back')) return 'rolled-back';
  return all('failed', 'unreachable') ? 'failed' : 'mixed';
};

/** True while a host may still change by what happens to this rollout. */
export const isOpen = ({ hosts }: RolloutRecord): boolean =>
  hosts.some(({ state }) => state === 'waiting' || state === 'applying' || state === 'pending' || state === 'unreachable');

/** True while somebody has to say keep or undo, or a host is being asked. */
export const isActive = ({ hosts }: RolloutRecord): boolean =>
  hosts.some(({ state }) => state === 'waiting' || state === 'applying' || state === 'pending');

/** The record with these hosts changed. */
export const withHosts = (record: RolloutRecord, changes: ReadonlyMap<string, Partial<RolloutHost>>): RolloutRecord => ({
  ...record,
  hosts: record.hosts.map((host) => ({ ...host, ...changes.get(host.hostId) })),
});

/** After a restart nobody is asking any more: what the hosts did shows when they answer. */
export const afterRestart = (record: RolloutRecord): RolloutRecord => ({
  ...record,
  hosts: record.hosts.map((host) =>
    host.state === 'waiting' || host.state === 'applying'
      ? {
          ...host,
          state: 'unreachable',
          problem: {
            code: 'HOST_UNREACHABLE',
            message: 'The console was restarted while this host was asked. Its state is read when it answers.',
          },
        }
      : host,
  ),
});
