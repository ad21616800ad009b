/**
 * The chain of updates and what may follow it. Agents and consoles keep one each and take nothing that does not fit: the fleet root
 * begins an epoch, its owners sign every step, numbers never go back nor leap, and two steps of one number are a fork that stays
 * visible until a merge names both. A chain is a value: every step makes a new one.
 */
import type { KeyObject } from 'node:crypto';
import type { AccessBody } from './body.ts';
import { checkEscalation, isAlmighty } from './grant.ts';
import { bodyAfter, readUpdate, refuse, refuseUnsigned, signersOf } from './update.ts';
import type { SignedEnvelope, SignedUpdate } from './update.ts';

/** A number further ahead is an attempt to leave no number for anybody else. */
export const revisionJumpMax = 10_000;
/** Beyond it only what a newcomer needs is kept: beginnings, changes of owners, the last whole. */
export const updatesKeptMax = 512;
export const forksMax = 16;
/** Hashes remembered, by number, of updates that are not kept themselves. */
export const hashesKeptMax = 4096;
/** Every so many revisions an update is whole, so that the steps before it can be left out. */
export const checkpointEvery = 64;

export interface AccessFork {
  readonly epoch: number;
  readonly revision: number;
  /** Hashes, hex. */
  readonly kept: string;
  readonly refused: string;
  readonly envelope: SignedEnvelope;
  readonly seenAtMs: number;
}

/** Who may begin an epoch. */
export interface RootTrust {
  /** Public keys of the trusted roots. */
  readonly keys: readonly KeyObject[];
  /** SHA-256 (hex) of a beginning that a trusted root answers for: the root that signed it is not trusted any more. Empty for none. */
  readonly vouched: string;
}

export interface AccessChain {
  readonly fleetId: string;
  readonly root: RootTrust;
  /** Of the current epoch, oldest first. */
  readonly updates: readonly SignedUpdate[];
  /** Hash (hex) by revision of this epoch, also of updates that are not kept any more. */
  readonly hashes: ReadonlyMap<number, string>;
  readonly head: SignedUpdate | null;
  readonly body: AccessBody | null;
  /** Highest revision ever taken, by epoch. */
  readonly marks: ReadonlyMap<number, number>;
  readonly forks: readonly AccessFork[];
}

export interface Taken {
  readonly chain: AccessChain;
  readonly result: 'accepted' | 'known' | 'forked';
}

/** A chain that knows the fleet and nothing else. */
export const emptyChain = (fleetId: string, root: RootTrust, marks: AccessChain['marks'] = new Map()): AccessChain => ({
  fleetId,
  root,
  updates: [],
  hashes: new Map(),
  head: null,
  body: null,
  marks,
  forks: [],
});

/** True when an older state was put in the place of a newer one: what was taken once is not there any more. */
export const isRolledBack = ({ head, marks }: AccessChain): boolean =>
  [...marks].some(([epoch, mark]) => epoch > (head?.epoch ?? 0) || (epoch === head?.epoch && mark > head.revision));

/** True when the newest update is over its time, or is not the newest any more. Milliseconds. */
export const isStale = (chain: AccessChain, nowMs: number): boolean =>
  chain.head !== null && (nowMs >= chain.head.notAfterMs || isRolledBack(chain));

/** Takes one update, or says why not. Raises ACCESS_INVALID, INPUT_INVALID. */
export const takeUpdate = (chain: AccessChain, envelope: SignedEnvelope, nowMs: number): Taken => {
  const next = readUpdate(envelope, chain.fleetId);
  const { head, body } = chain;
  if (next.epoch === head?.epoch && chain.hashes.get(next.revision) === next.hash) return { chain, result: 'known' };
  if (head === null || body === null || next.epoch > head.epoch) return { chain: begin(chain, next), result: 'accepted' };
  if (next.epoch < head.epoch) throw refuse(`it is of epoch ${String(next.epoch)}, this fleet is at ${String(head.epoch)}`);
  if (next.revision === 1) return beginsTwice(chain, next, nowMs);
  checkSigners(chain, next, body);
  if (isContinuation(head, next)) return { chain: append(chain, next), result: 'accepted' };
  if (next.revision > head.revision + 1) return { chain: append(chain, next), result: 'accepted' };
  // What was left out here, or settled by a merge, is old and nothing worse.
  if (next.revision <= head.revision && (!chain.hashes.has(next.revision) || next.revision < settledBefore(chain)))
    return { chain, result: 'known' };
  return { chain: fork(chain, next, nowMs), result: 'forked' };
};

/** Steps before the last merge may differ: it names both sides. */
const settledBefore = ({ updates }: AccessChain): number => updates.findLast(isMerge)?.revision ?? 0;

/** The next number after the head, or a merge that has the head among its parents. */
const isContinuation = (head: SignedUpdate, next: SignedUpdate): boolean =>
  next.previous.includes(head.hash) && (next.revision === head.revision + 1 || (isMerge(next) && next.revision > head.revision));

const isMerge = ({ previous, isFull }: SignedUpdate): boolean => previous.length > 1 && isFull;

/** The first update of an epoch: the root answers for it, and the owners in it show that they have their keys. */
const begin = (chain: AccessChain, next: SignedUpdate): AccessChain => {
  const mark = Math.max(0, ...chain.marks.keys());
  if (next.revision !== 1 || !next.isFull) throw refuse('the updates before it are missing');
  if (next.epoch < mark) throw refuse(`it is of epoch ${String(next.epoch)}, this fleet was at ${String(mark)}`);
  if (next.epoch > Math.max(1, mark) + revisionJumpMax) throw refuse('its epoch is too far ahead');
  const body = bodyAfter(next, null);
  const { owners, root } = signersOf(next.envelope, body, chain.root.keys);
  if (!root && chain.root.vouched !== next.hash) throw refuse('the fleet root has not signed this beginning');
  if (owners.size < body.ownerThreshold) throw refuse('too few of its owners have signed it');
  const hashes = new Map([[next.revision, next.hash]]);
  return { ...chain, updates: [next], hashes, head: next, body, marks: marked(chain.marks, next), forks: [] };
};

/** Another beginning of this epoch, signed by the root, is a fork too. */
const beginsTwice = (chain: AccessChain, next: SignedUpdate, nowMs: number): Taken => {
  const body = bodyAfter(next, null);
  if (!signersOf(next.envelope, body, chain.root.keys).root) throw refuse('the fleet root has not signed this beginning');
  return { chain: fork(chain, next, nowMs), result: 'forked' };
};

/** Enough owners who are not locked out, the author among them. */
const checkSigners = (chain: AccessChain, next: SignedUpdate, body: AccessBody): void => {
  const { owners } = signersOf(next.envelope, body, chain.root.keys);
  const locked = new Set(body.locks.map(({ target }) => target));
  const signing = body.owners.filter(({ keyId, subject }) => owners.has(keyId) && !locked.has(subject));
  if (signing.length < body.ownerThreshold)
    throw refuseUnsigned(`${String(signing.length)} of the owners have signed it, ${String(body.ownerThreshold)} must`);
  if (!signing.some(({ subject }) => subject === next.author)) throw refuse('its author is not among the owners who signed it');
};

const append = (chain: AccessChain, next: SignedUpdate): AccessChain => {
  const { head, body } = chain;
  if (head === null || body === null) throw refuse('the updates before it are missing');
  if (next.revision - Math.max(head.revision, chain.marks.get(next.epoch) ?? 0) > revisionJumpMax)
    throw refuse(`its number is more than ${String(revisionJumpMax)} ahead`);
  const isNext = isContinuation(head, next);
  if (!isNext && !next.isFull) throw refuse('the updates before it are missing');
  const after = bodyAfter(next, body);
  if (!isNext && chain.forks.length > 0) throw refuse('there is a fork, and it is no merge');
  // Rights the author got in steps that are not here cannot be seen: only who may do everything may leave steps out.
  if (!isNext && !isAlmighty(body, next.author)) throw refuse('updates between are missing, and its author does not hold everything');
  checkEscalation(body, after, next.author);
  checkOwners(chain, next, { before: body, after });
  const updates = kept([...chain.updates, next]);
  const hashes = new Map([...chain.hashes, [next.revision, next.hash] as const].slice(-hashesKeptMax));
  return { ...chain, updates, hashes, head: next, body: after, marks: marked(chain.marks, next), forks: isMerge(next) ? [] : chain.forks };
};

/** New owners must have shown their keys, and enough must be left who are not locked. */
const checkOwners = (
  chain: AccessChain,
  next: SignedUpdate,
  { before, after }: { readonly before: AccessBody; readonly after: AccessBody },
): void => {
  const locked = new Set(after.locks.map(({ target }) => target));
  if (after.owners.filter(({ subject }) => !locked.has(subject)).length < after.ownerThreshold)
    throw refuse('too few owners would be left who are not locked');
  if (ownersText(before) === ownersText(after)) return;
  const { owners } = signersOf(next.envelope, after, chain.root.keys);
  if (owners.size < after.ownerThreshold) throw refuseUnsigned('too few of the new owners have signed it');
};

const ownersText = ({ owners, ownerThreshold }: AccessBody): string =>
  `${String(ownerThreshold)} ${owners.map(({ keyId, subject }) => `${keyId} ${subject}`).join(' ')}`;

const fork = (chain: AccessChain, next: SignedUpdate, nowMs: number): AccessChain => {
  if (chain.forks.length >= forksMax || chain.forks.some(({ refused }) => refused === next.hash)) return chain;
  const keptHere = chain.hashes.get(next.revision) ?? chain.head?.hash ?? '';
  const found: AccessFork = {
    epoch: next.epoch,
    revision: next.revision,
    kept: keptHere,
    refused: next.hash,
    envelope: next.envelope,
    seenAtMs: nowMs,
  };
  return { ...chain, forks: [...chain.forks, found] };
};

const marked = (marks: AccessChain['marks'], { epoch, revision }: SignedUpdate): AccessChain['marks'] =>
  new Map([...marks, [epoch, Math.max(revision, marks.get(epoch) ?? 0)]]);

/** Leaves out what nobody needs to follow the chain from its beginning, once it is long. */
const kept = (updates: readonly SignedUpdate[]): readonly SignedUpdate[] => {
  if (updates.length <= updatesKeptMax) return updates;
  const lastFull = updates.findLastIndex(({ isFull }) => isFull);
  const isNeeded = ({ isFull, revision }: SignedUpdate): boolean =>
    isFull && (revision % checkpointEvery !== 0 || revision % (checkpointEvery * checkpointEvery) === 0);
  return updates.filter((update, index) => index === 0 || index >= lastFull || isNeeded(update) || isMerge(update));
};
