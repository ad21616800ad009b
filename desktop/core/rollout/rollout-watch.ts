/** What the hosts of a rollout were seen doing, by the console's monotonic clock: soak, silence, counters, and what breaks a gate. */
import type { RolloutPlan } from '../../../proto/model/rollout.ts';
import type { RolloutGate } from '../../bridge/rollout-model.ts';
import type { Clock } from '../../lib/api.ts';
import { breachText, judgeHost, ratesOf } from './rollout-gates.ts';
import type { RolloutHosts } from './rollout-hosts.ts';
import { failuresOf, turnsOf } from './rollout-progress.ts';
import type { RolloutProgress } from './rollout-progress.ts';
import { createSampler } from './rollout-sampler.ts';
import type { Sampler } from './rollout-sampler.ts';

/** A host that falls silent while it soaks stops the rollout after so long. */
const silentMsMax = 10_000;
/** Rates after the change are taken over so long at most. */
const rateWindowMs = 10_000;

export class RolloutWatch {
  readonly #options: { readonly plan: RolloutPlan; readonly hosts: RolloutHosts; readonly clock: Clock };
  readonly #sampler: Sampler;
  /** By host, monotonic: when its soak began, since when it is watched, when it was last heard, since when it is missed. */
  readonly #soakingSince = new Map<string, number>();
  readonly #observedSince = new Map<string, number>();
  readonly #heardAt = new Map<string, number>();
  readonly #missedSince = new Map<string, number>();

  constructor(options: { readonly plan: RolloutPlan; readonly hosts: RolloutHosts; readonly clock: Clock }) {
    this.#options = options;
    this.#sampler = createSampler(options.plan.baselineSeconds * 1000);
  }

  /** A change waits on the host since `agoMs`. */
  soaks(hostId: string, agoMs: number): void {
    const nowMs = this.#options.clock.monotonicMs();
    this.#soakingSince.set(hostId, nowMs - agoMs);
    this.#observedSince.delete(hostId);
    this.#heardAt.set(hostId, nowMs);
  }

  /** Milliseconds; 0 when it does not soak. */
  soakedMs(hostId: string): number {
    return this.#since(this.#soakingSince, hostId);
  }

  soakLeftMs(hostId: string): number | null {
    return this.#soakingSince.has(hostId) ? Math.max(0, this.#options.plan.soakSeconds * 1000 - this.soakedMs(hostId)) : null;
  }

  /** How long this console has watched the host since its change, milliseconds. */
  observedMs(hostId: string): number {
    return this.#since(this.#observedSince, hostId);
  }

  /** How long the host is missed, milliseconds; counts from the first call. */
  missedMs(hostId: string): number {
    if (!this.#missedSince.has(hostId)) this.#missedSince.set(hostId, this.#options.clock.monotonicMs());
    return this.#since(this.#missedSince, hostId);
  }

  found(hostId: string): void {
    this.#missedSince.delete(hostId);
  }

  /** Drops per second before the change; null until they were measured. */
  baseline(hostId: string): Readonly<Record<string, number>> | null {
    return this.#sampler.baseline(hostId);
  }

  nextWave(): void {
    this.#sampler.clear();
  }

  /** Reads the hosts whose turn has come; the gates that changed. */
  observe(progress: RolloutProgress): readonly { readonly hostId: string; readonly gates: readonly RolloutGate[] }[] {
    const { hosts, clock, plan } = this.#options;
    const nowMs = clock.monotonicMs();
    return turnsOf(progress).flatMap(({ hostId, state, baseline, gates: before }) => {
      const view = hosts.view(hostId);
      if (view === null) return [];
      this.#heardAt.set(hostId, nowMs);
      this.#sampler.add(hostId, { monotonicMs: nowMs, drops: view.drops });
      if (state !== 'soaking' && state !== 'keeping' && state !== 'kept') return [];
      const since = this.#observedSince.get(hostId) ?? nowMs;
      this.#observedSince.set(hostId, since);
      const rates = ratesOf(this.#sampler.since(hostId, since), rateWindowMs);
      const gates = judgeHost(plan.gates, { baseline, view, rates });
      return JSON.stringify(gates) === JSON.stringify(before) ? [] : [{ hostId, gates }];
    });
  }

  /** Why the rollout has to stop; null when it may go on. */
  breach(progress: RolloutProgress): string | null {
    const { plan, clock } = this.#options;
    const failed = failuresOf(progress);
    const [first] = failed;
    if (first !== undefined && failed.length > plan.failuresMax)
      return `${String(failed.length)} of ${String(progress.hosts.length)} hosts failed, at most ${String(plan.failuresMax)} may. ${first.hostName}: ${first.problem?.message ?? ''}`;
    for (const { hostId, hostName, state, gates } of turnsOf(progress)) {
      const breached = state === 'soaking' || state === 'kept' ? gates.find(({ verdict }) => verdict === 'breached') : undefined;
      if (breached !== undefined) return breachText(hostName, breached);
      const silentMs = clock.monotonicMs() - (this.#heardAt.get(hostId) ?? Infinity);
      if (plan.gates.health && state === 'soaking' && silentMs > silentMsMax) return `${hostName} does not answer since the change.`;
    }
    return null;
  }

  #since(moments: ReadonlyMap<string, number>, hostId: string): number {
    const nowMs = this.#options.clock.monotonicMs();
    return nowMs - (moments.get(hostId) ?? nowMs);
  }
}
