/** Carries access bundles between this console and the hosts: pushes what a host lacks, pulls what it has and we have not. */
import { setImmediate } from 'node:timers/promises';
import type { AccessHead } from '../../../proto/gen/nest/v1/access.ts';
import type { AccessChain } from '../../../proto/model/access/chain.ts';
import { toErrorShape } from '../../../proto/model/error.ts';
import type { AccessHostState } from '../../bridge/access-model.ts';
import { createGate, createLatest, createTaskGroup, isCancelled } from '../../lib/api.ts';
import type { Clock, Latest, TaskGroup } from '../../lib/api.ts';
import type { HostRoster } from '../hosts/host-roster.ts';
import type { ManagedHost } from '../hosts/managed-host.ts';
import type { AccessBook } from './access-book.ts';
import { chainOfHost, exchange, hashOf, pushSince } from './access-exchange.ts';

/** Hosts that are asked at the same time; the rest waits in line. */
const asksInFlightMax = 32;
/** Hosts that are sent a change at the same time, because it is known what they lack: a lock is under way to all before any has answered. */
const pushesInFlightMax = 2_048;
const waitingMax = 10_000;
/** Hosts that are begun with in one turn of the event loop. */
const startsPerTurn = 128;
/** A host is asked anew so often, for what other consoles have delivered, milliseconds. */
const askAgainMs = 30_000;
/** The same while its statuses say what it has. */
const tellsAskAgainMs = 10 * 60_000;
/** The same when its warnings and what it said before do not agree about a fork, milliseconds. */
const forkAskAgainMs = 2_000;
/** The same when it took nothing from us: it may have to hear of another root first, milliseconds. */
const refusedAskAgainMs = 5_000;
/** The same when it had something else than what it was sent: another console was there in the same moment. */
const behindAskAgainMs = 500;
const forkWarning = 'ACCESS_FORKED';
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
  /** Counts exchanges: what was begun later is newer. */
  readonly order: number;
}

const unknownNote: HostNote = {
  state: 'unknown',
  epoch: null,
  revision: null,
  checkedAt: null,
  problem: null,
  compared: '',
  hash: '',
  order: 0,
};

export class AccessSync {
  readonly #options: AccessSyncOptions;
  readonly #notes = new Map<string, HostNote>();
  /** Hosts that are asked, and those that are sent something; one of each at a time for a host. */
  readonly #asking = new Map<string, Promise<void>>();
  readonly #pushing = new Map<string, Promise<boolean>>();
  readonly #changes = createLatest(0);
  readonly #asks = createGate({ inFlightMax: asksInFlightMax, waitingMax });
  readonly #pushes = createGate({ inFlightMax: pushesInFlightMax, waitingMax });
  readonly #tasks: TaskGroup;
  #orders = 0;
  #revisions: { readonly of: AccessChain['hashes']; readonly byHash: ReadonlyMap<string, number> } = { of: new Map(), byHash: new Map() };

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
    roster.onReading((host) => this.#look(host), this.#tasks.signal);
    this.#tasks.start('changes', async (signal) => {
      for await (const _count of book.changes.follow(signal)) {
        // What can wait does: a lock goes before everything else.
        roster.hurry();
        let begun = 0;
        for (const host of roster.all) {
          if (!this.#look(host)) continue;
          begun += 1;
          if (begun % startsPerTurn === 0) await setImmediate();
        }
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
    await Promise.all(this.#options.roster.all.map((host) => this.#bring(host, AbortSignal.any([signal, this.#tasks.signal]))));
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
      const { compared, hash: _hash, order: _order, ...note } = this.#notes.get(record.hostId) ?? unknownNote;
      const isOld = note.state === 'current' && !compared.endsWith(` ${hash}`);
      return { hostId: record.hostId, name: record.name, ...note, state: isOld ? 'behind' : note.state };
    });
  }

  async close(): Promise<void> {
    await this.#tasks.close();
    // Also those that a caller of `syncAll` waits for.
    await Promise.allSettled([...this.#asking.values(), ...this.#pushing.values()]);
    this.#changes.close();
  }

  /** Begins what a host needs, unless that is being done; true when something was begun. */
  #look(host: ManagedHost): boolean {
    const { hostId } = host.record;
    if (!this.#isDue(host)) return false;
    const known = this.#knownOf(host);
    if ((known === null ? this.#asking : this.#pushing).has(hostId)) return false;
    this.#tasks.start('sync', (signal) => (known === null ? this.#ask(host, signal) : this.#sync(host, signal)));
    return true;
  }

  /** What is begun for a host by hand: also when nothing seems to be due. */
  async #bring(host: ManagedHost, signal: AbortSignal): Promise<void> {
    if (this.#isDue(host) && this.#knownOf(host) !== null) await this.#sync(host, signal);
    else await this.#ask(host, signal);
  }

  /** A revision of ours, older than our newest, that the host is known to have over the connection of now; null when that is not known. */
  #knownOf(host: ManagedHost): number | null {
    const { linkState, standing, heardAt } = host;
    const { head } = this.#options.book.chain;
    const note = this.#notes.get(host.record.hostId) ?? unknownNote;
    if (linkState?.kind !== 'up' || head === null || note.state === 'refused' || note.state === 'unsupported') return null;
    if (note.state === 'forked' || isForked(host)) return null;
    const isTold = (heardAt ?? 0) > (note.checkedAt ?? 0) && (heardAt ?? 0) >= linkState.since;
    const told = standing?.accessHash ?? '';
    const isNoted = note.compared.startsWith(`${String(linkState.since)} `);
    const revision = this.#revisionOf(isTold && told !== '' ? told : isNoted ? note.hash : '');
    return revision === null || revision >= head.revision ? null : revision;
  }

  /** The number of an update of ours; null for one that is not. */
  #revisionOf(hash: string): number | null {
    const { hashes } = this.#options.book.chain;
    if (this.#revisions.of !== hashes)
      this.#revisions = { of: hashes, byHash: new Map([...hashes].map(([revision, known]) => [known, revision])) };
    return this.#revisions.byHash.get(hash) ?? null;
  }

  #comparisonOf({ linkState }: ManagedHost): string | null {
    if (linkState?.kind !== 'up') return null;
    return `${String(linkState.since)} ${this.#options.book.chain.head?.hash ?? ''}`;
  }

  #isDue(host: ManagedHost): boolean {
    const comparison = this.#comparisonOf(host);
    if (comparison === null) return false;
    const note = this.#notes.get(host.record.hostId);
    if (note === undefined || note.compared !== comparison) return true;
    const sinceMs = this.#options.clock.now() - (note.checkedAt ?? 0);
    // The host raises the alarm within a second; asking it only now and then would not.
    if (isForked(host) !== (note.state === 'forked') && sinceMs > forkAskAgainMs) return true;
    if (hasMoved(host, note)) return true;
    if (note.state === 'refused') return sinceMs > refusedAskAgainMs;
    if (note.state === 'behind') return sinceMs > behindAskAgainMs;
    const tells = note.state === 'current' && host.standing?.accessHash === note.hash;
    return sinceMs > (tells ? tellsAskAgainMs : askAgainMs);
  }

  /** Sends what is new, and asks when that did not help. One at a time for a host: who comes while one runs waits for it, because the book may have changed. */
  async #sync(host: ManagedHost, signal: AbortSignal): Promise<void> {
    const { hostId } = host.record;
    await this.#pushing.get(hostId);
    const work = this.#pushes
      .run(() => this.#push(host, signal), signal)
      .finally(() => {
        if (this.#pushing.get(hostId) === work) this.#pushing.delete(hostId);
      });
    this.#pushing.set(hostId, work);
    if (await work) this.#look(host);
    else await this.#ask(host, signal);
  }

  /** False when the host is not up to date by it. */
  async #push(host: ManagedHost, signal: AbortSignal): Promise<boolean> {
    const { book } = this.#options;
    const revision = this.#knownOf(host);
    const order = (this.#orders += 1);
    const link = host.linkState;
    if (revision === null || link?.kind !== 'up') return false;
    const pushed = await pushSince(link.client, book, { revision, clock: this.#options.clock, signal });
    if (pushed === null) return false;
    this.#keep(host, { ...noteOf(pushed.head, pushed.offered), compared: `${String(link.since)} ${pushed.offered}`, order });
    return true;
  }

  async #ask(host: ManagedHost, signal: AbortSignal): Promise<void> {
    const { hostId } = host.record;
    await this.#asking.get(hostId);
    const work = this.#asks
      .run(() => this.#exchange(host, signal), signal)
      .finally(() => {
        if (this.#asking.get(hostId) === work) this.#asking.delete(hostId);
      });
    this.#asking.set(hostId, work);
    await work;
    // A lock that was set meanwhile does not wait for the next reading.
    this.#look(host);
  }

  async #exchange(host: ManagedHost, signal: AbortSignal): Promise<void> {
    const { book } = this.#options;
    const before = this.#notes.get(host.record.hostId) ?? unknownNote;
    const order = (this.#orders += 1);
    // What the book says later on, while this runs, has not been compared.
    let compared = this.#comparisonOf(host) ?? '';
    try {
      const { head, offered } = await exchange(await host.client(signal), book, { clock: this.#options.clock, signal });
      const link = host.linkState;
      compared = link?.kind === 'up' ? `${String(link.since)} ${offered}` : '';
      this.#keep(host, { ...noteOf(head, offered), compared, order });
    } catch (error) {
      if (isCancelled(error)) throw error;
      const { code, message } = toErrorShape(error);
      const isAway = code === 'HOST_UNREACHABLE' || code === 'TIMED_OUT';
      const isOlder = code === 'INTERNAL' || code === 'METHOD_UNKNOWN';
      const state = isAway ? before.state : isOlder ? 'unsupported' : 'refused';
      const hash = host.standing?.accessHash ?? before.hash;
      this.#keep(host, { ...before, state, problem: message, compared, hash, order });
    }
  }

  /** An answer to an older question says nothing new. */
  #keep(host: ManagedHost, note: Omit<HostNote, 'checkedAt'>): void {
    const { hostId } = host.record;
    if ((this.#notes.get(hostId)?.order ?? 0) > note.order) return;
    this.#notes.set(hostId, { ...note, checkedAt: this.#options.clock.now() });
    this.#changes.set(this.#changes.value + 1);
  }
}

const isForked = ({ standing }: ManagedHost): boolean => standing?.warnings.some(({ code }) => code === forkWarning) ?? false;

/** Another console was there: a status that came after we asked tells of another bundle. */
const hasMoved = ({ standing, heardAt }: ManagedHost, { hash, checkedAt }: HostNote): boolean => {
  const said = standing?.accessHash ?? '';
  return said !== '' && said !== hash && (heardAt ?? 0) > (checkedAt ?? 0);
};

const noteOf = (head: AccessHead, hash: string): Omit<HostNote, 'checkedAt' | 'compared' | 'order'> => {
  const isCurrent = hashOf(head) === hash;
  const state =
    Number(head.epoch) === 0 ? 'none' : head.forks.length > 0 ? 'forked' : head.stale ? 'stale' : isCurrent ? 'current' : 'behind';
  return { state, epoch: Number(head.epoch), revision: Number(head.revision), problem: null, hash: hashOf(head) };
};
