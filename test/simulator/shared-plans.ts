/**
 * What simulated agents of one process compile and plan together. A thousand hosts have a thousand processors; here the same document is
 * compiled once, and the same change of the same document is compared once. Answers are those that each of them would have given.
 */
import type { Plan, PlanRequest } from '../../agent/domains/traffic/api.ts';
import { makePlan, planHashOf } from '../../agent/domains/traffic/plan.ts';
import { createDocumentCompiler } from '../../agent/domains/traffic/policy-tables.ts';
import type { DocumentCompiler, PolicyTables } from '../../agent/domains/traffic/policy-tables.ts';
import { policyInForce } from '../../agent/engine/api.ts';
import type { Clock } from '../../agent/lib/clock.ts';
import { planLifeMs } from '../../proto/model/limits.ts';

/** A shared plan is made anew after this: what it says of times to come grows old. */
const shareMs = 5_000;
const sharedMax = 4;
const never = new AbortController().signal;

interface PlanParts {
  readonly compiler: DocumentCompiler;
  readonly clock: Clock;
}

// No document that comes here holds approvals: at every moment all of it is in force.
const compiler = createDocumentCompiler((policy) => policyInForce(policy, 0));
const compiling = new Map<string, Promise<PolicyTables>>();
const planning = new Map<string, { readonly plan: Promise<Plan>; readonly endsMs: number }>();

/** A document without approvals. Raises POLICY_INVALID, POLICY_TOO_LARGE. */
export const compileShared = (policyJson: string): Promise<PolicyTables> => {
  const begun = compiling.get(policyJson);
  if (begun !== undefined) return begun;
  const tables = compiler.compile(policyJson).finally(() => compiling.delete(policyJson));
  compiling.set(policyJson, tables);
  return tables;
};

/** The plan of this agent alone. It knows no interfaces and no flows, and says nothing of them. */
export const planAlone = (request: PlanRequest, parts: PlanParts, signal: AbortSignal): Promise<Plan> =>
  makePlan(
    request,
    {
      compiler: parts.compiler,
      attachments: [],
      observeReason: '',
      complete: async (tables) => tables.judge,
      nowMs: parts.clock.nowMs(),
      readSetting: undefined,
      replay: async () => null,
    },
    signal,
  );

/** The same for documents without approvals, from the plan of a neighbour who was asked the same. */
export const planShared = async (request: PlanRequest, parts: PlanParts, signal: AbortSignal): Promise<Plan> => {
  const { policyJson, base, management } = request;
  // Simulated agents listen on loopback, which is told from an unknown caller and from nothing else.
  const key = JSON.stringify([management === null, base.policyJson, policyJson]);
  const nowMs = parts.clock.monotonicMs();
  const begun = planning.get(key);
  const shared = begun !== undefined && nowMs < begun.endsMs ? begun.plan : planAlone(request, parts, never);
  if (shared !== begun?.plan) {
    planning.delete(key);
    planning.set(key, { plan: shared, endsMs: nowMs + shareMs });
    for (const oldest of planning.keys()) {
      if (planning.size <= sharedMax) break;
      planning.delete(oldest);
    }
  }
  const plan = await shared;
  signal.throwIfAborted();
  return {
    ...plan,
    planHash: plan.planHash === '' ? '' : planHashOf(base.etag, plan.generation),
    baseRevision: base.revision,
    baseEtag: base.etag,
    expiresAtMs: parts.clock.nowMs() + planLifeMs,
  };
};
