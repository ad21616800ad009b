import { Problem_Severity } from '../../../proto/gen/nest/v1/common.ts';
import { DiffLine_Kind } from '../../../proto/gen/nest/v1/config.ts';
import type { FlowImpact as WireImpact, PlanConfigResponse } from '../../../proto/gen/nest/v1/config.ts';
import type { FlowImpact, Plan } from '../../domains/traffic/api.ts';
import { toWireFlow } from './flow-wire.ts';
import { wholeMs } from './revision-wire.ts';

const diffKinds = { same: DiffLine_Kind.SAME, added: DiffLine_Kind.ADDED, removed: DiffLine_Kind.REMOVED } as const;
const severities = { error: Problem_Severity.ERROR, warning: Problem_Severity.WARNING } as const;

/** A plan on the wire. */
export const toWirePlan = (plan: Plan): Omit<PlanConfigResponse, 'documentKept'> => ({
  planHash: plan.planHash,
  baseRevision: BigInt(plan.baseRevision),
  baseEtag: plan.baseEtag,
  generation: plan.generation,
  diff: plan.diff.map(({ kind, text }) => ({ kind: diffKinds[kind], text })),
  problems: plan.problems.map(({ code, severity, path, message }) => ({ code, severity: severities[severity], path, message })),
  impact: plan.impact === null ? undefined : toWireImpact(plan.impact),
  expiresAtMs: wholeMs(plan.expiresAtMs),
  managementReachable: plan.managementReachable ?? undefined,
  tables: plan.tables === null ? undefined : { ...plan.tables },
  canApply: plan.canApply,
  cannotApplyReason: plan.cannotApplyReason,
});

const toWireImpact = (impact: FlowImpact): WireImpact => ({
  replayed: BigInt(impact.replayed),
  unchanged: BigInt(impact.unchanged),
  cut: BigInt(impact.cut),
  cutLive: BigInt(impact.cutLive),
  newlyAllowed: BigInt(impact.newlyAllowed),
  windowSeconds: impact.windowSeconds,
  changes: impact.changes.map(({ flow, allowed, mapping }) => ({ flow: toWireFlow(flow), allowed, mapping })),
  changesTruncated: impact.changesTruncated,
  recordsLost: BigInt(impact.recordsLost),
});
