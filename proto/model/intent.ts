/** A change of one host, signed while the host is away: what the payload "nest.intent.v1" holds. */
import { z } from 'zod';
import { NestError } from './error.ts';
import { confirmWithinSeconds, policyBytesMax } from './limits.ts';
import { actCharactersMax, statementsSchema } from './step-up-shape.ts';

export const intentType = 'nest.intent.v1';
/** The longest an intent may wait, milliseconds. */
export const intentLifeMsMax = 7 * 86_400_000;
/** Clocks of console and host may differ by so much, milliseconds. */
export const intentClockSkewMs = 5 * 60_000;

const moment = z.int().positive();

const intentSchema = z.object({
  intentId: z.string().regex(/^[0-9A-HJKMNP-TV-Z]{26}$/),
  fleetId: z.string().max(64),
  hostId: z.string().max(64),
  /** The host must still have this revision. */
  baseRevision: z.int().nonnegative(),
  /** Above that of every intent the host has taken. */
  sequence: moment,
  notBeforeMs: moment,
  expiresAtMs: moment,
  confirmWithinSeconds: z.int().min(confirmWithinSeconds.min).max(confirmWithinSeconds.max),
  comment: z.string().max(500),
  policy: z.string().max(policyBytesMax),
  /** What its author has approved with a second factor: this change, for these hosts. */
  stepUp: z.optional(z.object({ act: z.string().max(actCharactersMax), statements: statementsSchema })),
});

export type Intent = Readonly<z.infer<typeof intentSchema>>;

/** The bytes to sign. */
export const encodeIntent = (intent: Intent): Uint8Array => new TextEncoder().encode(JSON.stringify(intent));

/** Raises INPUT_INVALID when the payload is not an intent, or one that may wait longer than 7 days. */
export const parseIntent = (payload: Uint8Array): Intent => {
  const parsed = intentSchema.safeParse(jsonOf(payload));
  if (!parsed.success)
    throw new NestError('INPUT_INVALID', 'The signed document is not an intent. Upgrade the console that made it.', {
      cause: parsed.error,
    });
  const { notBeforeMs, expiresAtMs } = parsed.data;
  if (expiresAtMs <= notBeforeMs || expiresAtMs - notBeforeMs > intentLifeMsMax)
    throw new NestError('INPUT_INVALID', 'An intent may wait seven days at most. Sign it anew with a shorter time.');
  return parsed.data;
};

const jsonOf = (payload: Uint8Array): unknown => {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload)) as unknown;
  } catch {
    return undefined;
  }
};
