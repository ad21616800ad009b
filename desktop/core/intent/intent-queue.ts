/** Signed changes for hosts that are away: kept in the cache, delivered when a host is back, and never after their time. */
import { ConfigRevision_State } from '../../../proto/gen/nest/v1/config.ts';
import { envelopeOfText, envelopeText } from '../../../proto/model/envelope-text.ts';
import { sealEnvelope } from '../../../proto/model/envelope.ts';
import type { EnvelopeSigner } from '../../../proto/model/envelope.ts';
import { NestError, toErrorShape } from '../../../proto/model/error.ts';
import type { NestErrorCode } from '../../../proto/model/error.ts';
import { encodeIntent, intentLifeMsMax, intentType } from '../../../proto/model/intent.ts';
import type { Intent } from '../../../proto/model/intent.ts';
import type { Envelope } from '../../../proto/model/operator-signature.ts';
import type { IntentRow } from '../../bridge/rollout-model.ts';
import { createTaskGroup, isCancelled, ulidOf, withGrace } from '../../lib/api.ts';
import type { Clock, RandomBytes, TaskGroup } from '../../lib/api.ts';
import type { FleetCache } from '../cache/fleet-cache.ts';
import type { HostRoster } from '../hosts/host-roster.ts';
import type { ManagedHost } from '../hosts/managed-host.ts';
import { policyOf } from '../policy/policy-check.ts';

/** Intents that may wait at the same time. */
const waitingMax = 1_000;
/** Rows shown, with those that have ended. */
const listedMax = 2_000;
const confirmWithinSeconds = 60;
/** The host must still answer after the change for so long before it is kept. */
const observeMs = 2_000;
const expiryPollMs = 30_000;
const deliverDeadlineMs = 40_000;
/** A host that could not be spoken to is tried again so much later at the earliest. */
const retryMs = 5_000;
/** Deliveries of one process at the same time; other hosts get their turn with a later status. */
const deliveriesMax = 32;
/** A process that closes finishes what it delivers; what is still out after so long is taken up by the next one. */
const finishMs = 10_000;
/** A process that has not gone on with a delivery for so long is dead. If it is not, nothing is done twice: hosts answer a repetition. */
const leaseMs = 5_000;

interface StoredIntent extends Omit<IntentRow, 'hostName'> {
  readonly envelope: string;
  readonly sequence: number;
  /** Until when whoever delivers it counts as alive, console clock; absent before the first delivery. */
  readonly leasedUntil?: number;
}

/** What became of a delivery. */
type Outcome = Pick<StoredIntent, 'state' | 'problem'>;

export interface IntentQueueOptions {
  readonly roster: HostRoster;
  readonly cache: FleetCache;
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly fleetId: string;
  readonly signer: EnvelopeSigner;
  /** Who signs. */
  readonly operator: string;
  readonly report: (message: string, fields: Readonly<Record<string, unknown>>) => void;
}

export interface IntentRequest {
  readonly hostId: string;
  readonly policy: string;
  readonly comment: string;
  /** Milliseconds from now, at most 7 days. */
  readonly lifeMs?: number;
  readonly stepUp?: Intent['stepUp'];
}

const awayCodes: ReadonlySet<NestErrorCode> = new Set<NestErrorCode>(['HOST_UNREACHABLE', 'TIMED_OUT', 'APPLY_IN_PROGRESS']);

export class IntentQueue {
  readonly #options: IntentQueueOptions;
  readonly #tasks: TaskGroup;
  readonly #busy = new Set<string>();
  readonly #notBefore = new Map<string, number>();
  /** Hosts something waits for: looked at with every status. */
  #waiting = new Set<string>();

  constructor(options: IntentQueueOptions) {
    this.#options = options;
    this.#tasks = createTaskGroup((task, error) => options.report('work on an intent failed', { task, error }));
    this.#expire();
    options.roster.onReading((host) => this.#follow(host), this.#tasks.signal);
    this.#tasks.start('expiry', async (signal) => {
      for (;;) {
        await options.clock.sleep(expiryPollMs, signal);
        try {
          this.#expire();
        } catch (error) {
          options.report('the queue of intents cannot be stored', { error });
        }
      }
    });
  }

  /**
   * Signs a change for a host; an earlier one that waits for the same host is cancelled. Raises POLICY_INVALID, POLICY_TOO_LARGE,
   * HOST_UNKNOWN, LIMIT_REACHED, REVISION_UNKNOWN when the revision the host has is not known.
   */
  leave({ hostId, policy, comment, lifeMs = intentLifeMsMax, stepUp }: IntentRequest): IntentRow {
    const { roster, clock, random, fleetId, signer, operator } = this.#options;
    policyOf(policy);
    const host = roster.get(hostId);
    const baseRevision = host.row().revision;
    if (baseRevision === null)
      throw new NestError(
        'REVISION_UNKNOWN',
        `${host.record.name} was never heard: its revision is not known. Wait until it has answered once.`,
      );
    const stored = this.#stored();
    if (stored.filter(({ state }) => state === 'waiting').length >= waitingMax)
      throw new NestError('LIMIT_REACHED', `${String(waitingMax)} intents wait already. Cancel some first.`);
    const now = clock.now();
    const intentId = ulidOf(now, random);
    const sequence = Math.max(Math.round(now), ...stored.filter((one) => one.hostId === hostId).map((one) => one.sequence + 1));
    const expiresAt = Math.round(now) + Math.min(lifeMs, intentLifeMsMax);
    const intent = {
      intentId,
      fleetId,
      hostId,
      baseRevision,
      sequence,
      notBeforeMs: Math.round(now),
      expiresAtMs: expiresAt,
      confirmWithinSeconds,
      comment,
      policy,
      ...(stepUp === undefined ? {} : { stepUp }),
    };
    const envelope = envelopeText(sealEnvelope(intentType, encodeIntent(intent), [signer]));
    for (const before of stored)
      if (before.hostId === hostId && before.state === 'waiting') this.#put({ ...before, state: 'cancelled', problem: replacedProblem });
    const made: StoredIntent = {
      intentId,
      hostId,
      operator,
      comment,
      baseRevision,
      createdAt: now,
      expiresAt,
      state: 'waiting',
      problem: null,
      envelope,
      sequence,
    };
    this.#put(made);
    // A host that answers may have nothing to say for seconds.
    this.#follow(host);
    return this.#row(made);
  }

  /** Newest first. */
  list(): readonly IntentRow[] {
    this.#expire();
    return this.#stored().map((intent) => this.#row(intent));
  }

  /** Those that wait, as they were signed. */
  waiting(): readonly { readonly row: IntentRow; readonly envelope: Envelope }[] {
    this.#expire();
    return this.#stored()
      .filter(isOpen)
      .map((intent) => ({ row: this.#row(intent), envelope: envelopeOfText(intent.envelope) }));
  }

  /** Raises NOT_FOUND when it does not wait any more. */
  cancel(intentId: string): IntentRow {
    const intent = this.#options.cache.record<StoredIntent>('intent', intentId);
    if (intent?.state !== 'waiting') throw new NestError('NOT_FOUND', 'This intent does not wait any more. Look at the list.');
    const cancelled: StoredIntent = { ...intent, state: 'cancelled', problem: null };
    this.#put(cancelled);
    return this.#row(cancelled);
  }

  /** Begins no delivery any more, and finishes those that are out, for 10 s at most. */
  async close(): Promise<void> {
    await this.#tasks.close();
  }

  #stored(): readonly StoredIntent[] {
    return this.#options.cache.records<StoredIntent>('intent', listedMax);
  }

  #row({ envelope: _envelope, sequence: _sequence, leasedUntil: _until, ...intent }: StoredIntent): IntentRow {
    const host = this.#options.roster.all.find(({ record }) => record.hostId === intent.hostId);
    return { ...intent, hostName: host?.record.name ?? intent.hostId };
  }

  #put(intent: StoredIntent): void {
    this.#options.cache.putRecord('intent', intent.intentId, { at: intent.createdAt, content: intent });
    if (intent.state === 'waiting') this.#waiting.add(intent.hostId);
  }

  /** Also takes over what another process of this console, or one before a restart, has left. */
  #expire(): void {
    const now = this.#options.clock.now();
    const waiting = new Set<string>();
    for (const intent of this.#stored()) {
      if (!isOpen(intent)) continue;
      const isAtWork = this.#busy.has(intent.hostId) || this.#isLeased(intent);
      if (isAtWork || now < intent.expiresAt) waiting.add(intent.hostId);
      else this.#put({ ...intent, state: 'expired', problem: intent.state === 'waiting' ? expiredProblem : lostProblem });
    }
    this.#waiting = waiting;
  }

  /** Another process is delivering it. A lease that is longer than it can be was made before the clock was set. */
  #isLeased({ state, leasedUntil = 0 }: StoredIntent): boolean {
    const left = leasedUntil - this.#options.clock.now();
    return state === 'delivering' && left > 0 && left <= leaseMs;
  }

  #follow(host: ManagedHost): void {
    const { clock } = this.#options;
    const { hostId } = host.record;
    if (!this.#waiting.has(hostId) || this.#busy.has(hostId) || this.#busy.size >= deliveriesMax) return;
    if (!host.isLive || clock.monotonicMs() < (this.#notBefore.get(hostId) ?? 0)) return;
    this.#busy.add(hostId);
    this.#tasks.start('deliver', async (signal) => {
      try {
        // What was begun is ended first.
        const open = this.#stored().filter((intent) => intent.hostId === hostId && isOpen(intent));
        const intent = open.find(({ state }) => state === 'delivering') ?? open[0];
        if (intent === undefined) this.#waiting.delete(hostId);
        else if (this.#isLeased(intent)) this.#notBefore.set(hostId, clock.monotonicMs() + leaseMs);
        else await withGrace({ clock, graceMs: finishMs, signal }, (lasting) => this.#deliver(host, intent, lasting));
      } finally {
        this.#busy.delete(hostId);
      }
    });
  }

  async #deliver(host: ManagedHost, intent: StoredIntent, signal: AbortSignal): Promise<void> {
    const { cache, clock } = this.#options;
    const rest = (): void => void this.#notBefore.set(host.record.hostId, clock.monotonicMs() + retryMs);
    rest();
    this.#put({ ...intent, state: 'delivering', leasedUntil: clock.now() + leaseMs });
    const outcome = await this.#outcomeOf(host, intent, signal);
    const stored = cache.record<StoredIntent>('intent', intent.intentId);
    // What another process has ended stays ended.
    if (stored !== null && isOpen(stored)) this.#put({ ...intent, ...outcome });
    if (isOpen(outcome)) rest();
  }

  /** Delivers and confirms, or takes up what a process before has begun. Raises CANCELLED alone: then the next process goes on. */
  async #outcomeOf(host: ManagedHost, intent: StoredIntent, signal: AbortSignal): Promise<Outcome> {
    let isBegun = intent.state === 'delivering';
    try {
      const client = await host.client(signal);
      isBegun = true;
      const { config } = await client.deliverIntent({ intent: envelopeOfText(intent.envelope) }, { signal, deadlineMs: deliverDeadlineMs });
      if (config?.state === ConfigRevision_State.ROLLED_BACK) return takenBack(config.settledReason);
      if (config?.state === ConfigRevision_State.PENDING) await this.#options.clock.sleep(observeMs, signal);
      const asked = { revision: config?.revision ?? 0n, transactionId: intent.intentId, withoutDocument: true };
      await (await host.client(signal)).confirmConfig(asked, { signal });
      return { state: 'kept', problem: null };
    } catch (error) {
      if (isCancelled(error)) throw error;
      const { code, message, details } = toErrorShape(error);
      if (code === 'NOTHING_TO_CONFIRM' && details['state'] === 'rolled-back') return takenBack('Not confirmed in time.');
      const isTakenUp = intent.state === 'delivering';
      const problem = { code, message: code === 'INTENT_STALE' && isTakenUp ? `${message} ${begunBefore}` : message };
      if (!awayCodes.has(code)) return { state: 'refused', problem };
      // One that may have reached the host is not withdrawn or replaced before it is known what became of it.
      return { state: isBegun && code !== 'APPLY_IN_PROGRESS' ? 'delivering' : 'waiting', problem };
    }
  }
}

const isOpen = ({ state }: Pick<StoredIntent, 'state'>): boolean => state === 'waiting' || state === 'delivering';

/** Not delivered again by itself: it may be what cut the console off. */
const takenBack = (reason: string): Outcome => ({
  state: 'taken-back',
  problem: { code: 'NOTHING_TO_CONFIRM', message: `Taken back by the host. ${reason} Review the change, then leave it again.` },
});

const replacedProblem = { code: 'INTENT_STALE', message: 'A later intent for this host took its place.' };
const expiredProblem = { code: 'INTENT_EXPIRED', message: 'The host did not come back in time. Review the change again.' };
/** After a day hosts have forgotten what they answered. */
const begunBefore = 'A delivery had begun before; the history of the host says whether it was kept.';
const lostProblem = { code: 'INTENT_EXPIRED', message: `Its time has ended. ${begunBefore}` };
