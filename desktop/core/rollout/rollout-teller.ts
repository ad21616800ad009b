/** Writes the records of one rollout to its hosts: each host keeps its own, signed, in the order of this console's term. */
import { errorCodeOf, toErrorShape } from '../../../proto/model/error.ts';
import type { Envelope } from '../../../proto/model/operator-signature.ts';
import type { RolloutState } from '../../../proto/model/rollout.ts';
import { isCancelled } from '../../lib/api.ts';
import type { Clock } from '../../lib/api.ts';
import type { Problem, RolloutHosts } from './rollout-hosts.ts';
import { stateFor } from './rollout-progress.ts';
import type { RolloutProgress } from './rollout-progress.ts';

export interface TellerOptions {
  readonly hosts: RolloutHosts;
  readonly clock: Clock;
  readonly planEnvelope: Envelope;
  readonly sign: (state: RolloutState) => Envelope;
}

export class RolloutTeller {
  readonly #options: TellerOptions;
  /** Hosts that have the plan. */
  readonly #told = new Set<string>();
  #sequence = 0;

  constructor(options: TellerOptions) {
    this.#options = options;
  }

  /** Writes what is known now. Null when the host keeps it, else why not. Raises CANCELLED. */
  async put(progress: RolloutProgress, hostId: string, signal: AbortSignal): Promise<Problem | null> {
    const { hosts, sign, clock, planEnvelope } = this.#options;
    this.#sequence += 1;
    const state = sign(stateFor(progress, hostId, { sequence: this.#sequence, now: clock.now() }));
    try {
      await hosts.put(hostId, { plan: this.#told.has(hostId) ? null : planEnvelope, state }, signal);
      this.#told.add(hostId);
      return null;
    } catch (error) {
      if (isCancelled(error)) throw error;
      // A host that was installed anew does not know the plan any more.
      if (errorCodeOf(error) === 'NOT_FOUND' && this.#told.delete(hostId)) return this.put(progress, hostId, signal);
      const { code, message } = toErrorShape(error);
      return { code, message };
    }
  }
}
