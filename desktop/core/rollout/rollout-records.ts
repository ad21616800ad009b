/** Where rollouts are written down: this console's cache, and the hosts that take part. */
import { envelopeOfText, envelopeText } from '../../../proto/model/envelope-text.ts';
import { sealEnvelope } from '../../../proto/model/envelope.ts';
import type { EnvelopeSigner } from '../../../proto/model/envelope.ts';
import { NestError } from '../../../proto/model/error.ts';
import { openSigned } from '../../../proto/model/operator-signature.ts';
import type { Envelope, SignatureCheck } from '../../../proto/model/operator-signature.ts';
import { encodeRollout, parseRolloutPlan, parseRolloutState, rolloutPlanType, rolloutStateType } from '../../../proto/model/rollout.ts';
import type { RolloutPlan, RolloutState } from '../../../proto/model/rollout.ts';
import { mapConcurrently } from '../../lib/api.ts';
import type { Clock } from '../../lib/api.ts';
import type { FleetCache } from '../cache/fleet-cache.ts';
import type { RolloutHosts } from './rollout-hosts.ts';
import type { RolloutProgress } from './rollout-progress.ts';

const callsInFlightMax = 16;
const listedMax = 50;
/** A process that has not renewed its lease for so long is dead. */
const leaseMs = 5_000;

export interface SignedPlan {
  readonly plan: RolloutPlan;
  readonly envelope: Envelope;
  /** Who signed it. */
  readonly operator: string;
}

export interface FoundState {
  readonly state: RolloutState;
  readonly operator: string;
}

export interface RolloutRecordsOptions {
  readonly cache: FleetCache;
  readonly hosts: RolloutHosts;
  readonly clock: Clock;
  readonly signer: EnvelopeSigner;
  /** Trusted roots, PEM, as they are now. */
  readonly fleetRoots: () => string;
  readonly fleetId: string;
  /** Names this process. */
  readonly conductor: string;
}

interface Lease {
  readonly conductor: string;
  readonly at: number;
}

export class RolloutRecords {
  readonly #options: RolloutRecordsOptions;

  constructor(options: RolloutRecordsOptions) {
    this.#options = options;
  }

  signPlan(plan: RolloutPlan): Envelope {
    return sealEnvelope(rolloutPlanType, encodeRollout(plan), [this.#options.signer]);
  }

  signState(state: RolloutState): Envelope {
    return sealEnvelope(rolloutStateType, encodeRollout(state), [this.#options.signer]);
  }

  /** Newest first. */
  all(): readonly RolloutProgress[] {
    return this.#options.cache.records<RolloutProgress>('rollout-progress', listedMax);
  }

  progress(rolloutId: string): RolloutProgress | null {
    return this.#options.cache.record<RolloutProgress>('rollout-progress', rolloutId);
  }

  save(progress: RolloutProgress): void {
    this.#options.cache.putRecord('rollout-progress', progress.rolloutId, { at: progress.startedAt, content: progress });
  }

  savePlan({ plan, envelope }: Pick<SignedPlan, 'plan' | 'envelope'>): void {
    this.#options.cache.putRecord('rollout-plan', plan.rolloutId, { at: plan.createdAtMs, content: envelopeText(envelope) });
  }

  /** From the cache. Null when it is not there; raises when its signature does not hold. */
  plan(rolloutId: string): SignedPlan | null {
    const text = this.#options.cache.record<string>('rollout-plan', rolloutId);
    return text === null ? null : this.#opened(envelopeOfText(text));
  }

  /** From the first of these hosts that has it, with a signature that holds. */
  async planFrom(hostIds: readonly string[], rolloutId: string, signal: AbortSignal): Promise<SignedPlan | null> {
    for (const hostId of hostIds) {
      const [record] = await this.#options.hosts.records(hostId, rolloutId, signal);
      if (record?.plan !== undefined && record.rolloutId === rolloutId) return this.#opened(record.plan);
    }
    return null;
  }

  /** What these hosts keep about a rollout, or about all ("" = all), as far as signatures hold. */
  async states(hostIds: readonly string[], rolloutId: string, signal: AbortSignal): Promise<readonly FoundState[]> {
    const found = await mapConcurrently(hostIds, callsInFlightMax, async (hostId) => {
      const records = await this.#options.hosts.records(hostId, rolloutId, signal);
      return records.flatMap(({ state }) => (state === undefined ? [] : this.#openedState(state)));
    });
    return found.flat();
  }

  /** Which live process of this console conducts it: 'here', 'beside' (another one), or null. */
  lease(rolloutId: string): 'here' | 'beside' | null {
    const lease = this.#options.cache.record<Lease>('rollout-lease', rolloutId);
    if (lease === null || Math.abs(this.#options.clock.now() - lease.at) > leaseMs) return null;
    return lease.conductor === this.#options.conductor ? 'here' : 'beside';
  }

  renewLease(rolloutId: string): void {
    const { cache, clock, conductor } = this.#options;
    cache.putRecord('rollout-lease', rolloutId, { at: clock.now(), content: { conductor, at: clock.now() } satisfies Lease });
  }

  dropLease(rolloutId: string): void {
    this.#options.cache.dropRecord('rollout-lease', rolloutId);
  }

  /** A word for the process that conducts it. */
  putCommand(rolloutId: string, command: RolloutCommand): void {
    this.#options.cache.putRecord('rollout-command', rolloutId, { at: this.#options.clock.now(), content: command });
  }

  takeCommand(rolloutId: string): RolloutCommand | null {
    const command = this.#options.cache.record<RolloutCommand>('rollout-command', rolloutId);
    if (command !== null) this.#options.cache.dropRecord('rollout-command', rolloutId);
    return command;
  }

  #opened(envelope: Envelope): SignedPlan {
    const { payload, subject } = openSigned(envelope, rolloutPlanType, this.#check());
    return { plan: parseRolloutPlan(payload), envelope, operator: subject };
  }

  /** A host that shows a state nobody of the fleet has signed is not believed. */
  #openedState(envelope: Envelope): readonly FoundState[] {
    try {
      const { payload, subject } = openSigned(envelope, rolloutStateType, this.#check());
      return [{ state: parseRolloutState(payload), operator: subject }];
    } catch (error) {
      if (error instanceof NestError) return [];
      throw error;
    }
  }

  #check(): SignatureCheck {
    const { fleetRoots, fleetId, clock } = this.#options;
    // Whoever wrote it was allowed to by the host that keeps it.
    return { fleetRoot: fleetRoots(), fleetId, nowMs: clock.now(), maySign: () => true };
  }
}

export type RolloutCommand = 'pause' | 'resume' | 'abort';
