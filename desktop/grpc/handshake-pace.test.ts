import { describe, expect, it } from 'vitest';
import { createHandshakePace } from './handshake-pace.ts';
import { connectPlaceMs, connectPlaceMsMax, helloTimeoutMs, helloTimeoutMsMax } from './wire-limits.ts';

describe('the pace of handshakes', () => {
  it('is short while hosts answer at once, whatever a single one takes', () => {
    const pace = createHandshakePace();
    expect([pace.placeMs, pace.timeoutMs]).toEqual([connectPlaceMs, helloTimeoutMs]);
    for (let count = 0; count < 100; count += 1) pace.took(20);
    pace.took(1_500);
    expect([pace.placeMs, pace.timeoutMs]).toEqual([connectPlaceMs, helloTimeoutMs]);
  });

  it('gives all of them time when all are slow, within limits, and is short again afterwards', () => {
    const pace = createHandshakePace();
    for (let count = 0; count < 40; count += 1) pace.took(3_000);
    expect(pace.placeMs).toBe(connectPlaceMsMax);
    expect(pace.timeoutMs).toBeGreaterThan(11_000);
    for (let count = 0; count < 40; count += 1) pace.took(60_000);
    expect(pace.timeoutMs).toBe(helloTimeoutMsMax);
    for (let count = 0; count < 100; count += 1) pace.took(10);
    expect([pace.placeMs, pace.timeoutMs]).toEqual([connectPlaceMs, helloTimeoutMs]);
  });
});
