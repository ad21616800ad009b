/** Signed changes for hosts that are away: kept in the cache, delivered when a host is back, and never after their time. */
import { envelopeOfText, envelopeText } from '../../../proto/model/envelope-text.ts';
import { sealEnvelope } from '../../../proto/model/envelope.ts';
import type { EnvelopeSigner } from '../../../proto/model/envelope.ts';
import { NestError, toErrorShape } from '../../../proto/model/error.ts';
import type { NestErrorCode } from '../../../proto/model/error.ts';
import { encodeIntent, intentLifeMsMax, intentType } from '../../../proto/model/intent.ts';
import type { Intent } from '../../../proto/model/intent.ts';
import type { Envelope } from '../../../proto/model/operator-signature.ts';
import type { IntentRow } from '../../bridge/rollout-model.ts';
import { createTaskGroup, isCancelled, ulidOf } from '../../lib/api.ts';
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

interface StoredIntent extends Omit<IntentRow, 'hostName'> {
  readonly envelope: string;
  readonly sequence: number;
}

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
      .filter(({ state }) => state === 'waiting' || state === 'delivering')
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

  async close(): Promise<void> {
    await this.#tasks.close();
  }

  #stored(): readonly StoredIntent[] {
    return this.#options.cache.records<StoredIntent>('intent', listedMax);
  }

  #row({ envelope: _envelope, sequence: _sequence, ...intent }: StoredIntent): IntentRow {
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
      // Delivered by a process that died: the host answers a repetition as it did the first time.
      const isLost = intent.state === 'delivering' && !this.#busy.has(intent.hostId);
      if (intent.state !== 'waiting' && !isLost) continue;
      if (now >= intent.expiresAt) this.#put({ ...intent, state: 'expired', problem: expiredProblem });
      else waiting.add(intent.hostId);
    }
    this.#waiting = waiting;
  }

  #follow(host: ManagedHost): void {
    const { hostId } = host.record;
    const now = this.#options.clock.monotonicMs();
    if (!this.#waiting.has(hostId) || this.#busy.has(hostId) || !host.isLive || now < (this.#notBefore.get(hostId) ?? 0)) return;
    this.#busy.add(hostId);
    this.#tasks.start('deliver', async (signal) => {
      try {
        const intent = this.#stored().find((one) => one.hostId === hostId && (one.state === 'waiting' || one.state === 'delivering'));
        if (intent === undefined) this.#waiting.delete(hostId);
        else await this.#deliver(host, intent, signal);
      } finally {
        this.#busy.delete(hostId);
      }
    });
  }

  async #deliver(host: ManagedHost, intent: StoredIntent, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    this.#put({ ...intent, state: 'delivering' });
    try {
      const client = await host.client(signal);
      const { config } = await client.deliverIntent({ intent: envelopeOfText(intent.envelope) }, { signal, deadlineMs: deliverDeadlineMs });
      await clock.sleep(observeMs, signal);
      const asked = { revision: config?.revision ?? 0n, transactionId: intent.intentId, withoutDocument: true };
      await (await host.client(signal)).confirmConfig(asked, { signal });
      this.#put({ ...intent, state: 'kept', problem: null });
      this.#waiting.delete(host.record.hostId);
    } catch (error) {
      // Left as it is: the next process goes on.
      if (isCancelled(error)) throw error;
      const { code, message } = toErrorShape(error);
      const mayWait = awayCodes.has(code) && clock.now() < intent.expiresAt;
      this.#put({ ...intent, state: mayWait ? 'waiting' : 'refused', problem: { code, message } });
      if (!mayWait) this.#waiting.delete(host.record.hostId);
      this.#notBefore.set(host.record.hostId, clock.monotonicMs() + retryMs);
    }
  }
}

const replacedProblem = { code: 'INTENT_STALE', message: 'A later intent for this host took its place.' };
const expiredProblem = { code: 'INTENT_EXPIRED', message: 'The host did not come back in time. Review the change again.' };
