import { describe, expect, it } from 'vitest';
import { ConfigRevision, ConfigRevision_State } from '../../../proto/gen/nest/v1/config.ts';
import { NestError } from '../../../proto/model/error.ts';
import type { HostPlan } from '../../bridge/model.ts';
import { systemClock, systemRandom } from '../../lib/api.ts';
import type { KeptPlan } from './planner.ts';
import { RolloutBook } from './rollout-book.ts';
import type { RolloutBookOptions } from './rollout-book.ts';
import type { RolloutRecord } from './rollout.ts';

const never = new AbortController().signal;
const hosts = 300;
const hostIds = Array.from({ length: hosts }, (_, index) => `host-${String(index)}`);
const plan: KeptPlan = {
  policy: '{}',
  generations: new Map(),
  plan: {
    planId: 'plan',
    createdAt: 0,
    expiresAt: 0,
    hosts: hostIds.map((hostId) => ({ hostId, hostName: hostId, canApply: true, planHash: 'hash', baseRevision: 1 }) as HostPlan),
    replayed: 0,
    unchanged: 0,
    cut: 0,
    cutLive: 0,
    newlyAllowed: 0,
  },
};

/** Every host answers at once. */
const roster = {
  all: [],
  onReading: () => undefined,
  get: (hostId: string) => ({
    record: { hostId, name: hostId },
    client: () =>
      Promise.resolve({
        applyConfig: () =>
          Promise.resolve({
            config: ConfigRevision.fromPartial({ revision: 2n, state: ConfigRevision_State.PENDING }),
            remainingMs: 60_000,
            loadMs: 1,
          }),
        confirmConfig: () => Promise.resolve(ConfigRevision.fromPartial({ revision: 2n, state: ConfigRevision_State.CONFIRMED })),
      }),
  }),
} as unknown as RolloutBookOptions['roster'];

const openBook = () => {
  const records = new Map<string, RolloutRecord>();
  const disk = { stored: 0, isFull: false };
  const reports: string[] = [];
  const cache = {
    rollouts: () => [...records.values()],
    putRollout: (rolloutId: string, _startedAt: number, record: RolloutRecord) => {
      if (disk.isFull) throw new NestError('STATE_FAILED', 'The disk is full.');
      disk.stored += 1;
      records.set(rolloutId, structuredClone(record));
    },
  } as unknown as RolloutBookOptions['cache'];
  const report = (message: string): void => void reports.push(message);
  const book = new RolloutBook({ roster, cache, report, clock: systemClock(), random: systemRandom });
  return { book, disk, reports, stored: () => [...records.values()][0] };
};

describe('the book of rollouts', () => {
  it('stores what many hosts do together, and all of it', async () => {
    const { book, disk, stored } = openBook();
    const applied = await book.apply(plan, { confirmWithinSeconds: 60, comment: '' }, never);
    expect(applied).toMatchObject({ state: 'pending', hosts: hostIds.map(() => ({ state: 'pending', revision: 2 })) });
    expect(book.current()?.rolloutId).toBe(applied.rolloutId);
    const kept = await book.confirm(applied.rolloutId, never);
    expect(kept.state).toBe('confirmed');
    await book.close();
    expect(stored()?.hosts.every(({ state }) => state === 'confirmed')).toBe(true);
    // Three changes a host; each of them stored the whole fleet before.
    expect(disk.stored).toBeLessThan(hosts / 3);
  });

  it('begins nothing that it cannot write down, and ends what it has begun', async () => {
    const { book, disk, reports, stored } = openBook();
    disk.isFull = true;
    await expect(book.apply(plan, { confirmWithinSeconds: 60, comment: '' }, never)).rejects.toMatchObject({ code: 'STATE_FAILED' });
    expect([book.current(), stored()]).toEqual([null, undefined]);
    disk.isFull = false;
    const applied = await book.apply(plan, { confirmWithinSeconds: 60, comment: '' }, never);
    disk.isFull = true;
    expect((await book.confirm(applied.rolloutId, never)).state).toBe('confirmed');
    await book.close();
    expect(new Set(reports)).toEqual(new Set(['a rollout cannot be stored']));
  });
});
