/** Approvals of mappings: who may bring one, and who gives it. */
import { NestError } from '../../../proto/model/error.ts';
import { approvalProblems, isSameRequest, parsePolicy, withApproval } from '../../engine/api.ts';
import type { Policy } from '../../engine/api.ts';
import type { ApprovalRequest, BroughtPolicy } from './api.ts';
import { parseDocument } from './policy-tables.ts';

/** A letter of a key can be written as an escape, too. */
const approvalPattern = /"approval"|\\u/;

/** False for documents that hold no approval for sure: those are not looked into, some are large. */
export const mayHoldApprovals = (policyJson: string): boolean => approvalPattern.test(policyJson);

/** Raises POLICY_INVALID when a document says about approvals what its author may not say. */
export const checkApprovals = ({ policyJson, basePolicyJson, author }: BroughtPolicy): void => {
  if (!mayHoldApprovals(policyJson)) return;
  const problems = approvalProblems(readable(basePolicyJson), parsePolicy(parseDocument(policyJson)), author);
  const [first] = problems;
  if (first === undefined) return;
  const details = { problems: problems.map(({ path, code, message }) => ({ path, code, message })) };
  throw new NestError('POLICY_INVALID', `The policy is refused. ${first.path}: ${first.message}`, { details });
};

/** The document with the approval in it. Raises NOT_FOUND, APPROVAL_REFUSED. */
export const approveIn = ({ policyJson, mapping, approver, history }: ApprovalRequest, nowMs: number): string => {
  const policy = parsePolicy(parseDocument(policyJson));
  const approved = readable(withApproval(policy, { mapping, approver, authors: bringersOf(policy, mapping, history), nowMs }));
  const approval = approved?.mappings.find(({ name }) => name === mapping)?.approval;
  // The rest stays as it was written: what may be left out is not filled in.
  const written = JSON.parse(policyJson) as { readonly mappings: readonly { readonly name: string }[] };
  return JSON.stringify({ ...written, mappings: written.mappings.map((each) => (each.name === mapping ? { ...each, approval } : each)) });
};

/** Who brought the request to this host: the author of the earliest revision in a row that has it as it is now. */
const bringersOf = (policy: Policy, name: string, history: ApprovalRequest['history']): readonly string[] => {
  const asked = policy.mappings.find((mapping) => mapping.name === name);
  let bringer: string | null = null;
  for (const { policyJson, author } of history) {
    const older = readable(policyJson)?.mappings.find((mapping) => mapping.name === name);
    if (asked === undefined || older === undefined || !isSameRequest(asked, older)) break;
    bringer = author;
  }
  return bringer === null ? [] : [bringer];
};

/** A document that this version cannot read has no approvals. */
const readable = (policyJson: string): Policy | undefined => {
  try {
    return parsePolicy(parseDocument(policyJson));
  } catch (error) {
    if (error instanceof NestError) return undefined;
    throw error;
  }
};
