/** What was learnt about the licence, sealed by the vault: an edited or copied cache is worth nothing. */
import { z } from 'zod';
import type { RandomBytes } from '../../lib/api.ts';
import type { FleetCache } from '../cache/fleet-cache.ts';
import { openValue, sealValue } from '../vault/sealed-value.ts';
import type { JudgedKey } from './entitlement.ts';

const valueName = 'license';
const label = 'nest licence memory 1';

const termsSchema = z.strictObject({
  customer: z.string(),
  tier: z.enum(['community', 'professional', 'enterprise']),
  issuedAt: z.nullable(z.number()),
  endsAt: z.nullable(z.number()),
  features: z.array(z.string()),
  hostsMax: z.nullable(z.number()),
  clustersMax: z.nullable(z.number()),
  serverId: z.nullable(z.string()),
});
const memorySchema = z.strictObject({
  seenAt: z.number(),
  judged: z.nullable(
    z.strictObject({
      keyHash: z.string(),
      good: z.nullable(z.strictObject({ terms: termsSchema, at: z.number(), skewMs: z.number() })),
      refusal: z.nullable(z.strictObject({ at: z.number(), message: z.string() })),
    }),
  ),
  tried: z.nullable(z.strictObject({ at: z.number(), code: z.nullable(z.string()), message: z.string() })),
  file: z.nullable(z.string()),
});

export interface LicenseMemory {
  /** The latest time that was ever seen: a clock that is set back gains nothing. */
  readonly seenAt: number;
  readonly judged: JudgedKey | null;
  /** The last call; code null = it was answered. */
  readonly tried: { readonly at: number; readonly code: string | null; readonly message: string } | null;
  /** Text of the entitlement file; its signature is checked each time. */
  readonly file: string | null;
}

export interface LicenseStore {
  /** What was kept; empty when there is nothing, or when it does not open. */
  read(): LicenseMemory;
  write(memory: LicenseMemory): void;
}

/** Nothing was learnt yet. */
export const emptyMemory: LicenseMemory = { seenAt: 0, judged: null, tried: null, file: null };

/** A store in the cache under the seal of the vault. Raises STATE_FAILED. */
export const createLicenseStore = (cache: FleetCache, seal: string, random: RandomBytes): LicenseStore => ({
  read: () => {
    const parsed = memorySchema.safeParse(openValue(label, cache.value(valueName), seal));
    return parsed.success ? parsed.data : emptyMemory;
  },
  write: (memory) => cache.putValue(valueName, sealValue({ label, value: memory }, seal, random)),
});
