/** Entitlement files for networks without a way to the licence server: a signed envelope whose payload is the envelope of the server, with an end. */
import { createPublicKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { z } from 'zod';
import { keyIdOf, verifyEnvelope } from '../../../proto/model/envelope.ts';
import { NestError } from '../../../proto/model/error.ts';
import type { Envelope } from '../../../proto/model/operator-signature.ts';
import type { FileTerms } from './entitlement.ts';
import { readLicenseAnswer } from './license-answer.ts';

export const entitlementPayloadType = 'nest.license-entitlement.v1';
/** Characters of a file. */
export const entitlementFileMax = 64 << 10;

const dayMs = 86_400_000;
const graceDaysDefault = 14;
const graceDaysMax = 30;
/** A file may be so much newer than this clock. */
const aheadMsMax = 48 * 3_600_000;

const fileSchema = z.object({
  payloadType: z.string().max(100),
  payload: z.base64().max(entitlementFileMax),
  signatures: z.array(z.object({ keyId: z.base64().max(64), signature: z.base64().max(200) })).max(8),
});

/** Only what concerns the file itself; the rest is read as an answer of the server. */
const payloadSchema = z.object({
  fleet_id: z.optional(z.nullable(z.string())),
  grace_days: z.optional(z.nullable(z.int().min(0).max(graceDaysMax))),
});

export interface FileContext {
  readonly publicKeys: readonly string[];
  readonly product: string;
  readonly fleetId: string;
  readonly now: number;
}

/** What the file entitles to; it may have ended. Raises LICENSE_INVALID with the reason. */
export const readEntitlementFile = (text: string, context: FileContext): FileTerms => {
  const { publicKeys, product, fleetId, now } = context;
  if (publicKeys.length === 0)
    throw refused('this build knows no key of the licence desk, so it cannot check one. Use a licence key, or a build that has one');
  const payload = jsonOf(verified(text, publicKeys));
  const own = payloadSchema.safeParse(payload);
  if (!own.success) throw refused('what is signed in it cannot be read');
  const bound = own.data.fleet_id ?? null;
  if (bound !== null && bound.toLowerCase() !== fleetId.toLowerCase()) throw refused(`it is for the fleet ${bound.slice(0, 40)}`);
  const answer = readLicenseAnswer(payload, { product, key: null });
  if (answer.kind !== 'granted') throw refused(answer.message);
  const { terms } = answer;
  if (terms.endsAt === null) throw refused('it has no end');
  if (terms.issuedAt !== null && terms.issuedAt > now + aheadMsMax)
    throw refused('it was made in the future. Check the clock of this machine');
  return { terms: { ...terms, endsAt: terms.endsAt }, graceMs: (own.data.grace_days ?? graceDaysDefault) * dayMs };
};

/** The signed bytes. */
const verified = (text: string, publicKeys: readonly string[]): Uint8Array => {
  const parsed = fileSchema.safeParse(text.length > entitlementFileMax ? null : jsonOf(text));
  if (!parsed.success) throw refused('it is no entitlement file. Copy the whole of it');
  const envelope: Envelope = {
    payloadType: parsed.data.payloadType,
    payload: Buffer.from(parsed.data.payload, 'base64'),
    signatures: parsed.data.signatures.map(({ keyId, signature }) => ({
      keyId: Buffer.from(keyId, 'base64'),
      signature: Buffer.from(signature, 'base64'),
      certificateChain: [],
    })),
  };
  const keys = new Map(publicKeys.flatMap(pinnedKey));
  let holding: ReadonlySet<string>;
  try {
    holding = verifyEnvelope(envelope, entitlementPayloadType, ({ keyId }) => keys.get(Buffer.from(keyId).toString('hex')) ?? null);
  } catch (error) {
    throw refused('it is signed for another use', error);
  }
  if (holding.size === 0) throw refused('no key of the licence desk has signed it as it is');
  return envelope.payload;
};

/** A text that is no Ed25519 key is nobody's. */
const pinnedKey = (text: string): readonly (readonly [string, KeyObject])[] => {
  try {
    const key = createPublicKey({ key: Buffer.from(text, 'base64'), format: 'der', type: 'spki' });
    return key.asymmetricKeyType === 'ed25519' ? [[keyIdOf(key).toString('hex'), key]] : [];
  } catch {
    // A mistyped test key must not keep the console from reading files of the others.
    return [];
  }
};

const jsonOf = (bytes: Uint8Array | string): unknown => {
  try {
    return JSON.parse(typeof bytes === 'string' ? bytes : Buffer.from(bytes).toString()) as unknown;
  } catch {
    // The schema refuses null and says so.
    return null;
  }
};

const refused = (reason: string, cause?: unknown): NestError =>
  new NestError('LICENSE_INVALID', `The entitlement file is not taken: ${reason}.`, cause === undefined ? {} : { cause });
