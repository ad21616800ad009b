/** Plans one policy on many hosts at once and keeps the plans until they are applied or too old. */
import { conflictOf } from '../../../proto/model/conflict.ts';
import { NestError, toErrorShape } from '../../../proto/model/error.ts';
import type { NestErrorCode } from '../../../proto/model/error.ts';
import { planLifeMs } from '../../../proto/model/limits.ts';
import type * as model from '../../bridge/model.ts';
import type { AgentClient } from '../../grpc/api.ts';
import { isCancelled, mapConcurrently, ulidOf } from '../../lib/api.ts';
import type { Clock, RandomBytes } from '../../lib/api.ts';
import type { HostRoster } from '../hosts/host-roster.ts';
import type { ManagedHost } from '../hosts/managed-host.ts';
import { diffOf, impactOf, problemOf, shortSubjects, tablesOf } from '../hosts/wire-model.ts';
import { policyOf } from './policy-check.ts';

/** Hosts asked at the same time. */
export const hostsInFlightMax = 16;
/** Plans kept; the oldest goes. */
const plansMax = 32;
/** Flows of this window are replayed, minutes. */
const flowWindowMinutes = 15;

export interface KeptPlan {
  readonly plan: model.FleetPlan;
  readonly policy: string;
  /** Generation the host will report, by host. */
  readonly generations: ReadonlyMap<string, string>;
}

export interface PlannedChange {
  readonly policy: string;
  readonly hostIds: readonly string[];
  /** The revision the change was made on, by host; absent: whatever the host has. */
  readonly bases: Readonly<Record<string, number>>;
}

export interface Planner {
  /** Raises POLICY_INVALID, POLICY_TOO_LARGE, HOST_UNKNOWN; what one host refuses is said in its plan. */
  plan(policy: string, hostIds: readonly string[], signal: AbortSignal): Promise<model.FleetPlan>;
  /** The same for a change that was made on known revisions: a host that has moved on since is not planned, and its plan says who moved it. */
  planFrom(change: PlannedChange, signal: AbortSignal): Promise<model.FleetPlan>;
  /** Raises PLAN_EXPIRED. */
  get(planId: string): KeptPlan;
}

export const createPlanner = (context: { readonly roster: HostRoster; readonly clock: Clock; readonly random: RandomBytes }): Planner => {
  const { roster, clock, random } = context;
  const plans = new Map<string, KeptPlan>();
  const planner: Planner = {
    plan: (policy, hostIds, signal) => planner.planFrom({ policy, hostIds, bases: {} }, signal),
    planFrom: async ({ policy, hostIds, bases }, signal) => {
      policyOf(policy);
      const hosts = [...new Set(hostIds)].map((hostId) => roster.get(hostId));
      const createdAt = clock.now();
      const generations = new Map<string, string>();
      const planned = await mapConcurrently(hosts, hostsInFlightMax, async (host) => {
        const { plan, generation } = await planHost(host, policy, { signal, base: bases[host.record.hostId] });
        generations.set(host.record.hostId, generation);
        return plan;
      });
      const sum = (figure: 'replayed' | 'unchanged' | 'cut' | 'cutLive' | 'newlyAllowed'): number =>
        planned.reduce((total, { impact }) => total + (impact?.[figure] ?? 0), 0);
      const plan: model.FleetPlan = {
        planId: ulidOf(createdAt, random),
        createdAt,
        expiresAt: createdAt + planLifeMs,
        hosts: planned,
        replayed: sum('replayed'),
        unchanged: sum('unchanged'),
        cut: sum('cut'),
        cutLive: sum('cutLive'),
        newlyAllowed: sum('newlyAllowed'),
      };
      plans.set(plan.planId, { plan, policy, generations });
      for (const oldest of plans.keys()) {
        if (plans.size <= plansMax) break;
        plans.delete(oldest);
      }
      return plan;
    },
    get: (planId) => {
      const kept = plans.get(planId);
      if (kept !== undefined && kept.plan.expiresAt > clock.now()) return kept;
      throw new NestError('PLAN_EXPIRED', 'This plan is too old or not known any more. Review the change again.');
    },
  };
  return planner;
};

/** `base`: the revision the policy was made on; absent: whatever the host has. Never raises but CANCELLED. */
export const planHost = async (
  host: ManagedHost,
  policy: string,
  { signal, base }: { readonly signal: AbortSignal; readonly base?: number | undefined },
): Promise<{ readonly plan: model.HostPlan; readonly generation: string }> => {
  const { hostId, name: hostName } = host.record;
  const none = {
    hostId,
    hostName,
    problem: null,
    conflict: null,
    planHash: null,
    baseRevision: null,
    diff: [],
    problems: [],
    impact: null,
    managementReachable: null,
    canApply: false,
    cannotApplyReason: null,
    tables: null,
  };
  try {
    const client = await host.client(signal);
    const baseRevision = base ?? (await currentRevision(client, signal));
    const answer = await client.planConfig({ baseRevision: BigInt(baseRevision), policyJson: policy, flowWindowMinutes }, { signal });
    const plan: model.HostPlan = {
      ...none,
      planHash: answer.planHash === '' ? null : answer.planHash,
      baseRevision: Number(answer.baseRevision),
      diff: diffOf(answer.diff),
      problems: answer.problems.map(problemOf),
      impact: answer.impact === undefined ? null : impactOf(answer.impact),
      managementReachable: answer.managementReachable ?? null,
      canApply: answer.canApply && answer.planHash !== '',
      cannotApplyReason: answer.cannotApplyReason === '' ? null : answer.cannotApplyReason,
      tables: answer.tables === undefined ? null : tablesOf(answer.tables),
    };
    return { plan, generation: answer.generation };
  } catch (error) {
    if (isCancelled(error)) throw error;
    const { code, message } = toErrorShape(error);
    const plan = { ...none, conflict: movedOn(error), problem: { code, message }, cannotApplyReason: message };
    return { plan, generation: '' };
  }
};

const movedOn = (error: unknown): model.RevisionConflict | null => {
  const conflict = conflictOf(error);
  if (conflict === null) return null;
  const { baseRevision, revision, author, createdAtMs, comment } = conflict;
  return { baseRevision, revision, author: shortSubjects(author), createdAt: createdAtMs, comment };
};

/** A host that never had a policy has no revision: 0. */
const firstRevisionCodes: ReadonlySet<NestErrorCode> = new Set<NestErrorCode>(['REVISION_UNKNOWN', 'NOT_FOUND']);

const currentRevision = async (client: AgentClient, signal: AbortSignal): Promise<number> => {
  try {
    return Number((await client.getConfig(0, { signal })).revision);
  } catch (error) {
    if (firstRevisionCodes.has(toErrorShape(error).code)) return 0;
    throw error;
  }
};
