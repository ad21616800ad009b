import { describe, expect, it } from 'vitest';
import { createManualClock } from '../../lib/manual-clock.ts';
import type { CachedDocument, FleetCache, HostRecord } from '../cache/fleet-cache.ts';
import { AuditWitness } from './audit-witness.ts';

const remembering = (memory: Record<string, unknown> | null): AuditWitness => {
  const cache: Pick<FleetCache, 'document'> = {
    document: <Content>() => (memory === null ? null : ({ at: 0, content: memory } as CachedDocument<Content>)),
  };
  return new AuditWitness({ cache: cache as FleetCache, clock: createManualClock(), record: () => ({ hostId: 'H' }) as HostRecord });
};
const known = { number: 7, hash: 'aa', alarm: null, acceptedBroken: 0 };

describe('what the end of a log in a status asks for', () => {
  it('is a check at once when entries were cut off or written anew, or the agent found damage', () => {
    const witness = remembering(known);
    expect(witness.wants({ number: 6, hash: 'bb', broken: 0 })).toBe('now');
    expect(witness.wants({ number: 0, hash: '', broken: 0 })).toBe('now');
    expect(witness.wants({ number: 7, hash: 'bb', broken: 0 })).toBe('now');
    expect(witness.wants({ number: 7, hash: 'aa', broken: 3 })).toBe('now');
    expect(remembering({ ...known, acceptedBroken: 3 }).wants({ number: 7, hash: 'aa', broken: 3 })).toBe('nothing');
  });

  it('is a check in its turn for entries that are new, a host that was never seen, and an agent that does not say', () => {
    expect(remembering(known).wants({ number: 8, hash: 'cc', broken: 0 })).toBe('soon');
    expect(remembering(null).wants({ number: 1, hash: 'cc', broken: 0 })).toBe('soon');
    expect(remembering(known).wants(null)).toBe('soon');
    // The alarm stands: to look again and again would not change it.
    expect(remembering({ ...known, alarm: { at: 0 } }).wants({ number: 6, hash: 'bb', broken: 0 })).toBe('soon');
  });

  it('counts as a look at the log where it confirms what is remembered', () => {
    const witness = remembering({ ...known, checkedAt: 5, gap: null });
    expect(witness.row().checkedAt).toBe(5);
    witness.confirm();
    expect(witness.row()).toMatchObject({ state: 'sound', checkedAt: 1_750_000_000_000, problem: null });
    const empty = remembering(null);
    empty.confirm();
    expect(empty.row()).toMatchObject({ state: 'unknown', checkedAt: null, problem: expect.stringContaining('empty') });
  });

  it('is nothing where the log ends as it did, or is empty and always was', () => {
    expect(remembering(known).wants({ number: 7, hash: 'aa', broken: 0 })).toBe('nothing');
    expect(remembering(null).wants({ number: 0, hash: '', broken: 0 })).toBe('nothing');
  });
});
