/**
 * The answer of the licence server, read with tolerance for what is missing, misspelt or new, and with none for what would give more
 * than was bought: only `valid: true` grants, only `entitled: true` turns a feature on, a limit that cannot be read is Community's.
 */
import { isLicenseKey } from './license-key.ts';

export const communityLimits = { hosts: 3, clusters: 1 } as const;

export type LicenseTier = 'community' | 'professional' | 'enterprise';

export interface LicenseTerms {
  readonly customer: string;
  readonly tier: LicenseTier;
  /** Milliseconds since the Unix epoch; null = not said. */
  readonly issuedAt: number | null;
  /** Null = no end was named. */
  readonly endsAt: number | null;
  /** Names of the features that are entitled, lower case, at most 256. */
  readonly features: readonly string[];
  /** Null = unlimited. */
  readonly hostsMax: number | null;
  readonly clustersMax: number | null;
  /** Name by which the licence server knows this installation. */
  readonly serverId: string | null;
}

/** unreadable: no answer to go by, as if the server had not been there. */
export type LicenseAnswer =
  | { readonly kind: 'granted'; readonly terms: LicenseTerms }
  | { readonly kind: 'refused'; readonly message: string }
  | { readonly kind: 'unreadable'; readonly message: string };

const featuresMax = 256;
const textMax = 200;

/** Reads the JSON of an answer. `asked`: what the question was about; an answer about something else grants nothing. */
export const readLicenseAnswer = (json: unknown, asked: { readonly product: string; readonly key: string | null }): LicenseAnswer => {
  const answer = objectOf(json);
  if (answer === null) return { kind: 'unreadable', message: 'its answer is not a JSON object' };
  if (answer['valid'] === false) return { kind: 'refused', message: textOf(answer['message']) || 'it says that the licence is not valid' };
  if (answer['valid'] !== true) return { kind: 'unreadable', message: 'its answer does not say whether the licence is valid' };
  const product = textOf(answer['product']);
  if (product !== '' && product.toLowerCase() !== asked.product.toLowerCase())
    return { kind: 'refused', message: `the licence is for ${product}, not for ${asked.product}` };
  const key = textOf(answer['license_key']).toUpperCase();
  if (asked.key !== null && isLicenseKey(key) && key !== asked.key) return { kind: 'refused', message: 'the answer is about another key' };
  const endsAt = timeOf(answer['expires_at'] ?? answer['valid_until']);
  if (endsAt === undefined) return { kind: 'unreadable', message: 'the end of the licence cannot be read' };
  return { kind: 'granted', terms: termsOf(answer, endsAt) };
};

const termsOf = (answer: Record<string, unknown>, endsAt: number | null): LicenseTerms => {
  const limits = objectOf(answer['limits']) ?? {};
  const tier = tierOf(answer['tier']);
  const hosts = limitOf(limits['max_proxies']) ?? limitOf(limits['max_servers']) ?? limitOf(answer['max_proxies']);
  // The envelope of today has no word for clusters: an enterprise licence is for as many as it has hosts for.
  const clusters = limitOf(limits['max_clusters']) ?? (tier === 'enterprise' ? 'unlimited' : undefined);
  return {
    customer: textOf(answer['customer']),
    tier,
    issuedAt: timeOf(answer['issued_at']) ?? null,
    endsAt,
    features: featuresOf(answer['features']),
    hostsMax: atLeast(hosts, communityLimits.hosts),
    clustersMax: atLeast(clusters, communityLimits.clusters),
    serverId: textOf(objectOf(answer['metadata'])?.['server_id']) || null,
  };
};

const objectOf = (value: unknown): Record<string, unknown> | null =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null;

/** Shown to people and never obeyed. */
const textOf = (value: unknown): string =>
  typeof value === 'string'
    ? value
        .replaceAll(/\p{Cc}/gu, ' ')
        .trim()
        .slice(0, textMax)
    : '';

const tierOf = (value: unknown): LicenseTier => {
  const tier = textOf(value).toLowerCase();
  return tier === 'professional' || tier === 'enterprise' ? tier : 'community';
};

/** Null when nothing was said; undefined for what is no time. Numbers are seconds, or milliseconds when they are large. */
const timeOf = (value: unknown): number | null | undefined => {
  if (value === undefined || value === null || value === '') return null;
  const ms = typeof value === 'number' ? (value < 1e11 ? value * 1000 : value) : typeof value === 'string' ? Date.parse(value) : Number.NaN;
  return Number.isFinite(ms) ? Math.round(ms) : undefined;
};

/** -1 is unlimited; what is no count at all is undefined. */
const limitOf = (value: unknown): number | 'unlimited' | undefined => {
  const count = typeof value === 'string' && /^-?\d{1,15}$/.test(value.trim()) ? Number(value) : value;
  if (typeof count !== 'number' || !Number.isSafeInteger(count) || count < -1) return undefined;
  return count === -1 ? 'unlimited' : count;
};

/** Nobody gets less than without a licence. */
const atLeast = (limit: number | 'unlimited' | undefined, floor: number): number | null =>
  limit === 'unlimited' ? null : Math.max(limit ?? 0, floor);

const featuresOf = (value: unknown): readonly string[] => {
  if (!Array.isArray(value)) return [];
  const entitled = value.slice(0, featuresMax).flatMap((entry: unknown) => {
    const feature = objectOf(entry);
    const name = textOf(feature?.['name']).toLowerCase();
    return feature?.['entitled'] === true && name !== '' ? [name] : [];
  });
  return [...new Set(entitled)];
};
