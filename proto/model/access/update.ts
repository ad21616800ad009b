/** One signed step of an access bundle: made by owners, read by everybody. */
import type { KeyObject } from 'node:crypto';
import { AccessUpdate } from '../../gen/nest/v1/access.ts';
import type { AccessDelta } from '../../gen/nest/v1/access.ts';
import type { SignedEnvelope } from '../../gen/nest/v1/envelope.ts';
import { keyIdOf, sealEnvelope, verifyEnvelope } from '../envelope.ts';
import type { EnvelopeSigner } from '../envelope.ts';
import { NestError } from '../error.ts';
import { applyDelta, checkBody, decodeBody, encodeBody, hashOf, ownerKey } from './body.ts';
import type { AccessBody } from './body.ts';

export type { SignedEnvelope } from '../../gen/nest/v1/envelope.ts';

export const accessUpdateType = 'nest.access-update.v1';
const dayMs = 86_400_000;
/** How long writes go on without a newer update, unless its author says otherwise, milliseconds. */
export const updateLifeMs = 30 * dayMs;
const updateLifeMsMax = 366 * dayMs;
const previousMax = 4;

/** An update as it was signed, with the hash that names it. */
export interface SignedUpdate {
  readonly envelope: SignedEnvelope;
  /** SHA-256 of the payload, lower-case hex. */
  readonly hash: string;
  readonly epoch: number;
  readonly revision: number;
  readonly previous: readonly string[];
  readonly issuedAtMs: number;
  readonly notAfterMs: number;
  readonly author: string;
  readonly isFull: boolean;
  readonly update: AccessUpdate;
}

/** Reads without believing: signatures are checked by the chain. Raises ACCESS_INVALID. */
export const readUpdate = (envelope: SignedEnvelope, fleetId: string): SignedUpdate => {
  let update: AccessUpdate;
  try {
    update = AccessUpdate.decode(envelope.payload);
  } catch (error) {
    throw refuse('it cannot be read', error);
  }
  if (update.fleetId !== fleetId) throw refuse('it is for another fleet');
  const [epoch, revision] = [numberOf(update.epoch, 'epoch'), numberOf(update.revision, 'number')];
  const [issuedAtMs, notAfterMs] = [numberOf(update.issuedAtMs, 'time'), numberOf(update.notAfterMs, 'end')];
  if (notAfterMs <= issuedAtMs || notAfterMs - issuedAtMs > updateLifeMsMax) throw refuse('it would hold for no time, or for over a year');
  if (update.previousHashes.length > previousMax || update.previousHashes.some(({ length }) => length !== 32))
    throw refuse('what it follows is not named by SHA-256');
  return {
    envelope,
    hash: hashOf(envelope.payload).toString('hex'),
    epoch,
    revision,
    previous: update.previousHashes.map((hash) => hash.toString('hex')),
    issuedAtMs,
    notAfterMs,
    author: update.author,
    isFull: update.change?.$case === 'full',
    update,
  };
};

/** The body an update leads to, checked. `before` is null where a full one is needed. Raises ACCESS_INVALID. */
export const bodyAfter = ({ update }: SignedUpdate, before: AccessBody | null): AccessBody => {
  const { change } = update;
  if (change === undefined) throw refuse('it changes nothing');
  if (change.$case === 'full') {
    if (!hashOf(change.value).equals(update.bodyHash)) throw refuse('its content is not the one it names');
    const body = decodeBody(change.value);
    checkBody(body);
    return body;
  }
  if (before === null) throw refuse('it is a part, and the whole before it is missing');
  const { owners = [], ownerThreshold = 0, dangerousScopes = [], stepUpRequired = false } = change.value.put ?? {};
  if (owners.length > 0 || ownerThreshold > 0 || dangerousScopes.length > 0 || stepUpRequired)
    throw refuse('owners change in whole updates only');
  const body = applyDelta(before, change.value);
  checkBody(body);
  if (!hashOf(encodeBody(body)).equals(update.bodyHash)) throw refuse('it does not lead to the content it names');
  return body;
};

/** Key ids (hex) of the owners of `body` whose signatures hold, and whether a root of the fleet signed. Raises INPUT_INVALID. */
export const signersOf = (
  envelope: SignedEnvelope,
  body: AccessBody,
  rootKeys: readonly KeyObject[],
): { readonly owners: ReadonlySet<string>; readonly root: boolean } => {
  const roots = new Map(rootKeys.map((key) => [keyIdOf(key).toString('hex'), key]));
  const keys = new Map(body.owners.map(({ keyId, publicKey }) => [keyId, publicKey]));
  const held = verifyEnvelope(envelope, accessUpdateType, ({ keyId }) => {
    const id = Buffer.from(keyId).toString('hex');
    const root = roots.get(id);
    if (root !== undefined) return root;
    const bytes = keys.get(id);
    return bytes === undefined ? null : ownerKey(bytes);
  });
  return { owners: new Set([...held].filter((id) => keys.has(id))), root: [...held].some((id) => roots.has(id)) };
};

export interface UpdateDraft {
  readonly fleetId: string;
  readonly epoch: number;
  readonly revision: number;
  /** Hex; empty where an epoch begins, two at a merge. */
  readonly previous: readonly string[];
  readonly issuedAtMs: number;
  readonly lifeMs?: number;
  readonly author: string;
  /** What it leads to. */
  readonly body: AccessBody;
  /** The steps instead of the whole; they must lead to `body`. */
  readonly delta?: AccessDelta;
}

/** Makes and signs an update. Raises ACCESS_INVALID when nobody would take its content. */
export const sealUpdate = (draft: UpdateDraft, signers: readonly EnvelopeSigner[]): SignedEnvelope => {
  checkBody(draft.body);
  const encoded = encodeBody(draft.body);
  const payload = AccessUpdate.encode({
    fleetId: draft.fleetId,
    epoch: BigInt(draft.epoch),
    revision: BigInt(draft.revision),
    previousHashes: draft.previous.map((hash) => Buffer.from(hash, 'hex')),
    issuedAtMs: BigInt(Math.round(draft.issuedAtMs)),
    notAfterMs: BigInt(Math.round(draft.issuedAtMs + (draft.lifeMs ?? updateLifeMs))),
    bodyHash: hashOf(encoded),
    author: draft.author,
    change: draft.delta === undefined ? { $case: 'full', value: encoded } : { $case: 'delta', value: draft.delta },
  }).finish();
  return sealEnvelope(accessUpdateType, payload, signers);
};

const numberOf = (value: bigint, what: string): number => {
  if (value > 0n && value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value);
  throw refuse(`its ${what} is not one that can be`);
};

/** The refusal of an update; the reason completes "it is refused: ...". */
export const refuse = (reason: string, cause?: unknown): NestError => new NestError('ACCESS_INVALID', refusalText(reason), { cause });

/** The same when only signatures are missing: other owners may add theirs. */
export const refuseUnsigned = (reason: string): NestError =>
  new NestError('ACCESS_INVALID', refusalText(reason), { details: { missing: 'signatures' } });

const refusalText = (reason: string): string =>
  `The update of the access bundle is refused: ${reason}. Fetch the newest bundle, then make the change again.`;
