/** Parses policy documents at the edge: what comes out is checked, frozen and complete. */
import { NestError } from '../../proto/model/error.ts';
import { problemsMax, problemsOfIssues } from './policy-problem.ts';
import type { PolicyProblem } from './policy-problem.ts';
import { crossProblems } from './policy-problems.ts';
import { policySchema } from './policy-schema.ts';
import type { Policy } from './policy-schema.ts';
import { warningsOf } from './policy-warnings.ts';

/**
 * Checks a document (already parsed from JSON or YAML) and returns it frozen, with absent ports as an empty list.
 * Raises POLICY_INVALID; details.problems lists every problem (at most 100) as { path, code, message }.
 */
export const parsePolicy = (input: unknown): Policy => {
  const { policy, problems } = check(input);
  if (policy !== undefined) return policy;
  const [first] = problems;
  const more = problems.length > 1 ? ` And ${String(problems.length - 1)} more.` : '';
  const where = first === undefined || first.path === '' ? '' : `${first.path}: `;
  throw new NestError('POLICY_INVALID', `The policy is refused. ${where}${first?.message ?? ''}${more}`, {
    details: { problems: problems.map(({ path, code, message }) => ({ path, code, message })) },
  });
};

/** Errors, or warnings when there are no errors; at most 100, in the order of the document. Never raises. `nowMs`: to say what is over. */
export const validatePolicy = (input: unknown, nowMs?: number): PolicyProblem[] => {
  const { policy, problems } = check(input);
  return policy === undefined ? problems : warningsOf(policy, nowMs);
};

/** The checked document; undefined when there is any problem. */
export const tryPolicy = (input: unknown): Policy | undefined => check(input).policy;

const check = (input: unknown): { policy: Policy; problems: [] } | { policy: undefined; problems: PolicyProblem[] } => {
  const result = policySchema.safeParse(input);
  const problems = crossProblems(input);
  if (result.success && problems.length === 0) return { policy: deepFreeze(result.data) as Policy, problems: [] };
  const all = result.success ? problems : [...problemsOfIssues(input, result.error.issues), ...problems];
  return { policy: undefined, problems: all.slice(0, problemsMax) };
};

const deepFreeze = (value: unknown): unknown => {
  if (typeof value !== 'object' || value === null) return value;
  for (const inner of Object.values(value)) deepFreeze(inner);
  return Object.freeze(value);
};
