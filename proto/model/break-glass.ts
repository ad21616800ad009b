/**
 * Break-glass grants: an owner's sealed key, taken out of a safe, lets one operator or one device do everything on one host or cluster
 * for at most an hour. Made without a network, checked by each host against the owners it knows, and loud: what the payload
 * "nest.break-glass.v1" holds.
 */
import { z } from 'zod';
import type { SignedEnvelope } from '../gen/nest/v1/envelope.ts';
import { ownerKey } from './access/body.ts';
import type { AccessBody } from './access/body.ts';
import { coversLevel, parseLevel } from './access/level.ts';
import { sealEnvelope, verifyEnvelope } from './envelope.ts';
import type { EnvelopeSigner } from './envelope.ts';
import { NestError } from './error.ts';
import { clockSkewMsMax } from './step-up.ts';

export const breakGlassType = 'nest.break-glass.v1';
/** The longest a grant may hold, milliseconds. */
export const breakGlassLifeMs = 60 * 60_000;
export const breakGlassReasonMax = 200;

const grantSchema = z.object({
  grantId: z.string().regex(/^[0-9A-HJKMNP-TV-Z]{26}$/),
  fleetId: z.string().max(64),
  /** "operator/ada", or "device/<SHA-256 of its public key in hex>". */
  holder: z.string().regex(/^(operator\/[A-Za-z0-9._@+-]{1,128}|device\/[0-9a-f]{64})$/),
  /** "cluster/<id>" or "host/<agent id>". */
  level: z.string().max(80),
  reason: z.string().min(1).max(breakGlassReasonMax),
  notBeforeMs: z.int().positive(),
  expiresAtMs: z.int().positive(),
});
export type BreakGlassGrant = Readonly<z.infer<typeof grantSchema>>;

/** The grant with the signatures of these owners. */
export const sealGrant = (grant: BreakGlassGrant, owners: readonly EnvelopeSigner[]): SignedEnvelope =>
  sealEnvelope(breakGlassType, new TextEncoder().encode(JSON.stringify(grant)), owners);

/** Reads without believing. Raises INPUT_INVALID. */
export const readGrant = ({ payload }: Pick<SignedEnvelope, 'payload'>): BreakGlassGrant => {
  try {
    return grantSchema.parse(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload)));
  } catch (error) {
    throw new NestError('INPUT_INVALID', 'This is no break-glass grant. Copy it again, whole.', { cause: error });
  }
};

export interface GrantExpectation {
  readonly fleetId: string;
  readonly agentId: string;
  readonly nowMs: number;
  /** "operator/ada" */
  readonly subject: string;
  /** SHA-256 of the device's public key, hex. */
  readonly device: string;
}

/**
 * The grant, when the owners in `body` have signed it and it is for this caller, this host and now. Raises INPUT_INVALID, ACCESS_INVALID,
 * SCOPE_MISSING, REVOKED, SESSION_INVALID when its time is over, CLOCK_SKEWED.
 */
export const checkGrant = (envelope: SignedEnvelope, body: AccessBody, expected: GrantExpectation): BreakGlassGrant => {
  const locked = new Set(body.locks.map(({ target }) => target));
  const keys = new Map(body.owners.filter(({ subject }) => !locked.has(subject)).map(({ keyId, publicKey }) => [keyId, publicKey]));
  const holding = verifyEnvelope(envelope, breakGlassType, ({ keyId }) => {
    const bytes = keys.get(Buffer.from(keyId).toString('hex'));
    return bytes === undefined ? null : ownerKey(bytes);
  });
  if (holding.size < body.ownerThreshold)
    throw new NestError(
      'ACCESS_INVALID',
      `The grant is refused: ${String(holding.size)} of the owners have signed it, ${String(body.ownerThreshold)} must. Let another owner add a signature.`,
    );
  const grant = readGrant(envelope);
  checkTarget(grant, body, expected);
  if (locked.has(expected.subject) || locked.has(`device/${expected.device}`))
    throw new NestError(
      'REVOKED',
      'You or this device are locked out of the fleet. A grant does not change that; ask an owner of the fleet.',
    );
  const { notBeforeMs, expiresAtMs } = grant;
  if (expiresAtMs <= notBeforeMs || expiresAtMs - notBeforeMs > breakGlassLifeMs)
    throw new NestError('ACCESS_INVALID', 'The grant is refused: it would hold for longer than an hour. Make it again.');
  if (expected.nowMs >= expiresAtMs) throw new NestError('SESSION_INVALID', 'The time of this grant is over. Make a new one.');
  if (expected.nowMs < notBeforeMs - clockSkewMsMax)
    throw new NestError('CLOCK_SKEWED', 'The grant is from the future by the clock of this host. Set both clocks.');
  return grant;
};

const checkTarget = ({ fleetId, holder, level: text }: BreakGlassGrant, body: AccessBody, expected: GrantExpectation): void => {
  if (fleetId !== expected.fleetId) throw new NestError('FLEET_MISMATCH', 'The grant is for another fleet.');
  if (holder !== expected.subject && holder !== `device/${expected.device}`)
    throw new NestError('SCOPE_MISSING', `The grant is for ${holder}, not for you.`);
  const level = parseLevel(text);
  const members = new Map(body.clusters.map(({ id, agentIds }) => [id, new Set(agentIds)]));
  const isHere = level !== null && level.kind !== '*' && coversLevel(level, { kind: 'host', id: expected.agentId }, members);
  if (!isHere) throw new NestError('SCOPE_MISSING', `The grant is for ${text}, which is not this host.`);
};
