import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { entitlementOf, gatedFeatures } from './entitlement.ts';
import type { Entitlement } from './entitlement.ts';
import { fakeKey, validAnswer } from './fake-license-server.ts';
import { communityLimits, readLicenseAnswer } from './license-answer.ts';

const now = 1_750_000_000_000;
const asked = { product: 'nest', key: fakeKey };

/** What a console in the given mode makes of one answer. */
const entitle = (answer: unknown, isRelease: boolean): Entitlement => {
  const read = readLicenseAnswer(answer, asked);
  const judged = {
    keyHash: '',
    good: read.kind === 'granted' ? { terms: read.terms, at: now, skewMs: 0 } : null,
    refusal: read.kind === 'refused' ? { at: now, message: read.message } : null,
  };
  return entitlementOf({ isRelease, hasKey: true, judged, file: null, now });
};

const oneOf = (...values: readonly unknown[]) =>
  fc.oneof({ weight: 2, arbitrary: fc.constantFrom(...values) }, { weight: 1, arbitrary: fc.jsonValue() });

/** Answers near the real one, each field of it also missing or wrong. */
const nearAnswer = fc.record(
  {
    valid: oneOf(true, true, 'true', 1, false, null),
    message: oneOf('', 'revoked'),
    product: oneOf('nest', 'NEST', '', 'elder'),
    license_key: oneOf(fakeKey, fakeKey.toLowerCase(), 'PENG-AAAA-AAAA-AAAA-AAAA-AAAA', '****'),
    expires_at: oneOf(
      null,
      '',
      now + 1000,
      (now + 86_400_000) / 1000,
      new Date(now + 1000).toISOString(),
      new Date(now - 1000).toISOString(),
      'soon',
      Number.NaN,
    ),
    tier: oneOf('enterprise', 'Enterprise', 'professional', 'community', 'platinum'),
    features: oneOf(
      [{ name: 'sso', entitled: true }],
      [{ name: 'sso', entitled: 'true' }],
      [{ name: 'sso', entitled: 1 }],
      [
        { name: 'reports', entitled: true },
        { name: 'sso', entitled: false },
      ],
      { sso: true },
      ['sso'],
    ),
    limits: fc.record(
      { max_servers: oneOf(-1, 0, 10, '10', 1e300, 2.5), max_proxies: oneOf(5, -1, -7), max_clusters: oneOf(2, -1) },
      { requiredKeys: [] },
    ),
    valid_until: oneOf(null, new Date(now - 5000).toISOString()),
    max_proxies: oneOf(99, -1),
  },
  { requiredKeys: [] },
);

/** Told again from the definition: what may switch anything on. */
const grants = (answer: unknown): boolean => {
  const { valid, expires_at: end, valid_until: until, product } = answer as Record<string, unknown>;
  const named = end ?? until ?? null;
  const at =
    typeof named === 'number'
      ? named < 1e11
        ? named * 1000
        : named
      : typeof named === 'string' && named !== ''
        ? Date.parse(named)
        : null;
  const isOurs = typeof product !== 'string' || product.trim() === '' || product.trim().toLowerCase() === 'nest';
  return valid === true && isOurs && (at === null ? named === null || named === '' : at > now);
};

const isEntitled = (answer: unknown, name: string): boolean => {
  const { features } = answer as { readonly features?: unknown };
  return (
    Array.isArray(features) &&
    features.some((entry: unknown) => {
      const feature = entry as { readonly name?: unknown; readonly entitled?: unknown } | null;
      return feature?.entitled === true && typeof feature.name === 'string' && feature.name.trim().toLowerCase() === name;
    })
  );
};

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null && !Array.isArray(value);

describe('no answer of a licence server', () => {
  it('switches anything on in release mode that it does not grant by the letter', () => {
    fc.assert(
      fc.property(fc.oneof(nearAnswer, fc.jsonValue()), (answer) => {
        const { features, hostsMax, clustersMax } = entitle(answer, true);
        const isGranted = isObject(answer) && grants(answer);
        expect(features.filter((name) => !isGranted || !isEntitled(answer, name))).toEqual([]);
        if (!isGranted)
          expect({ hostsMax, clustersMax }).toEqual({ hostsMax: communityLimits.hosts, clustersMax: communityLimits.clusters });
        expect(hostsMax ?? Infinity).toBeGreaterThanOrEqual(communityLimits.hosts);
      }),
      { numRuns: 2_000 },
    );
  });

  it('switches anything off outside of release mode', () => {
    fc.assert(
      fc.property(fc.oneof(nearAnswer, fc.jsonValue()), (answer) => {
        expect(entitle(answer, false)).toMatchObject({ state: 'development', hostsMax: null, clustersMax: null, features: gatedFeatures });
      }),
      { numRuns: 300 },
    );
  });
});

describe('reading an answer', () => {
  it('takes the envelope of today', () => {
    expect(readLicenseAnswer(validAnswer(now), asked)).toEqual({
      kind: 'granted',
      terms: {
        customer: 'Test customer',
        tier: 'enterprise',
        issuedAt: now - 30 * 86_400_000,
        endsAt: now + 30 * 86_400_000,
        features: ['sso'],
        hostsMax: 10,
        clustersMax: null,
        serverId: 'srv-1',
      },
    });
  });

  it('takes the envelope of MarchProxy, and no other field for a grant', () => {
    const march = { valid: true, max_proxies: 25, valid_until: '2026-01-01T00:00:00Z', tier: 'professional' };
    expect(readLicenseAnswer(march, asked)).toMatchObject({
      terms: { hostsMax: 25, clustersMax: 1, endsAt: Date.UTC(2026, 0, 1), features: [] },
    });
    expect(readLicenseAnswer({ valid: true }, asked)).toMatchObject({ terms: { tier: 'community', hostsMax: 3, clustersMax: 1 } });
  });
});
