/** Carries access bundles between this console and the hosts: pushes what a host lacks, pulls what it has and we have not. */
import type { AccessHead } from '../../../proto/gen/nest/v1/access.ts';
import { emptyChain, takeUpdate } from '../../../proto/model/access/chain.ts';
import type { AccessChain } from '../../../proto/model/access/chain.ts';
import { errorCodeOf, toErrorShape } from '../../../proto/model/error.ts';
import type { SignedEnvelope } from '../../../proto/model/access/update.ts';
import type { AccessHostState } from '../../bridge/access-model.ts';
import type { AgentClient } from '../../grpc/api.ts';
import { createGate, createLatest, createTaskGroup, isCancelled } from '../../lib/api.ts';
import type { Clock, Latest, TaskGroup } from '../../lib/api.ts';
import type { HostRoster } from '../hosts/host-roster.ts';
import type { ManagedHost } from '../hosts/managed-host.ts';
import type { AccessBook } from './access-book.ts';

/** Hosts that are spoken to at the same time; the rest waits in line. */
const inFlightMax = 32;
const waitingMax = 10_000;
/** A host is asked anew so often, for what other consoles have delivered, milliseconds. */
const askAgainMs = 30_000;
/** The same when its warnings and what it said before do not agree about a fork, milliseconds. */
const forkAskAgainMs = 2_000;
/** The same when it took nothing from us: it may have to hear of another root first, milliseconds. */
const refusedAskAgainMs = 5_000;
const forkWarning = 'ACCESS_FORKED';
/** As agents take them. */
const updatesPerPush = 64;
/** One message holds less than 4 MB; an update alone is smaller than that. */
const pushBytesMax = 2 << 20;
/** Answers of one host to one pull: more updates than that come with the next. */
const pullsMax = 64;
/** Sides of a fork that a merge can name. */
const sidesMax = 3;
/** An owner's console looks so often whether its bundle is to be signed anew, milliseconds. */
const renewalPollMs = 60 * 60_000;

export interface AccessSyncOptions {
  readonly book: AccessBook;
  readonly roster: HostRoster;
  readonly clock: Clock;
  readonly report: (message: string, fields: Readonly<Record<string, unknown>>) => void;
}

interface HostNote {
  readonly state: AccessHostState['state'];
  readonly epoch: number | null;
  readonly revision: number | null;
  readonly checkedAt: number | null;
  readonly problem: string | null;
  /** Connection and bundle that were compared. */
  readonly compared: string;
  /** What the host had then, hex. */
  readonly hash: string;
}

const unknownNote: HostNote = { state: 'unknown', epoch: null, revision: null, checkedAt: null, problem: null, compared: '', hash: '' };

export class AccessSync {
  readonly #options: AccessSyncOptions;
  readonly #notes = new Map<string, HostNote>();
  readonly #running = new Map<string, Promise<void>>();
  readonly #changes = createLatest(0);
  readonly #gate = createGate({ inFlightMax, waitingMax });
  readonly #tasks: TaskGroup;

  constructor(options: AccessSyncOptions) {
    this.#options = options;
    this.#tasks = createTaskGroup((task, error) => options.report('access bundles could not be carried', { task, error }));
  }

  /** Counts up when what is known of a host has changed. */
  get changes(): Latest<number> {
    return this.#changes;
  }

  /** Follows the hosts and the book until `close`. */
  start(): void {
    const { roster, book, clock } = this.#options;
    roster.onReading((host) => {
      if (this.#isDue(host)) this.#tasks.start('sync', (signal) => this.#sync(host, signal));
    }, this.#tasks.signal);
    this.#tasks.start('changes', async (signal) => {
      for await (const _count of book.changes.follow(signal)) {
        for (const host of roster.all) if (this.#isDue(host)) this.#tasks.start('sync', (ended) => this.#sync(host, ended));
      }
    });
    this.#tasks.start('renewal', async (signal) => {
      for (;;) {
        if (book.isRenewalDue) book.change({ kind: 'renew' });
        await clock.sleep(renewalPollMs, signal);
      }
    });
  }

  /** Brings every connected host up to date now, and waits for it. */
  async syncAll(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#options.roster.all.map((host) => this.#sync(host, AbortSignal.any([signal, this.#tasks.signal]))));
  }

  /** The chains of connected hosts that stand on another side of a fork, each side once. */
  async otherSides(signal: AbortSignal): Promise<readonly AccessChain[]> {
    const { roster, book } = this.#options;
    const sides = new Map<string, AccessChain>();
    for (const host of roster.all) {
      if (host.linkState?.kind !== 'up' || sides.size >= sidesMax) continue;
      const { epoch, revision, hash } = await (await host.client(signal)).accessHead({ signal });
      const name = hash.toString('hex');
      const { chain } = book;
      if (Number(epoch) !== chain.head?.epoch || chain.hashes.get(Number(revision)) === name || sides.has(name)) continue;
      sides.set(name, await chainOfHost(host, chain, signal));
    }
    return [...sides.values()];
  }

  states(): readonly AccessHostState[] {
    const { roster, book } = this.#options;
    const hash = book.chain.head?.hash ?? '';
    return roster.all.map(({ record }) => {
      const { compared, hash: _hash, ...note } = this.#notes.get(record.hostId) ?? unknownNote;
      const isOld = note.state === 'current' && !compared.endsWith(` ${hash}`);
      return { hostId: record.hostId, name: record.name, ...note, state: isOld ? 'behind' : note.state };
    });
  }

  async close(): Promise<void> {
    await this.#tasks.close();
    this.#changes.close();
  }

  /** Our revision that the host had when it was last spoken to over the connection of now; null when that is not known. */
  #hadOn({ linkState }: ManagedHost, { state, epoch, revision, compared }: HostNote): number | null {
    const { head, hashes } = this.#options.book.chain;
    if (linkState?.kind !== 'up' || state !== 'current' || revision === null || epoch !== head?.epoch) return null;
    return compared === `${String(linkState.since)} ${hashes.get(revision) ?? ''}` ? revision : null;
  }

  #comparisonOf({ linkState }: ManagedHost): string | null {
    if (linkState?.kind !== 'up') return null;
    return `${String(linkState.since)} ${this.#options.book.chain.head?.hash ?? ''}`;
  }

  #isDue(host: ManagedHost): boolean {
    const comparison = this.#comparisonOf(host);
    const note = this.#notes.get(host.record.hostId);
    if (comparison === null || this.#running.has(host.record.hostId)) return false;
    // The host raises the alarm within a second; asking it only now and then would not.
    const isForked = host.standing?.warnings.some(({ code }) => code === forkWarning) ?? false;
    if (
      note?.state !== undefined &&
      isForked !== (note.state === 'forked') &&
      this.#options.clock.now() - (note.checkedAt ?? 0) > forkAskAgainMs
    )
      return true;
    if (note !== undefined && this.#hasMoved(host, note)) return true;
    if (note?.state === 'refused' && this.#options.clock.now() - (note.checkedAt ?? 0) > refusedAskAgainMs) return true;
    return note?.compared !== comparison || this.#options.clock.now() - (note.checkedAt ?? 0) > askAgainMs;
  }

  /** Another console was there: a status that came after we asked tells of another bundle. */
  #hasMoved({ standing, heardAt }: ManagedHost, { hash, checkedAt }: HostNote): boolean {
    const said = standing?.accessHash ?? '';
    return said !== '' && said !== hash && (heardAt ?? 0) > (checkedAt ?? 0);
  }

  /** One exchange at a time with a host; who comes while one runs waits for another, because the book may have changed. */
  async #sync(host: ManagedHost, signal: AbortSignal): Promise<void> {
    const { hostId } = host.record;
    await this.#running.get(hostId);
    const work = this.#gate
      .run(() => this.#exchange(host, signal), signal)
      .finally(() => {
        if (this.#running.get(hostId) === work) this.#running.delete(hostId);
      });
    this.#running.set(hostId, work);
    await work;
    // A lock that was set meanwhile does not wait for the next reading.
    if (this.#isDue(host)) this.#tasks.start('sync', (ended) => this.#sync(host, ended));
  }

  async #exchange(host: ManagedHost, signal: AbortSignal): Promise<void> {
    const { book, clock } = this.#options;
    const { hostId } = host.record;
    const before = this.#notes.get(hostId) ?? unknownNote;
    // What the book says later on, while this runs, has not been compared.
    let compared = this.#comparisonOf(host) ?? '';
    try {
      const client = await host.client(signal);
      const { head, offered } = await exchange(client, book, { had: this.#hadOn(host, before), signal });
      const link = host.linkState;
      compared = link?.kind === 'up' ? `${String(link.since)} ${offered}` : '';
      this.#notes.set(hostId, { ...noteOf(head, offered), checkedAt: clock.now(), compared });
    } catch (error) {
      if (isCancelled(error)) throw error;
      const { code, message } = toErrorShape(error);
      const isAway = code === 'HOST_UNREACHABLE' || code === 'TIMED_OUT';
      const isOlder = code === 'INTERNAL' || code === 'METHOD_UNKNOWN';
      const state = isAway ? before.state : isOlder ? 'unsupported' : 'refused';
      const hash = host.standing?.accessHash ?? before.hash;
      this.#notes.set(hostId, { ...before, state, problem: message, checkedAt: clock.now(), compared, hash });
    }
    this.#changes.set(this.#changes.value + 1);
  }
}

/** All a host has, as a chain of its own. */
const chainOfHost = async (host: ManagedHost, { fleetId, root, head }: AccessChain, signal: AbortSignal): Promise<AccessChain> => {
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

interface Exchanged {
  /** Of the host, afterwards. */
  readonly head: AccessHead;
  /** Hash of the bundle it was offered. */
  readonly offered: string;
}

/** Pulls, then pushes; pushes at once what is new since a revision of ours that the host had: a lock should not wait for a question. */
const exchange = async (
  client: AgentClient,
  book: AccessBook,
  { had, signal }: { readonly had: number | null; readonly signal: AbortSignal },
): Promise<Exchanged> => {
  const options = { signal };
  const pushed = had === null ? null : await pushSince(client, book, { revision: had, signal });
  if (pushed !== null) return pushed;
  let head = await client.accessHead(options);
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
    for (const batch of batchesOf(wanted)) head = await client.pushAccessUpdates(batch, options);
    return { head, offered };
  } catch (error) {
    // A fork is no failure of the exchange: the host shows it now, and so do we.
    head = await client.accessHead(options);
    if (head.forks.length === 0) throw error;
    return { head, offered };
  }
};

/** Null when there is nothing new, or when the host did not get up to date by it. */
const pushSince = async (
  client: AgentClient,
  book: AccessBook,
  { revision, signal }: { readonly revision: number; readonly signal: AbortSignal },
): Promise<Exchanged | null> => {
  const { chain } = book;
  const offered = chain.head?.hash ?? '';
  const wanted = chain.updates.filter((update) => update.revision > revision).map(({ envelope }) => envelope);
  let head: AccessHead | null = null;
  try {
    for (const batch of batchesOf(wanted)) head = await client.pushAccessUpdates(batch, { signal });
  } catch (error) {
    if (isCancelled(error)) throw error;
    // Why, the whole exchange finds out.
    return null;
  }
  return head !== null && head.forks.length === 0 && hashOf(head) === offered ? { head, offered } : null;
};

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

const noteOf = (head: AccessHead, hash: string): Omit<HostNote, 'checkedAt' | 'compared'> => {
  const isCurrent = hashOf(head) === hash;
  const state =
    Number(head.epoch) === 0 ? 'none' : head.forks.length > 0 ? 'forked' : head.stale ? 'stale' : isCurrent ? 'current' : 'behind';
  return { state, epoch: Number(head.epoch), revision: Number(head.revision), problem: null, hash: hashOf(head) };
};

const hashOf = ({ hash }: AccessHead): string => hash.toString('hex');
