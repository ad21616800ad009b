import { describe, expect, it } from 'vitest';
import { entitlementOf } from './entitlement.ts';
import type { JudgedKey, LicenseFacts } from './entitlement.ts';
import { grantedAnswer } from './fake-license-server.ts';

const start = 1_750_000_000_000;
const second = 1000;
const hour = 3_600_000;
const day = 86_400_000;
const good = (part: Parameters<typeof grantedAnswer>[0] = {}, skewMs = 0): JudgedKey => ({
  keyHash: '',
  good: { terms: grantedAnswer(part).terms, at: start, skewMs },
  refusal: null,
});
const at = (now: number, part: Partial<LicenseFacts> = {}) =>
  entitlementOf({ isRelease: true, hasKey: true, judged: good(), file: null, now, ...part });
const community = { hostsMax: 3, clustersMax: 1, features: [] };
const bought = { hostsMax: 10, clustersMax: null, features: ['sso'] };

describe('a licence whose server is away', () => {
  it.each([
    [2 * hour, 'valid', bought],
    [2 * hour + second, 'grace', bought],
    [24 * hour - second, 'grace', bought],
    [24 * hour, 'grace', bought],
    [24 * hour + second, 'limited', community],
    [14 * day - second, 'limited', community],
    [14 * day, 'limited', community],
    [14 * day + second, 'lapsed', community],
  ] as const)('is after %d ms %s', (age, state, covers) => {
    expect(at(start + age)).toMatchObject({ state, ...covers });
  });

  it('ends at its own end before its grace does', () => {
    const judged = good({ endsAt: start + hour });
    expect(at(start + hour - second, { judged })).toMatchObject({ state: 'valid', until: start + hour });
    expect(at(start + hour, { judged })).toMatchObject({ state: 'expired', ...community });
  });

  it('is judged by the clock of the server that gave it', () => {
    const judged = good({ endsAt: start + 3 * day }, 2 * day);
    expect(at(start + day - second, { judged }).state).toBe('grace');
    expect(at(start + day, { judged }).state).toBe('expired');
  });
});

describe('a key', () => {
  it('is worth nothing before it was checked, and after it was refused', () => {
    expect(at(start, { judged: null })).toMatchObject({ state: 'unchecked', ...community });
    const refused: JudgedKey = { keyHash: '', good: null, refusal: { at: start, message: 'revoked' } };
    expect(at(start, { judged: refused })).toMatchObject({ state: 'invalid', ...community, notice: { severity: 'warning' } });
    expect(at(start, { hasKey: false })).toMatchObject({ state: 'community', ...community, notice: null });
  });
});

describe('an entitlement file', () => {
  const file = { terms: { ...grantedAnswer({ hostsMax: 50 }).terms, endsAt: start + 30 * day }, graceMs: 14 * day };
  it.each([
    [30 * day - second, 'valid', 50],
    [30 * day, 'limited', 3],
    [44 * day - second, 'limited', 3],
    [44 * day, 'expired', 3],
  ] as const)('is after %d ms %s', (age, state, hostsMax) => {
    expect(at(start + age, { hasKey: false, judged: null, file })).toMatchObject({ state, hostsMax, source: 'file' });
  });

  it('stands in for a server that is away, and gives way to one that is there', () => {
    expect(at(start, { file })).toMatchObject({ source: 'server', hostsMax: 10 });
    expect(at(start + 25 * hour, { file })).toMatchObject({ source: 'file', state: 'valid', hostsMax: 50 });
  });
});
