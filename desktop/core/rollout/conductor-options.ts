/** What conducts a rollout works with. */
import type { Envelope } from '../../../proto/model/operator-signature.ts';
import type { RolloutPlan, RolloutState } from '../../../proto/model/rollout.ts';
import type { Clock } from '../../lib/api.ts';
import type { RolloutHosts } from './rollout-hosts.ts';
import type { HostProgress, RolloutProgress } from './rollout-progress.ts';

/** Time a host waits beyond its soak for the word of the console, seconds. */
export const marginSeconds = 120;

/** Longest time a host waits for the word of the console, seconds. */
export const confirmWithinOf = ({ soakSeconds }: RolloutPlan): number => Math.min(3_600, soakSeconds + marginSeconds);

export interface ConductorOptions {
  readonly plan: RolloutPlan;
  readonly planEnvelope: Envelope;
  readonly progress: RolloutProgress;
  /** True: the hosts have not been told of it yet, and one that is in another rollout ends it. */
  readonly isNew: boolean;
  readonly hosts: RolloutHosts;
  readonly clock: Clock;
  readonly sign: (state: RolloutState) => Envelope;
  /** Called after every tick that changed something. */
  readonly save: (progress: RolloutProgress) => void;
  /** What a host keeps about this rollout; null when nothing, or when nobody of the fleet has signed it. */
  readonly recordOf: (hostId: string, signal: AbortSignal) => Promise<RolloutState | null>;
  /** Leaves a signed change for a host that is away; what to say about it. */
  readonly leaveIntent: (hostId: string, plan: RolloutPlan) => HostProgress['problem'];
  readonly report: (message: string, fields: Readonly<Record<string, unknown>>) => void;
}
