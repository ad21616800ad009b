/** The console's own chain of access updates: kept in its cache, carried on by who holds an owner's key. */
import { sealEnvelope } from '../../../proto/model/envelope.ts';
import type { EnvelopeSigner } from '../../../proto/model/envelope.ts';
import { NestError } from '../../../proto/model/error.ts';
import { emptyBody } from '../../../proto/model/access/body.ts';
import type { AccessBody } from '../../../proto/model/access/body.ts';
import { checkpointEvery, emptyChain, takeUpdate } from '../../../proto/model/access/chain.ts';
import type { AccessChain, AccessFork, RootTrust } from '../../../proto/model/access/chain.ts';
import { makeClientKey } from '../../../proto/model/access/client-key.ts';
import { deltaBetween } from '../../../proto/model/access/difference.ts';
import { chainOf, chainText, envelopeOf, envelopeText } from '../../../proto/model/access/storage.ts';
import { accessUpdateType, readUpdate, sealUpdate } from '../../../proto/model/access/update.ts';
import type { SignedEnvelope } from '../../../proto/model/access/update.ts';
import type { AccessChange } from '../../bridge/access-model.ts';
import { createLatest, ulidOf } from '../../lib/api.ts';
import type { Clock, Latest, RandomBytes } from '../../lib/api.ts';
import type { FleetCache } from '../cache/fleet-cache.ts';
import { editBody } from './access-edit.ts';
import { ownerEntryOf, signerOf } from './owner-key.ts';

/** The chain is asked for with every status of every host; the cache is looked into so often, milliseconds. */
const reloadAfterMs = 100;
const chainValue = 'access.chain';
const marksValue = 'access.marks';
/** Sides a merge names beside our own. */
const mergedMax = 3;
const proposalValue = 'access.proposal';
/** Scopes that cut traffic or trust: they ask for a fresh second factor. */
const dangerousScopes = ['access:admin', 'certs:admin', 'dbgw.secrets:read', 'hosts:admin', 'upgrade:write'];

export interface AccessBookOptions {
  readonly cache: Pick<FleetCache, 'value' | 'putValue' | 'dropValue'>;
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly fleetId: string;
  /** PEM; null while it is offline. */
  readonly rootKey: () => string | null;
  /** Who may begin epochs, as of now; the same object while nothing changed. */
  readonly trust: () => RootTrust;
  /** "operator/ada" */
  readonly subject: string;
  /** PEM; null on a console that owns nothing. */
  readonly ownerKey: string | null;
}

export class AccessBook {
  readonly #options: AccessBookOptions;
  readonly #changes = createLatest(0);
  readonly #owner: EnvelopeSigner | null;
  #text: string | null = null;
  #chain: AccessChain;
  #reloadedMs = Number.NEGATIVE_INFINITY;

  constructor(options: AccessBookOptions) {
    this.#options = options;
    this.#owner = options.ownerKey === null ? null : signerOf(options.ownerKey);
    this.#chain = emptyChain(options.fleetId, options.trust());
    this.#reload();
  }

  /** Also what another process of this console has made of it, a moment ago at the latest. */
  get chain(): AccessChain {
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs - this.#reloadedMs >= reloadAfterMs) {
      this.#reloadedMs = nowMs;
      this.#reload();
    }
    return this.#trusted();
  }

  #trusted(): AccessChain {
    const root = this.#options.trust();
    if (root !== this.#chain.root) this.#chain = { ...this.#chain, root };
    return this.#chain;
  }

  /** Counts up with every change. */
  get changes(): Latest<number> {
    return this.#changes;
  }

  get subject(): string {
    return this.#options.subject;
  }

  /** The public half of this console's owner key: its id (hex) and its bytes (base64); null without one. */
  get publicKey(): { readonly keyId: string; readonly text: string } | null {
    if (this.#owner === null) return null;
    const { keyId, publicKey } = ownerEntryOf(this.#owner, this.subject);
    return { keyId, text: publicKey.toString('base64') };
  }

  /** Gone once its number is taken, by itself or by another update. */
  get proposal(): string | null {
    const text = this.#options.cache.value<string>(proposalValue);
    if (text === null) return null;
    const { epoch, revision } = readUpdate(envelopeOf(text), this.#options.fleetId);
    const { head } = this.chain;
    return epoch === head?.epoch && revision > head.revision ? text : null;
  }

  /** Takes what other owners signed. Raises ACCESS_INVALID at the first that does not hold; those before it are kept. */
  take(envelopes: readonly SignedEnvelope[]): number {
    let accepted = 0;
    let chain = this.#fresh();
    const before = chain;
    try {
      for (const envelope of envelopes) {
        const taken = takeUpdate(chain, envelope, this.#options.clock.now());
        chain = taken.chain;
        if (taken.result === 'accepted') accepted += 1;
      }
    } finally {
      if (chain !== before) this.#keep(chain);
    }
    return accepted;
  }

  /**
   * Makes a change and signs it. Returns the key of a client when one was made. Raises INPUT_INVALID, NOT_FOUND, LIMIT_REACHED,
   * SCOPE_MISSING without an owner's key, ACCESS_INVALID when it would give more than its author has, ACCESS_FORKED while there is a fork.
   */
  change(change: AccessChange): { readonly clientKey: string | null } {
    if (change.kind === 'begin' || change.kind === 'epoch') {
      this.#begin(change.kind === 'epoch');
      return { clientKey: null };
    }
    const { body, forks } = this.#fresh();
    if (body === null)
      throw new NestError('ACCESS_INVALID', 'This console has no access bundle yet. "nest access push" asks the hosts for it.');
    if (forks.length > 0) throw new NestError('ACCESS_FORKED', 'The access bundle is forked. Compare both sides, then merge them first.');
    const made: string[] = [];
    const after = editBody(body, change, {
      newId: () => ulidOf(this.#options.clock.now(), this.#options.random),
      nowMs: this.#options.clock.now(),
      newKey: (expiresAtMs) => {
        const { text, entry } = makeClientKey(this.#options.random(32), { createdAtMs: this.#options.clock.now(), expiresAtMs });
        made.push(text);
        return entry;
      },
    });
    this.#sign(after, []);
    return { clientKey: made[0] ?? null };
  }

  /** One body for both sides of a fork: the content of one, the locks of all. `others` are the chains of hosts on the other side. Raises NOT_FOUND without a fork. */
  merge(keep: 'ours' | 'theirs', others: readonly AccessChain[]): void {
    const { body, forks, head } = this.#fresh();
    const sides = others.flatMap((other) => (other.head === null || other.body === null ? [] : [{ head: other.head, body: other.body }]));
    if (body === null || head === null || (forks.length === 0 && sides.length === 0))
      throw new NestError('NOT_FOUND', 'There is no fork to merge.');
    const theirs = sides[0]?.body ?? this.#bodyOf(forks[0]);
    const chosen = keep === 'ours' ? body : theirs;
    const locks = new Map(
      [body, theirs, ...sides.map((side) => side.body), chosen].flatMap((side) => side.locks).map((lock) => [lock.target, lock]),
    );
    const parents = [...sides.map((side) => side.head), ...forks.map(({ revision, refused }) => ({ revision, hash: refused }))];
    const hashes = new Set(parents.map(({ hash }) => hash));
    hashes.delete(head.hash);
    this.#sign(
      { ...chosen, locks: [...locks.values()] },
      [...hashes].slice(0, mergedMax),
      Math.max(...parents.map(({ revision }) => revision)),
    );
  }

  /** Adds this owner's signature to a proposal, and takes it when that was the last one it needed. Raises INPUT_INVALID, ACCESS_INVALID. */
  cosign(text: string): void {
    const envelope = envelopeOf(text);
    const own = sealEnvelope(accessUpdateType, envelope.payload, [this.#signer()]).signatures;
    readUpdate(envelope, this.#options.fleetId);
    const kept = envelope.signatures.filter(({ keyId }) => !own.some((mine) => mine.keyId.equals(keyId)));
    this.#publish({ ...envelope, signatures: [...kept, ...own] });
  }

  /** True when a third of the newest update's time is over: an owner's console then signs it anew. */
  get isRenewalDue(): boolean {
    const { head, forks } = this.chain;
    if (head === null || this.#owner === null || forks.length > 0) return false;
    return this.#options.clock.now() - head.issuedAtMs > (head.notAfterMs - head.issuedAtMs) / 3;
  }

  close(): void {
    this.#changes.close();
  }

  #begin(isNewEpoch: boolean): void {
    const { fleetId, subject, clock } = this.#options;
    const rootKey = this.#options.rootKey();
    const { head, body } = this.#fresh();
    if (!isNewEpoch && head !== null) throw new NestError('INPUT_INVALID', 'This fleet has an access bundle already.');
    if (rootKey === null)
      throw new NestError(
        'ACCESS_INVALID',
        'Only the fleet root can begin this, and its key is offline. Restore it with "nest fleet root restore".',
      );
    const signer = this.#signer();
    const owner = ownerEntryOf(signer, subject);
    const envelope = sealUpdate(
      {
        fleetId,
        epoch: (head?.epoch ?? 0) + 1,
        revision: 1,
        previous: [],
        issuedAtMs: clock.now(),
        author: subject,
        body: beginningOf(body ?? emptyBody(), owner),
      },
      [signerOf(rootKey), signer],
    );
    this.take([envelope]);
  }

  #signer(): EnvelopeSigner {
    if (this.#owner !== null) return this.#owner;
    throw notOwner();
  }

  #sign(after: AccessBody, merged: readonly string[], ahead = 0): void {
    const { fleetId, subject, clock } = this.#options;
    const { head, body } = this.#fresh();
    if (head === null || body === null) throw new NestError('ACCESS_INVALID', 'This console has no access bundle yet.');
    if (!body.owners.some(({ keyId }) => keyId === this.publicKey?.keyId)) throw notOwner();
    const revision = Math.max(head.revision, ahead) + 1;
    const delta = merged.length > 0 || revision % checkpointEvery === 0 ? null : deltaBetween(body, after);
    const envelope = sealUpdate(
      {
        fleetId,
        epoch: head.epoch,
        revision,
        previous: [head.hash, ...merged],
        issuedAtMs: clock.now(),
        author: subject,
        body: after,
        ...(delta === null ? {} : { delta }),
      },
      [this.#signer()],
    );
    this.#publish(envelope);
  }

  /** Takes it; with too few signatures it becomes a proposal for the other owners. */
  #publish(envelope: SignedEnvelope): void {
    const { cache } = this.#options;
    try {
      this.take([envelope]);
      cache.dropValue(proposalValue);
    } catch (error) {
      if (!isMissingSignatures(error)) throw error;
      cache.putValue(proposalValue, envelopeText(envelope));
    }
    this.#touch();
  }

  #bodyOf(fork: AccessFork | undefined): AccessBody {
    if (fork === undefined) throw new NestError('NOT_FOUND', 'There is no fork to merge.');
    const update = readUpdate(fork.envelope, this.#options.fleetId);
    const before = this.#chain.updates.filter(({ revision }) => revision < update.revision);
    const chain = before.reduce((at, { envelope }) => takeUpdate(at, envelope, 0).chain, emptyChain(this.#chain.fleetId, this.#chain.root));
    const { body } = takeUpdate(chain, fork.envelope, 0).chain;
    if (body === null)
      throw new NestError('ACCESS_FORKED', 'The other side of the fork cannot be read here. Keep ours, or merge on another console.');
    return body;
  }

  #keep(chain: AccessChain): void {
    this.#text = chainText(chain);
    this.#chain = chain;
    this.#options.cache.putValue(chainValue, this.#text);
    this.#options.cache.putValue(marksValue, [...chain.marks]);
    this.#touch();
  }

  #touch(): void {
    this.#changes.set(this.#changes.value + 1);
  }

  #fresh(): AccessChain {
    this.#reload();
    return this.#trusted();
  }

  #reload(): void {
    const { cache, fleetId } = this.#options;
    const text = cache.value<string>(chainValue);
    if (text === null || text === this.#text) return;
    const marks = new Map(cache.value<[number, number][]>(marksValue) ?? []);
    const chain = chainOf(text, { fleetId, root: this.#options.trust(), marks });
    this.#text = text;
    if (chain === null) return;
    this.#chain = chain;
    this.#touch();
  }
}

const notOwner = (): NestError =>
  new NestError('SCOPE_MISSING', 'This console holds no key of an owner. Make this change on the console of an owner.');

/** What the chain says of an update that is good but for its signatures. */
const isMissingSignatures = (error: unknown): boolean => error instanceof NestError && error.details['missing'] === 'signatures';

/** One owner, who is admin everywhere; all else as it was. */
const beginningOf = (body: AccessBody, owner: AccessBody['owners'][number]): AccessBody => {
  const isBound = body.bindings.some(({ subject, role, level }) => subject === owner.subject && role === 'admin' && level === '*');
  const isKnown = body.operators.some(({ subject }) => subject === owner.subject);
  return {
    ...body,
    ownerThreshold: 1,
    owners: [owner],
    operators: isKnown ? body.operators : [...body.operators, { subject: owner.subject, title: '' }],
    bindings: isBound
      ? body.bindings
      : [...body.bindings, { id: `owner-${owner.keyId.slice(0, 16)}`, subject: owner.subject, role: 'admin', level: '*' }],
    dangerousScopes: body.dangerousScopes.length > 0 ? body.dangerousScopes : dangerousScopes,
  };
};
