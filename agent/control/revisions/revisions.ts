import { join } from 'node:path';
import { revisionConflict } from '../../../proto/model/conflict.ts';
import { errorCodeOf, NestError } from '../../../proto/model/error.ts';
import type { NestErrorCode } from '../../../proto/model/error.ts';
import { createBroadcast } from '../../lib/broadcast.ts';
import type { Clock, Timer } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import { systemRandom } from '../../lib/random.ts';
import type { RandomSource } from '../../lib/random.ts';
import type {
  Activation,
  Applied,
  ApplyRequest,
  Pending,
  RaiseWarning,
  ReturnRequest,
  Revision,
  RevisionControl,
  RevisionEvent,
} from './api.ts';
import { emptyPolicyJson } from './api.ts';
import { deadlineAfter, remainingMs, systemBootClock } from './deadline.ts';
import type { BootClock } from './deadline.ts';
import { createPacedRetry } from './paced-retry.ts';
import { applyFailed, applyInProgress, nothingToConfirm, unknownRevision } from './refusals.ts';
import { createRevisionStore, outcomeLifeMs, revisionMigrations } from './revision-store.ts';
import type { NewRevision, Outcome, PendingRow, RevisionStore } from './revision-store.ts';
import { openStateDatabase } from './state-database.ts';

export interface RevisionOptions {
  /** Directory of revisions.sqlite; must exist. */
  readonly stateDir: string;
  readonly activation: Activation;
  readonly clock: Clock;
  readonly log: Logger;
  readonly raise: RaiseWarning;
  readonly random?: RandomSource;
  readonly boot?: BootClock;
}

const watchQueueMax = 64;
const timerMaxMs = 2 ** 31 - 1;
const etagBytes = 12;

/** Opens the stored revisions. Raises STATE_FAILED when the state cannot be opened; a damaged file is moved aside with the warning STATE_CORRUPT. */
export const createRevisionControl = (options: RevisionOptions): RevisionControl => {
  const { database, movedAside } = openStateDatabase({ path: join(options.stateDir, 'revisions.sqlite'), migrations: revisionMigrations });
  if (movedAside !== null) {
    options.log.error('the stored revisions were damaged and moved aside', { movedAside });
    options.raise('STATE_CORRUPT', {
      title: 'Stored revisions were damaged',
      message: `The file was moved to ${movedAside}. The kernel goes on with the tables it has; apply the policy again to make it known.`,
      severity: 'critical',
    });
  }
  return new StoredRevisionControl(options, createRevisionStore(database), movedAside !== null);
};

class StoredRevisionControl implements RevisionControl {
  readonly #options: RevisionOptions;
  readonly #store: RevisionStore;
  readonly #boot: BootClock;
  readonly #random: RandomSource;
  /** True when the state was lost: what the kernel runs is better than allowing everything. */
  readonly #isStateLost: boolean;
  readonly #events = createBroadcast<RevisionEvent>(watchQueueMax);
  readonly #lifetime = new AbortController();
  readonly #retry;
  #queue: Promise<unknown> = Promise.resolve();
  #confirmed: Revision;
  #pending: { readonly row: PendingRow; readonly revision: Revision } | null = null;
  #timer: Timer | undefined;

  constructor(options: RevisionOptions, store: RevisionStore, isStateLost: boolean) {
    this.#options = options;
    this.#store = store;
    this.#isStateLost = isStateLost;
    this.#boot = options.boot ?? systemBootClock();
    this.#random = options.random ?? systemRandom;
    this.#retry = createPacedRetry(options.clock, (work) => this.#exclusive(work));
    this.#confirmed = store.confirmed() ?? revisionZero;
    this.#readPending();
  }

  async start(signal: AbortSignal): Promise<void> {
    await this.#exclusive(async () => {
      signal.throwIfAborted();
      const pending = this.#pending;
      if (pending === null) return this.#isStateLost ? undefined : await this.#reactivate(this.#confirmed);
      if (!pending.row.isActivated) {
        const failure = interrupted();
        return await this.#takeBack({ state: 'failed', reason: failure.message, outcome: failedOutcome(pending.row, failure) });
      }
      if (this.#remaining() === 0) return await this.#takeBack({ state: 'rolled-back', reason: notConfirmed(pending.row) });
      this.#arm();
      return await this.#reactivate(pending.revision);
    });
  }

  current(): Revision {
    return this.#pending?.revision ?? this.#confirmed;
  }

  pending(): Pending | null {
    if (this.#pending === null) return null;
    const { row } = this.#pending;
    return {
      revision: row.revision,
      previousRevision: row.previousRevision,
      rollbackAtMs: row.deadline.wallMs,
      remainingMs: Math.ceil(this.#remaining()),
      transactionId: row.transactionId,
    };
  }

  list(): readonly Revision[] {
    return this.#store.list();
  }

  get(revision: number): Revision {
    if (revision === 0) return revisionZero;
    const found = this.#store.get(revision);
    if (found === undefined) throw unknownRevision(revision);
    return found;
  }

  async repeated(transactionId: string): Promise<Applied | null> {
    return await this.#exclusive(() => {
      const earlier = this.#store.outcome(transactionId, this.#options.clock.nowMs() - outcomeLifeMs);
      return earlier === undefined ? null : this.#repeat(earlier);
    });
  }

  async apply(request: ApplyRequest, signal: AbortSignal): Promise<Applied> {
    return await this.#once(request.transactionId, signal, async () => {
      const base = this.current();
      if (request.baseEtag !== base.etag)
        throw revisionConflict(this.#store.list().find(({ etag }) => etag === request.baseEtag)?.revision ?? 0, base);
      return await this.#begin(request, request);
    });
  }

  async confirm(request: { readonly revision: number; readonly transactionId: string }): Promise<Revision> {
    return await this.#exclusive(() => {
      const pending = this.#pending;
      const isSame = pending?.row.revision === request.revision && pending.row.transactionId === request.transactionId;
      if (!isSame || this.#remaining() === 0) return this.#confirmedBefore(request);
      const settledAtMs = this.#options.clock.nowMs();
      this.#store.confirm(settledAtMs);
      this.#disarm();
      this.#confirmed = { ...pending.revision, state: 'confirmed', settledAtMs };
      this.#pending = null;
      this.#options.log.info('revision confirmed', { revision: request.revision });
      this.#publish(this.#confirmed);
      return this.#confirmed;
    });
  }

  async rollback(request: { readonly author: string; readonly comment: string }, signal: AbortSignal): Promise<Revision> {
    return await this.#exclusive(async () => {
      signal.throwIfAborted();
      if (this.#pending === null)
        throw new NestError(
          'NOTHING_TO_CONFIRM',
          'No revision waits for its confirmation, so there is nothing to take back. Choose a revision of the history to return to.',
        );
      await this.#activate(this.#confirmed);
      const said = request.comment === '' ? '' : `: ${request.comment}`;
      return this.#taken('rolled-back', `Taken back by ${request.author}${said}`);
    });
  }

  async returnTo(request: ReturnRequest, signal: AbortSignal): Promise<Applied> {
    return await this.#once(request.transactionId, signal, async () => {
      const { policyJson, generation, mappingCount, serviceCount } = this.get(request.toRevision);
      const { author, comment } = request;
      return await this.#begin({ policyJson, generation, mappingCount, serviceCount, author, comment }, request);
    });
  }

  async *watch(signal: AbortSignal): AsyncGenerator<RevisionEvent> {
    const changes = this.#events.subscribe(signal)[Symbol.asyncIterator]();
    try {
      yield { revision: this.current(), pending: this.pending() };
      for (;;) {
        const next = await changes.next();
        if (next.done === true) return;
        yield next.value.value;
      }
    } finally {
      await changes.return?.();
    }
  }

  async close(): Promise<void> {
    this.#disarm();
    this.#retry.cancel();
    this.#lifetime.abort();
    this.#events.close();
    await this.#queue.catch(() => undefined);
    this.#store.close();
  }

  /** Runs a change alone, and answers a transaction that was seen before with its first outcome. */
  async #once(transactionId: string, signal: AbortSignal, change: () => Promise<Applied>): Promise<Applied> {
    return await this.#exclusive(async () => {
      signal.throwIfAborted();
      const earlier = this.#store.outcome(transactionId, this.#options.clock.nowMs() - outcomeLifeMs);
      if (earlier !== undefined) return this.#repeat(earlier);
      const pending = this.pending();
      if (pending !== null) throw applyInProgress(pending);
      return await change();
    });
  }

  /** Writes the document as a pending revision and makes it current. */
  async #begin(
    document: NewDocument,
    { transactionId, confirmWithinSeconds }: Pick<ApplyRequest, 'transactionId' | 'confirmWithinSeconds'>,
  ): Promise<Applied> {
    const windowMs = confirmWithinSeconds * 1000;
    const deadline = deadlineAfter(windowMs, this.#options.clock, this.#boot);
    const waiting = { previousRevision: this.current().revision, transactionId, deadline };
    const begun = this.#newPending(document);
    const revision = this.#store.begin(begun, waiting);
    // As the disk has it now.
    this.#pending = { row: { ...waiting, revision, isActivated: false }, revision: { ...begun, revision } };
    return await this.#activatePending(transactionId, windowMs);
  }

  /** The pending revision is on disk; its tables are not current yet. */
  async #activatePending(transactionId: string, windowMs: number): Promise<Applied> {
    const { clock, log } = this.#options;
    const { revision } = this.current();
    const { loadMs, flipMs } = await this.#activateOr((failure) =>
      this.#taken('failed', failure.message, failedOutcome({ transactionId, revision }, failure)),
    );
    const deadline = deadlineAfter(windowMs, clock, this.#boot);
    try {
      this.#store.activated(deadline, { transactionId, revision, loadMs, flipMs, error: null }, clock.nowMs());
    } catch (error) {
      // What the disk does not know, a restart could not take back.
      await this.#takeBack({ state: 'failed', reason: 'The disk did not note that it was applied.' });
      throw error;
    }
    if (this.#pending !== null) this.#pending = { ...this.#pending, row: { ...this.#pending.row, deadline, isActivated: true } };
    this.#arm();
    log.info('revision applied, waiting for its confirmation', { revision, loadMs, flipMs, confirmWithinMs: windowMs });
    this.#publish(this.current());
    return {
      revision: this.current(),
      rollbackAtMs: deadline.wallMs,
      remainingMs: this.pending()?.remainingMs ?? windowMs,
      loadMs,
      flipMs,
    };
  }

  /** Activation is atomic: when it fails the previous tables are still in force. */
  async #activateOr(onFailure: (failure: NestError) => void): Promise<Activated> {
    try {
      return await this.#activate(this.current());
    } catch (error) {
      const failure = error instanceof NestError ? error : applyFailed(error);
      onFailure(failure);
      throw failure;
    }
  }

  /** Returns to the confirmed revision, paced until it works. Ends the pending one when the tables are back. */
  async #takeBack(end: { readonly state: 'rolled-back' | 'failed'; readonly reason: string; readonly outcome?: Outcome }): Promise<void> {
    const work = async (): Promise<void> => {
      if (this.#pending === null) return;
      try {
        await this.#activate(this.#confirmed);
      } catch (error) {
        if (errorCodeOf(error) !== 'OBSERVE_ONLY') throw error;
        // Pinned tables are out of reach: the next start that can reach them takes the revision back.
        return this.#warnInactive(error, true);
      }
      this.#taken(end.state, end.reason, end.outcome);
    };
    await this.#retry.run(work, (error, isLast) => this.#warnInactive(error, isLast));
  }

  /** Makes a revision current again at start; the failure is a lasting warning, and is tried again unless this host only observes. */
  async #reactivate(revision: Revision): Promise<void> {
    const work = async (): Promise<void> => {
      try {
        await this.#activate(revision);
      } catch (error) {
        if (errorCodeOf(error) !== 'OBSERVE_ONLY') throw error;
        this.#options.log.info('only observing: the policy is not made current', { revision: revision.revision });
      }
    };
    await this.#retry.run(work, (error, isLast) => this.#warnInactive(error, isLast));
  }

  async #activate(revision: Revision): Promise<Activated> {
    const result = await this.#options.activation.activate(revision.policyJson, this.#lifetime.signal);
    this.#retry.cancel();
    this.#options.raise('POLICY_NOT_ACTIVE', null);
    return result;
  }

  #warnInactive(error: unknown, isLast: boolean): void {
    this.#options.log.error('the policy in force is not the one that should be', { error, isLast });
    const next = isLast ? 'Restart the agent when the cause is gone.' : 'It is being tried again.';
    const reason = error instanceof NestError ? error.message : 'The data path failed.';
    this.#options.raise('POLICY_NOT_ACTIVE', {
      title: 'The policy in force is not the confirmed one',
      message: `${reason} ${next}`,
      severity: 'critical',
    });
  }

  /** The tables are back: notes it. A disk that cannot note it is found out by the next start, which takes back once more. */
  #taken(state: 'rolled-back' | 'failed', reason: string, outcome?: Outcome): Revision {
    const ended = this.#pending?.row.revision ?? 0;
    this.#disarm();
    try {
      this.#store.drop(state, reason, { atMs: this.#options.clock.nowMs(), ...(outcome === undefined ? {} : { outcome }) });
    } catch (error) {
      this.#options.log.error('the disk does not note that a revision was taken back', { revision: ended, error });
      this.#options.raise('STATE_FAILED', {
        title: 'The state cannot be written',
        message: 'Check that the disk has room and that the state directory is writable.',
        severity: 'critical',
      });
    }
    this.#pending = null;
    this.#options.log.warn('revision taken back', { revision: ended, reason });
    this.#publish(this.#storedOr(ended));
    this.#publish(this.#confirmed);
    return this.#confirmed;
  }

  #storedOr(revision: number): Revision {
    try {
      return this.#store.get(revision) ?? this.#confirmed;
    } catch {
      // The disk has failed and a warning says so; the revision in force is known from memory.
      return this.#confirmed;
    }
  }

  #confirmedBefore(request: { readonly revision: number; readonly transactionId: string }): Revision {
    const outcome = this.#store.outcome(request.transactionId, this.#options.clock.nowMs() - outcomeLifeMs);
    const revision = this.#store.get(request.revision);
    const isKept = revision?.state === 'confirmed' || revision?.state === 'superseded';
    if (isKept && outcome?.revision === request.revision) return revision;
    throw nothingToConfirm(request.revision, revision);
  }

  #repeat(outcome: Outcome): Applied {
    if (outcome.error !== null) {
      throw new NestError(outcome.error.code as NestErrorCode, outcome.error.message, {
        details: JSON.parse(outcome.error.detailsJson) as Record<string, unknown>,
      });
    }
    const pending = this.pending();
    const isPending = pending?.revision === outcome.revision;
    return {
      revision: this.get(outcome.revision),
      rollbackAtMs: isPending ? pending.rollbackAtMs : 0,
      remainingMs: isPending ? pending.remainingMs : 0,
      loadMs: outcome.loadMs,
      flipMs: outcome.flipMs,
    };
  }

  #newPending({ policyJson, generation, mappingCount, serviceCount, author, comment }: NewDocument): NewRevision {
    const etag = Buffer.from(this.#random.bytes(etagBytes)).toString('hex');
    return {
      etag,
      policyJson,
      generation,
      state: 'pending',
      author,
      comment,
      createdAtMs: this.#options.clock.nowMs(),
      settledAtMs: null,
      settledReason: '',
      mappingCount,
      serviceCount,
    };
  }

  #readPending(): void {
    const row = this.#store.pending();
    const revision = row === null ? undefined : this.#store.get(row.revision);
    this.#pending = row === null || revision === undefined ? null : { row, revision };
  }

  #remaining(): number {
    return this.#pending === null ? 0 : remainingMs(this.#pending.row.deadline, this.#options.clock, this.#boot);
  }

  #arm(): void {
    this.#timer?.cancel();
    this.#timer = this.#options.clock.after(Math.min(Math.ceil(this.#remaining()), timerMaxMs), () => void this.#onTimer());
  }

  #disarm(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  async #onTimer(): Promise<void> {
    await this.#exclusive(async () => {
      if (this.#pending === null || this.#lifetime.signal.aborted) return;
      if (this.#remaining() > 0) this.#arm();
      else await this.#takeBack({ state: 'rolled-back', reason: notConfirmed(this.#pending.row) });
    });
  }

  #publish(revision: Revision): void {
    this.#events.publish({ revision, pending: this.pending() });
  }

  /** One change at a time, in the order asked. */
  async #exclusive<T>(work: () => T | Promise<T>): Promise<T> {
    const turn = this.#queue.catch(() => undefined).then(work);
    this.#queue = turn;
    return await turn;
  }
}

type NewDocument = Pick<Revision, 'policyJson' | 'generation' | 'mappingCount' | 'serviceCount' | 'author' | 'comment'>;
type Activated = Awaited<ReturnType<Activation['activate']>>;

const revisionZero: Revision = {
  revision: 0,
  etag: '0',
  policyJson: emptyPolicyJson,
  generation: '',
  state: 'confirmed',
  author: '',
  comment: '',
  createdAtMs: 0,
  settledAtMs: null,
  settledReason: '',
  mappingCount: 0,
  serviceCount: 0,
};

const notConfirmed = (row: PendingRow): string => `Not confirmed within ${String(row.deadline.windowMs / 1000)} s.`;

/** Of a revision that an agent before this one had begun to apply. */
const interrupted = (): NestError => new NestError('APPLY_FAILED', 'The agent stopped while it applied this revision. Plan it again.');

const failedOutcome = ({ transactionId, revision }: Pick<PendingRow, 'transactionId' | 'revision'>, error: NestError): Outcome => ({
  transactionId,
  revision,
  loadMs: 0,
  flipMs: 0,
  error: { code: error.code, message: error.message, detailsJson: JSON.stringify(error.details) },
});
