import { describe, expect, it } from 'vitest';
import { createManualClock } from '../../lib/manual-clock.ts';
import { createLeaseControl, leaseMs } from './lease-control.ts';

const anna = { leaseId: 'lease-0001', subject: 'spiffe://f/operator/anna', device: 'aa' };
const bert = { leaseId: 'lease-0001', subject: 'spiffe://f/operator/bert', device: 'bb' };

describe('edit leases', () => {
  it('last a minute, go on when renewed, and end when released by their holder', () => {
    const clock = createManualClock(1_000);
    const leases = createLeaseControl(clock);
    leases.hold(anna);
    clock.advance(leaseMs - 1);
    leases.hold(bert);
    leases.hold(anna);
    expect(leases.list()).toEqual([
      { ...anna, sinceMs: 1_000, expiresAtMs: 1_000 + 2 * leaseMs - 1 },
      { ...bert, sinceMs: leaseMs + 999, expiresAtMs: 1_000 + 2 * leaseMs - 1 },
    ]);
    leases.release({ ...bert, device: 'cc' });
    leases.release(anna);
    expect(leases.list()).toMatchObject([{ device: 'bb' }]);
    clock.advance(leaseMs);
    expect(leases.list()).toEqual([]);
  });

  it('are bounded, and a holder goes on all the same', () => {
    const clock = createManualClock();
    const leases = createLeaseControl(clock);
    for (let count = 0; count < 32; count++) leases.hold({ ...anna, leaseId: `lease-${String(count)}` });
    expect(() => leases.hold(bert)).toThrow(expect.objectContaining({ code: 'LIMIT_REACHED' }));
    leases.hold({ ...anna, leaseId: 'lease-3' });
    clock.advance(leaseMs);
    leases.hold(bert);
    expect(leases.list()).toHaveLength(1);
  });
});
