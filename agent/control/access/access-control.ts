import { isRolledBack, isStale, takeUpdate } from '../../../proto/model/access/chain.ts';
import type { AccessChain, RootTrust } from '../../../proto/model/access/chain.ts';
import { compileAccess } from '../../../proto/model/access/decide.ts';
import type { AccessSubject, CompiledAccess, Refusal } from '../../../proto/model/access/decide.ts';
import { isChangingScope } from '../../../proto/model/access/scope.ts';
import { readUpdate } from '../../../proto/model/access/update.ts';
import { NestError } from '../../../proto/model/error.ts';
import { rootTrustOf } from '../../../proto/model/root-change.ts';
import type { Clock, Timer } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { AccessCaller, AccessControl, AccessState, SignedEnvelope } from './api.ts';
import { openAccessStore } from './access-store.ts';
import type { AccessStore, FleetTrust } from './access-store.ts';

/** Updates of one delivery, and bytes of one answer. */
export const updatesPerPushMax = 64;
const answerBytesMax = 2 << 20;
/** Deliveries that wait for each other; consoles beyond that come again. */
const pushesMax = 16;
/** The end of a bundle is looked at so often at least, milliseconds: clocks are set. */
const staleCheckMs = 60_000;
/** All that is left while the bundle is lost: enough for a console to deliver it again. */
const recoveryScopes: ReadonlySet<string> = new Set(['hosts:read', 'access:read']);

export interface AccessOptions {
  readonly stateDir: string;
  /** Null until the host belongs to a fleet. */
  readonly fleet: () => (FleetTrust & { readonly agentId: string }) | null;
  readonly clock: Clock;
  readonly log: Logger;
  readonly raise: (
    code: string,
    warning: { readonly title: string; readonly message: string; readonly severity: 'warning' | 'critical' } | null,
  ) => void;
}

interface Took {
  readonly accepted: number;
  /** To be raised once the rest is stored; null for none. */
  readonly problem: unknown;
}

/** Loads what is stored. Raises STATE_FAILED. */
export const createAccessControl = async (options: AccessOptions): Promise<AccessControl> => {
  const control = new Access(options, await openAccessStore(options.stateDir));
  await control.refresh();
  return control;
};

class Access implements AccessControl {
  readonly #options: AccessOptions;
  readonly #store: AccessStore;
  readonly #listeners = new Set<() => void>();
  #chain: AccessChain | null = null;
  #compiled: CompiledAccess | null = null;
  #isStale = false;
  /** Chains taken, and the last of them that is on the disk. */
  #taken = 0;
  #saved = 0;
  #waiting = 0;
  #pushing: Promise<unknown> = Promise.resolve();
  /** The save that runs, and one that stores all that is taken until it begins. */
  #saving: Promise<void> = Promise.resolve();
  #nextSave: Promise<void> | null = null;
  #trust: { readonly of: FleetTrust; readonly root: RootTrust } | null = null;
  #timer: Timer | null = null;

  constructor(options: AccessOptions, store: AccessStore) {
    this.#options = options;
    this.#store = store;
  }

  async refresh(): Promise<void> {
    const fleet = this.#options.fleet();
    if (fleet !== null && fleet.fleetId === this.#chain?.fleetId) {
      // The fleet may have changed its root meanwhile; what was taken stays taken.
      const root = this.#rootOf(fleet);
      if (root !== this.#chain.root) this.#chain = { ...this.#chain, root };
      return;
    }
    if (fleet === null && this.#chain === null) return;
    if (fleet === null) {
      this.#adopt(null);
      return;
    }
    await this.#saving;
    const { chain, problem } = await this.#store.load(fleet);
    if (problem !== '') this.#options.log.error('access bundle lost', { problem });
    this.#adopt(chain);
  }

  head(): AccessState {
    const head = this.#chain?.head ?? null;
    return {
      epoch: head?.epoch ?? 0,
      revision: head?.revision ?? 0,
      hash: head?.hash ?? '',
      issuedAtMs: head?.issuedAtMs ?? 0,
      notAfterMs: head?.notAfterMs ?? 0,
      author: head === null ? '' : `spiffe://${this.#chain?.fleetId ?? ''}/${head.author}`,
      isStale: this.#isStaleNow(),
    };
  }

  body(): ReturnType<AccessControl['body']> {
    return this.#chain?.body ?? null;
  }

  decide(caller: AccessCaller, scope: string, mapping = ''): Refusal | null {
    if (this.#compiled === null) return this.#withoutBundle(caller, scope);
    const refusal = this.#compiled.decide(this.#who(caller), scope, mapping);
    return refusal ?? (isChangingScope(scope) && this.#isStaleNow() ? 'ACCESS_STALE' : null);
  }

  needsMapping(caller: AccessCaller, scope: string): boolean {
    return this.#compiled?.holdsForSome(this.#who(caller).subject, scope) ?? false;
  }

  isLocked(caller: AccessCaller): boolean {
    return this.#compiled?.isLocked(this.#who(caller)) ?? false;
  }

  locks(): ReturnType<AccessControl['locks']> {
    return this.#chain?.body?.locks ?? [];
  }

  isCut(caller: AccessCaller): boolean {
    const who = this.#who(caller);
    return this.#compiled !== null && (this.#compiled.isLocked(who) || this.#compiled.isUnbound(who.subject));
  }

  clientKeys(caller: AccessCaller): ReturnType<AccessControl['clientKeys']> {
    const nowMs = this.#options.clock.nowMs();
    const keys = this.#compiled?.clientKeys(this.#who(caller).subject) ?? [];
    // A client whose keys have all ended must not fall back to its certificate alone.
    return keys.length === 0 ? null : keys.filter(({ expiresAtMs }) => expiresAtMs === 0n || Number(expiresAtMs) > nowMs);
  }

  push(envelopes: readonly SignedEnvelope[]): Promise<{ readonly accepted: number }> {
    if (envelopes.length > updatesPerPushMax)
      return Promise.reject(
        new NestError('INPUT_INVALID', `At most ${String(updatesPerPushMax)} updates are taken at a time. Send fewer.`),
      );
    if (this.#waiting >= pushesMax)
      return Promise.reject(new NestError('LIMIT_REACHED', 'Too many consoles deliver access updates at once. Try again in a moment.'));
    this.#waiting++;
    // The next may be taken while this one is on its way to the disk: a lock is in force before an older update is stored.
    const taking = this.#pushing.then(() => this.#take(envelopes));
    this.#pushing = taking.catch(() => undefined);
    return this.#stored(taking).finally(() => this.#waiting--);
  }

  updates(after: Parameters<AccessControl['updates']>[0]): ReturnType<AccessControl['updates']> {
    const { updates = [], head = null } = this.#chain ?? {};
    const wanted = updates.filter(({ epoch, revision }) => after.epoch !== epoch || revision > after.revision);
    let bytes = 0;
    const answer = wanted.slice(0, updatesPerPushMax).filter(({ envelope }, index) => {
      bytes += envelope.payload.length;
      return index === 0 || bytes <= answerBytesMax;
    });
    return { updates: answer.map(({ envelope }) => envelope), isMore: head !== null && answer.length < wanted.length };
  }

  forks(): ReturnType<AccessControl['forks']> {
    return this.#chain?.forks ?? [];
  }

  onChanged(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  close(): void {
    this.#timer?.cancel();
    this.#listeners.clear();
    void this.#saving.then(() => this.#store.close()).catch(() => undefined);
  }

  async #take(envelopes: readonly SignedEnvelope[]): Promise<Took> {
    await this.refresh();
    const before = this.#chain;
    if (before === null) throw new NestError('NOT_ENROLLED', 'This host belongs to no fleet yet. Run "nest-agent join <token>" on it.');
    const { chain, accepted, problem } = takeAll(before, envelopes, this.#options.clock.nowMs());
    // In force first: a lock counts also while the disk is full.
    if (chain !== before) {
      this.#taken++;
      this.#adopt(chain);
    }
    return { accepted, problem };
  }

  /** Answers when what was taken is on the disk, and what an earlier delivery left unstored. */
  async #stored(taking: Promise<Took>): Promise<{ readonly accepted: number }> {
    const { accepted, problem } = await taking;
    if (this.#saved !== this.#taken) await this.#save();
    if (problem !== null) throw problem;
    return { accepted };
  }

  #save(): Promise<void> {
    this.#nextSave ??= this.#saving.then(async () => {
      this.#nextSave = null;
      const [taken, chain] = [this.#taken, this.#chain];
      if (chain === null || taken === this.#saved) return;
      await this.#store.save(chain);
      this.#saved = taken;
    });
    const save = this.#nextSave;
    this.#saving = save.catch(() => undefined);
    return save;
  }

  /** Reading certificates costs more than all the rest; the same object while nothing has changed. */
  #rootOf(fleet: FleetTrust): RootTrust {
    const known = this.#trust;
    if (known !== null && known.of.fleetRoot === fleet.fleetRoot && known.of.rootStep === fleet.rootStep) return known.root;
    const root = rootTrustOf(fleet.fleetRoot, fleet.rootStep ?? null);
    this.#trust = { of: { ...fleet }, root };
    return root;
  }

  #adopt(chain: AccessChain | null): void {
    const agentId = this.#options.fleet()?.agentId ?? '';
    const body = chain?.body ?? null;
    this.#compiled = body === null ? null : compileAccess(body, agentId);
    this.#chain = chain;
    this.#tell();
    for (const listener of this.#listeners) listener();
  }

  /** Keeps staleness, its timer and the warnings in step. */
  #tell(): void {
    const { clock, raise } = this.#options;
    const [chain, nowMs] = [this.#chain, this.#options.clock.nowMs()];
    this.#timer?.cancel();
    this.#timer = (chain?.head ?? null) === null ? null : clock.after(staleCheckMs, () => this.#tell());
    const isOld = chain !== null && isRolledBack(chain);
    this.#isStale = isOld || (chain !== null && isStale(chain, nowMs));
    raise('ACCESS_ROLLED_BACK', isOld ? rolledBack : null);
    raise('ACCESS_STALE', this.#isStale && !isOld ? stale : null);
    const fork = chain?.forks[0];
    raise('ACCESS_FORKED', fork === undefined ? null : { ...forked, message: forkText(fork) });
  }

  /** The clock counts, not the last time somebody looked. */
  #isStaleNow(): boolean {
    return this.#isStale || this.#options.clock.nowMs() >= (this.#chain?.head?.notAfterMs ?? Number.POSITIVE_INFINITY);
  }

  #withoutBundle({ kind }: AccessCaller, scope: string): Refusal | null {
    if (this.#isStale) return kind === 'operator' && recoveryScopes.has(scope) ? null : 'ACCESS_STALE';
    return kind === 'operator' || !scope.endsWith(':admin') ? null : 'SCOPE_MISSING';
  }

  #who({ subject, device }: AccessCaller): AccessSubject {
    const prefix = `spiffe://${this.#chain?.fleetId ?? ''}/`;
    return { subject: subject.startsWith(prefix) ? subject.slice(prefix.length) : '', device };
  }
}

/** Takes what holds, in order, up to the first update that does not; nothing new at the end of an old list is a refusal as well. */
const takeAll = (
  before: AccessChain,
  envelopes: readonly SignedEnvelope[],
  nowMs: number,
): { readonly chain: AccessChain; readonly accepted: number; readonly problem: unknown } => {
  let chain = before;
  let accepted = 0;
  // A merge further on in the same delivery may settle it.
  let isForked = false;
  try {
    for (const envelope of envelopes) {
      const taken = takeUpdate(chain, envelope, nowMs);
      chain = taken.chain;
      if (taken.result === 'accepted') accepted++;
      isForked ||= taken.result === 'forked';
    }
    if (isForked && chain.forks.length > 0) return { chain, accepted, problem: forkRefusal() };
    const last = envelopes.at(-1);
    const isOld = accepted === 0 && last !== undefined && readUpdate(last, chain.fleetId).revision < (chain.head?.revision ?? 0);
    return { chain, accepted, problem: isOld ? oldRefusal(chain.head?.revision ?? 0) : null };
  } catch (error) {
    return { chain, accepted, problem: isForked && chain.forks.length > 0 ? forkRefusal() : error };
  }
};

const oldRefusal = (revision: number): NestError =>
  new NestError(
    'ACCESS_INVALID',
    `The access bundle is older than this host's, which has number ${String(revision)}. Fetch it from here first.`,
  );

const forkRefusal = (): NestError =>
  new NestError(
    'ACCESS_FORKED',
    'Another update with the same number was here first. Compare both in the console; the owners sign a merge that names both.',
  );

const forkText = ({ revision, kept, refused }: { readonly revision: number; readonly kept: string; readonly refused: string }): string =>
  `Two updates claim number ${String(revision)}: ${kept.slice(0, 12)} is in force here, ${refused.slice(0, 12)} was refused. Compare both in the console, then let the owners sign a merge.`;

const forked = { title: 'The access bundle is forked', severity: 'critical' } as const;
const stale = {
  title: 'The access bundle is too old',
  message: 'Reading and enforcement go on, changes wait. Open a console of an owner: it signs and delivers a newer one.',
  severity: 'warning',
} as const;
const rolledBack = {
  title: 'The access bundle is older than it was',
  message: 'Somebody restored or removed it on this host. Only reading is allowed until a console delivers the newest one.',
  severity: 'critical',
} as const;
