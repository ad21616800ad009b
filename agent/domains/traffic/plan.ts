import { createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { refuseDuplicateKeys } from '../../../proto/model/duplicate-keys.ts';
import { errorCodeOf, toErrorShape } from '../../../proto/model/error.ts';
import { planLifeMs } from '../../../proto/model/limits.ts';
import { approvalProblems, diffPolicies, parsePolicy, validatePolicy } from '../../engine/api.ts';
import type { Policy, PolicyImage } from '../../engine/api.ts';
import type { FlowImpact, Plan, PlanRequest, Problem } from './api.ts';
import type { Attachment } from './attachments.ts';
import { contextWarnings, isManagementReachable } from './context-warnings.ts';
import { localSourceWarning } from './local-source-warning.ts';
import type { ReadSetting } from './local-source-warning.ts';
import { parseDocument } from './policy-tables.ts';
import type { DocumentCompiler, PolicyTables } from './policy-tables.ts';

export interface PlanContext {
  readonly compiler: DocumentCompiler;
  readonly attachments: readonly Attachment[];
  /** Why a plan cannot be applied on this host; empty when it can. */
  readonly observeReason: string;
  /** The candidate's judge with deny lists from files and of the host. Raises POLICY_INVALID, POLICY_TOO_LARGE. */
  readonly complete: (tables: PolicyTables) => Promise<PolicyImage>;
  /** null where no flows are known. */
  readonly replay: (candidate: PolicyImage, windowMinutes: number, signal: AbortSignal) => Promise<FlowImpact | null>;
  /** Milliseconds since the Unix epoch. */
  readonly nowMs: number;
  readonly readSetting: ReadSetting | undefined;
}

/** SHA-256 of the base's etag and the candidate's generation: the same plan on the same base has the same hash. */
export const planHashOf = (baseEtag: string, generation: string): string =>
  createHash('sha256').update(`${baseEtag}|${generation}`).digest('hex');

/** Difference, problems and effect of a candidate, before anything is touched. A refused candidate has problems and nothing else. */
export const makePlan = async (request: PlanRequest, context: PlanContext, signal: AbortSignal): Promise<Plan> => {
  const candidate = await compileCandidate(request.policyJson, context);
  if ('refused' in candidate) return refusedPlan(request, context, candidate.refused);
  const { tables, judge } = candidate;
  const forbidden = tables.document.mappings.some(({ approval }) => approval !== undefined)
    ? approvalProblems(parsedOrNone(request.base.policyJson), tables.document, request.author ?? null)
    : [];
  if (forbidden.length > 0) return refusedPlan(request, context, forbidden);
  const managementReachable = isManagementReachable(judge, request.management);
  await setImmediate();
  const found = validatePolicy(tables.document, context.nowMs).map(problemOf);
  await setImmediate();
  const impact = await context.replay(judge, request.flowWindowMinutes, signal);
  const isEnforcing = context.observeReason === '';
  const problems = [
    ...found,
    ...contextWarnings(judge, { managementReachable, attachments: context.attachments, isEnforcing }),
    ...(isEnforcing ? await sourceNatProblems(tables.policy, context) : []),
  ];
  return {
    planHash: planHashOf(request.base.etag, tables.generation),
    baseRevision: request.base.revision,
    baseEtag: request.base.etag,
    generation: tables.generation,
    diff: diffOf(request.base.policyJson, tables.document),
    problems,
    impact,
    expiresAtMs: context.nowMs + planLifeMs,
    managementReachable,
    tables: tables.stats,
    canApply: isEnforcing,
    cannotApplyReason: context.observeReason,
    mappingCount: tables.document.mappings.length,
    serviceCount: tables.document.services.length,
  };
};

const compileCandidate = async (
  policyJson: string,
  { compiler, complete }: PlanContext,
): Promise<{ readonly tables: PolicyTables; readonly judge: PolicyImage } | { readonly refused: readonly Problem[] }> => {
  try {
    const tables = await compiler.compile(policyJson);
    refuseDuplicateKeys(policyJson);
    return { tables, judge: await complete(tables) };
  } catch (error) {
    const code = errorCodeOf(error);
    if (code !== 'POLICY_INVALID' && code !== 'POLICY_TOO_LARGE') throw error;
    const { message, details } = toErrorShape(error);
    const listed = code === 'POLICY_INVALID' ? problemsIn(details['problems']) : [];
    return { refused: listed.length > 0 ? listed : [{ code, severity: 'error', path: pathOf(policyJson, details['mapping']), message }] };
  }
};

const refusedPlan = (request: PlanRequest, context: PlanContext, problems: readonly Problem[]): Plan => ({
  planHash: '',
  baseRevision: request.base.revision,
  baseEtag: request.base.etag,
  generation: '',
  diff: [],
  problems,
  impact: null,
  expiresAtMs: context.nowMs + planLifeMs,
  managementReachable: null,
  tables: null,
  canApply: false,
  cannotApplyReason: 'The policy has errors: correct them first.',
  mappingCount: 0,
  serviceCount: 0,
});

/** What the kernel of this host would do to packets that leave under its own address. */
const sourceNatProblems = async (policy: Policy, { attachments, readSetting }: PlanContext): Promise<readonly Problem[]> => {
  const attached = attachments.filter(({ mode }) => mode !== null).map(({ name }) => name);
  const message = await localSourceWarning(policy, attached, readSetting);
  return message === '' ? [] : [{ code: 'SOURCE_NAT_DROPPED_BY_KERNEL', severity: 'warning', path: 'mappings', message }];
};

const problemOf = ({ code, severity, path, message }: Problem): Problem => ({ code, severity, path, message });

const problemsIn = (listed: unknown): Problem[] =>
  Array.isArray(listed)
    ? listed.map((entry: { code: string; path: string; message: string }) => ({
        code: entry.code,
        severity: 'error',
        path: entry.path,
        message: entry.message,
      }))
    : [];

/** Where the named mapping stands in the document; empty when it is not there. */
const pathOf = (policyJson: string, mapping: unknown): string => {
  if (typeof mapping !== 'string') return '';
  const { mappings } = parsePolicy(parseDocument(policyJson));
  const position = mappings.findIndex(({ name }) => name === mapping);
  return position < 0 ? '' : `mappings[${String(position)}]`;
};

const diffOf = (baseJson: string, candidate: Policy): Plan['diff'] => {
  const { lines, linesHidden } = diffPolicies(parsedOrNone(baseJson), candidate);
  return linesHidden === 0 ? lines : [...lines, { kind: 'same', text: `(${linesHidden.toLocaleString('en-US')} more lines)` }];
};

/** A base that this version cannot read is shown as if there was none: everything is added. */
const parsedOrNone = (policyJson: string): Policy | undefined => {
  try {
    return parsePolicy(parseDocument(policyJson));
  } catch (error) {
    if (errorCodeOf(error) === 'INTERNAL') throw error;
    return undefined;
  }
};
