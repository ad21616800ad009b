/** What one console and one host say to each other about access bundles. */
import type { AccessHead } from '../../../proto/gen/nest/v1/access.ts';
import { emptyChain, takeUpdate } from '../../../proto/model/access/chain.ts';
import type { AccessChain } from '../../../proto/model/access/chain.ts';
import { errorCodeOf } from '../../../proto/model/error.ts';
import type { SignedEnvelope } from '../../../proto/model/access/update.ts';
import type { AgentClient } from '../../grpc/api.ts';
import { isCancelled, withGrace } from '../../lib/api.ts';
import type { Clock } from '../../lib/api.ts';
import type { ManagedHost } from '../hosts/managed-host.ts';
import type { AccessBook } from './access-book.ts';

/** As agents take them. */
const updatesPerPush = 64;
/** One message holds less than 4 MB; an update alone is smaller than that. */
const pushBytesMax = 2 << 20;
/** Answers of one host to one pull: more updates than that come with the next. */
const pullsMax = 64;
/** A push that is out when the session closes, or its caller gives up, may take so long to end, milliseconds. */
const pushFinishMs = 2_000;

/** All a host has, as a chain of its own. */
export const chainOfHost = async (host: ManagedHost, { fleetId, root, head }: AccessChain, signal: AbortSignal): Promise<AccessChain> => {
  const client = await host.client(signal);
  let chain = emptyChain(fleetId, root);
  for (let pulls = 0; pulls < pullsMax; pulls += 1) {
    const after = { epoch: head?.epoch ?? 0, afterRevision: chain.head?.revision ?? 0 };
    const { updates, more } = await client.accessUpdates(after, { signal });
    chain = updates.reduce((at, envelope) => takeUpdate(at, envelope, 0).chain, chain);
    if (!more) break;
  }
  return chain;
};

export interface ExchangeOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

export interface Exchanged {
  /** Of the host, afterwards. */
  readonly head: AccessHead;
  /** Hash of the bundle it was offered. */
  readonly offered: string;
}

/** Asks, pulls, then pushes. Raises what the host says. */
export const exchange = async (client: AgentClient, book: AccessBook, options: ExchangeOptions): Promise<Exchanged> => {
  const { signal } = options;
  let head = await client.accessHead({ signal });
  if (hashOf(head) === book.chain.head?.hash && head.forks.length === 0) return { head, offered: hashOf(head) };
  // The other side of a fork is evidence for everybody.
  takeEach(
    book,
    head.forks.flatMap(({ refused }) => refused ?? []),
  );
  await pull(client, book, { head, signal });
  const { chain } = book;
  const offered = chain.head?.hash ?? '';
  if (chain.head === null || hashOf(head) === offered) return { head, offered };
  const wanted = missingOf(book, head);
  try {
    for (const batch of batchesOf(wanted)) head = await push(client, batch, options);
    return { head, offered };
  } catch (error) {
    // A fork is no failure of the exchange: the host shows it now, and so do we.
    head = await client.accessHead({ signal });
    if (head.forks.length === 0) throw error;
    return { head, offered };
  }
};

/**
 * Pushes what is new since a revision of ours that the host has, without a question before: a lock should not wait for one. Null when there
 * is nothing new, or when the host did not get up to date by it. Raises CANCELLED.
 */
export const pushSince = async (
  client: AgentClient,
  book: AccessBook,
  { revision, ...options }: ExchangeOptions & { readonly revision: number },
): Promise<Exchanged | null> => {
  const { chain } = book;
  const offered = chain.head?.hash ?? '';
  const wanted = chain.updates.filter((update) => update.revision > revision).map(({ envelope }) => envelope);
  let head: AccessHead | null = null;
  try {
    for (const batch of batchesOf(wanted)) head = await push(client, batch, options);
  } catch (error) {
    if (isCancelled(error)) throw error;
    // Why, the whole exchange finds out.
    return null;
  }
  return head !== null && head.forks.length === 0 && hashOf(head) === offered ? { head, offered } : null;
};

/** Not cut off with what is around it: the host would write down that it began, and not how it ended. */
const push = (client: AgentClient, updates: readonly SignedEnvelope[], { clock, signal }: ExchangeOptions): Promise<AccessHead> =>
  withGrace({ clock, graceMs: pushFinishMs, signal }, (lasting) => client.pushAccessUpdates(updates, { signal: lasting }));

/** Updates in messages that a host takes, in order. */
const batchesOf = (updates: readonly SignedEnvelope[]): readonly (readonly SignedEnvelope[])[] => {
  const batches: SignedEnvelope[][] = [];
  let bytes = 0;
  for (const update of updates) {
    const last = batches.at(-1);
    bytes += update.payload.length;
    if (last === undefined || last.length >= updatesPerPush || bytes > pushBytesMax) {
      batches.push([update]);
      bytes = update.payload.length;
    } else last.push(update);
  }
  return batches;
};

/** What the host has and we have not. A fork among it is noted in the book; updates that do not hold are the host's problem, not ours. */
const pull = async (
  client: AgentClient,
  book: AccessBook,
  { head, signal }: { readonly head: AccessHead; readonly signal: AbortSignal },
): Promise<void> => {
  const epoch = Number(head.epoch);
  const own = book.chain.head;
  if (epoch === 0 || epoch < (own?.epoch ?? 0)) return;
  const { hashes } = book.chain;
  if (epoch === own?.epoch && hashes.get(Number(head.revision)) === hashOf(head)) return;
  // From where both may have parted: our number when the host is ahead, else one before its own.
  let after = epoch === own?.epoch ? Math.max(0, Math.min(own.revision, Number(head.revision) - 1)) : 0;
  for (let pulls = 0; pulls < pullsMax; pulls += 1) {
    const { updates, more } = await client.accessUpdates({ epoch, afterRevision: after }, { signal });
    const known = book.chain.head;
    takeEach(book, updates);
    after = book.chain.head?.revision ?? 0;
    if (!more || known === book.chain.head) return;
  }
};

/** One by one, so that what does not fit here does not hide what does. */
const takeEach = (book: AccessBook, envelopes: readonly SignedEnvelope[]): void => {
  for (const envelope of envelopes) {
    try {
      book.take([envelope]);
    } catch (error) {
      // A host may keep what nobody else would take: it is told so when it gets ours.
      if (errorCodeOf(error) !== 'ACCESS_INVALID' && errorCodeOf(error) !== 'INPUT_INVALID') throw error;
    }
  }
};

/** Our updates from where the host stands on, or all of them when its last is not one of ours. */
const missingOf = (book: AccessBook, head: AccessHead): readonly SignedEnvelope[] => {
  const { chain } = book;
  const isSameEpoch = Number(head.epoch) === chain.head?.epoch;
  const isOurs = isSameEpoch && chain.hashes.get(Number(head.revision)) === hashOf(head);
  const from = isOurs ? Number(head.revision) : isSameEpoch ? Number(head.revision) - 1 : 0;
  return chain.updates.filter(({ revision }) => revision > from).map(({ envelope }) => envelope);
};

/** The hash of a head, hex. */
export const hashOf = ({ hash }: AccessHead): string => hash.toString('hex');
