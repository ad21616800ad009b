/**
 * What the licence allows now: a pure function of what was learnt and of the time. It knows three things that may be refused (another
 * host, another cluster, setting up single sign-on) and nothing else: enforcement, roll back, access and audit are not asked for here.
 */
import type { LicenseState } from '../../bridge/model.ts';
import { communityLimits } from './license-answer.ts';
import type { LicenseTerms } from './license-answer.ts';

/** Younger than this, an answer counts as just given. */
export const freshMs = 2 * 3_600_000;
/** So long the last good answer counts in full. */
export const graceMs = 24 * 3_600_000;
/** So long it keeps what is set up; new hosts and changes are for Community only. */
export const lapseMs = 14 * 86_400_000;

export const gatedFeatures = ['sso'] as const;
export type GatedFeature = (typeof gatedFeatures)[number];

/** What the server said to one key. A refusal takes the place of what was good. */
export interface JudgedKey {
  readonly keyHash: string;
  /** skewMs: how far the server's clock was ahead of ours. */
  readonly good: { readonly terms: LicenseTerms; readonly at: number; readonly skewMs: number } | null;
  readonly refusal: { readonly at: number; readonly message: string } | null;
}

/** An entitlement file whose signature holds. */
export interface FileTerms {
  readonly terms: LicenseTerms & { readonly endsAt: number };
  readonly graceMs: number;
}

/** What of a limited kind is used now. */
export interface LicenseUse {
  readonly hosts: number;
  readonly clusters: ReadonlySet<string>;
}

export interface LicenseFacts {
  readonly isRelease: boolean;
  readonly hasKey: boolean;
  /** Of this key. */
  readonly judged: JudgedKey | null;
  readonly file: FileTerms | null;
  /** Milliseconds since the Unix epoch; the caller sees to it that it never goes back. */
  readonly now: number;
}

export interface Entitlement {
  readonly state: LicenseState;
  readonly source: 'server' | 'file' | 'none';
  readonly terms: LicenseTerms | null;
  /** Null = unlimited. */
  readonly hostsMax: number | null;
  readonly clustersMax: number | null;
  readonly features: readonly GatedFeature[];
  /** When the state gets worse by itself; null = not by time alone. */
  readonly until: number | null;
  readonly notice: { readonly severity: 'info' | 'warning'; readonly message: string } | null;
}

/** Never raises. Outside of release mode everything is on, whatever was learnt. */
export const entitlementOf = (facts: LicenseFacts): Entitlement => {
  if (!facts.isRelease)
    return {
      state: 'development',
      source: 'none',
      terms: facts.judged?.good?.terms ?? facts.file?.terms ?? null,
      hostsMax: null,
      clustersMax: null,
      features: gatedFeatures,
      until: null,
      notice: null,
    };
  const fromServer = facts.hasKey ? byServer(facts) : null;
  const fromFile = facts.file === null ? null : byFile(facts.file, facts.now);
  const candidates = [fromServer, fromFile].filter((candidate) => candidate !== null);
  return (
    candidates.toSorted((left, right) => rankOf(left) - rankOf(right))[0] ?? community('community', 'none', { terms: null, notice: null })
  );
};

/** The better first; of equals the server's. */
const rankOf = ({ state }: Entitlement): number => {
  const rank = ['valid', 'grace', 'limited'].indexOf(state);
  return rank === -1 ? 3 : rank;
};

const byServer = ({ judged, now }: LicenseFacts): Entitlement => {
  const good = judged?.good ?? null;
  if (judged?.refusal !== undefined && judged.refusal !== null)
    return community('invalid', 'server', {
      terms: null,
      notice: `The licence server refuses the key: ${judged.refusal.message}. ${asCommunity}`,
    });
  if (good === null)
    return community('unchecked', 'server', {
      terms: null,
      notice: `The key has not been checked yet: the licence server did not answer. ${asCommunity}`,
    });
  const { terms, at, skewMs } = good;
  const endsAt = terms.endsAt === null ? Number.POSITIVE_INFINITY : terms.endsAt - skewMs;
  if (endsAt <= now) return community('expired', 'server', { terms, notice: `The licence has ended. ${asCommunity}` });
  const age = Math.max(0, now - at);
  const until = (limit: number): number => Math.min(at + limit, endsAt);
  if (age <= freshMs) return full('valid', 'server', { terms, until: until(freshMs), notice: null });
  if (age <= graceMs) {
    const notice = 'The licence server has not answered for a while. Everything is as it was until a day has passed.';
    return full('grace', 'server', { terms, until: until(graceMs), notice });
  }
  if (age <= lapseMs) {
    const notice =
      'The licence server has not answered for more than a day: what is set up goes on, new hosts are counted as without a licence.';
    return { ...community('limited', 'server', { terms, notice }), until: until(lapseMs) };
  }
  return community('lapsed', 'server', { terms, notice: `The licence server has not answered for two weeks. ${asCommunity}` });
};

const byFile = ({ terms, graceMs: fileGraceMs }: FileTerms, now: number): Entitlement => {
  if (now < terms.endsAt) return full('valid', 'file', { terms, until: terms.endsAt, notice: null });
  if (now < terms.endsAt + fileGraceMs) {
    const notice = 'The entitlement file has ended: what is set up goes on, new hosts are counted as without a licence. Import a new file.';
    return { ...community('limited', 'file', { terms, notice }), until: terms.endsAt + fileGraceMs };
  }
  return community('expired', 'file', { terms, notice: `The entitlement file has ended. Import a new one. ${asCommunity}` });
};

const asCommunity = 'New hosts are counted as without a licence; everything that runs goes on.';

const full = (
  state: LicenseState,
  source: 'server' | 'file',
  { terms, until, notice }: { readonly terms: LicenseTerms; readonly until: number; readonly notice: string | null },
): Entitlement => ({
  state,
  source,
  terms,
  hostsMax: terms.hostsMax,
  clustersMax: terms.clustersMax,
  features: gatedFeatures.filter((feature) => terms.features.includes(feature)),
  until: Number.isFinite(until) ? until : null,
  notice: notice === null ? null : { severity: 'warning', message: notice },
});

const community = (
  state: LicenseState,
  source: Entitlement['source'],
  { terms, notice }: { readonly terms: LicenseTerms | null; readonly notice: string | null },
): Entitlement => ({
  state,
  source,
  terms,
  hostsMax: communityLimits.hosts,
  clustersMax: communityLimits.clusters,
  features: [],
  until: null,
  notice: notice === null ? null : { severity: 'warning', message: notice },
});
