import { NestError } from '../../../proto/model/error.ts';
import { planLifeMs } from '../../../proto/model/limits.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Plan } from './api.ts';

/** Plans kept; the oldest goes first. */
const plansMax = 32;

export interface PlanCache {
  put(plan: Plan): void;
  /** The plan, when `given` answers its generation. Raises PLAN_EXPIRED before it asks, PLAN_MISMATCH, and what `given` raises. */
  take(planHash: string, given: () => Promise<string>): Promise<Plan>;
}

/** Plans by hash for ten minutes of monotonic time. */
export const createPlanCache = (clock: Clock): PlanCache => {
  const plans = new Map<string, { readonly plan: Plan; readonly endsMs: number }>();
  return {
    put: (plan) => {
      plans.delete(plan.planHash);
      plans.set(plan.planHash, { plan, endsMs: clock.monotonicMs() + planLifeMs });
      for (const oldest of plans.keys()) {
        if (plans.size <= plansMax) break;
        plans.delete(oldest);
      }
    },
    take: async (planHash, given) => {
      const found = plans.get(planHash);
      if (found === undefined || clock.monotonicMs() >= found.endsMs) {
        throw new NestError(
          'PLAN_EXPIRED',
          'This plan is not known any more: it is older than ten minutes, or the agent was restarted. Plan again and review the effect.',
        );
      }
      const { plan } = found;
      const generation = await given();
      if (generation === plan.generation) return plan;
      throw new NestError('PLAN_MISMATCH', 'The policy is not the one that was planned: plan it, review the effect and apply that plan.', {
        details: { planned: plan.generation, given: generation },
      });
    },
  };
};
