/** Which mappings of a policy are in force at a moment, and who may write what into an approval. */
import { NestError } from '../../proto/model/error.ts';
import type { PolicyApproval } from './approval-schema.ts';
import { parseExpiry } from './deny-schema.ts';
import type { PolicyProblem } from './policy-problem.ts';
import type { CheckedMapping, Policy } from './policy-schema.ts';
import { isSameValue } from './same-value.ts';

export interface WithheldMapping {
  readonly mapping: string;
  /** waiting: nobody has approved it yet. ended: its time is over. */
  readonly why: 'waiting' | 'ended';
  /** When it ends or ended, milliseconds since 1970; null: never. */
  readonly expiresAtMs: number | null;
}

export interface PolicyInForce {
  /** Without the withheld mappings; the same object when there are none. */
  readonly policy: Policy;
  readonly withheld: readonly WithheldMapping[];
  /** The next moment at which a mapping ends; null: none does. */
  readonly nextEndMs: number | null;
}

/** Whether a mapping has ended already at some earlier moment: a clock that is set back does not bring it to life. */
export type HasEnded = (mapping: string, expiresAtMs: number) => boolean;

/** What counts of a policy at `nowMs`: mappings whose approval is waited for, or over, do not. */
export const policyInForce = (policy: Policy, nowMs: number, hasEnded: HasEnded = () => false): PolicyInForce => {
  const withheld: WithheldMapping[] = [];
  let nextEndMs: number | null = null;
  const mappings = policy.mappings.filter((mapping) => {
    const { name, approval } = mapping;
    if (approval === undefined) return true;
    const expiresAtMs = expiryOf(approval);
    const isOver = expiresAtMs !== null && (expiresAtMs <= nowMs || hasEnded(name, expiresAtMs));
    if (!isOver && approval.approvedBy !== undefined) {
      if (expiresAtMs !== null) nextEndMs = Math.min(nextEndMs ?? expiresAtMs, expiresAtMs);
      return true;
    }
    withheld.push({ mapping: name, why: isOver ? 'ended' : 'waiting', expiresAtMs });
    return false;
  });
  return { policy: withheld.length === 0 ? policy : Object.freeze({ ...policy, mappings: Object.freeze(mappings) }), withheld, nextEndMs };
};

/** Milliseconds since 1970; null: never. */
export const expiryOf = ({ expiresAt }: PolicyApproval): number | null =>
  expiresAt === undefined ? null : (parseExpiry(expiresAt) ?? null);

/**
 * What `after` says about approvals that it must not say: an approval is given on the host and never written, and a request is made in
 * one's own name. `author`: who brings the document, as in `requestedBy`; null: not the one who asks (a staged rollout that another
 * operator conducts). What stands in `before` already is not asked about.
 */
export const approvalProblems = (before: Policy | undefined, after: Policy, author: string | null): readonly PolicyProblem[] => {
  const known = new Map((before?.mappings ?? []).map((mapping) => [mapping.name, mapping]));
  return after.mappings.flatMap((mapping, position): readonly PolicyProblem[] => {
    const { approval, name } = mapping;
    const old = known.get(name);
    if (approval === undefined || (old !== undefined && isSameValue(old, mapping))) return [];
    const path = `mappings[${String(position)}].approval`;
    if (approval.approvedBy !== undefined || approval.approvedAt !== undefined) {
      const message = `${name} is new or has changed: another operator approves it on the host. Leave approvedBy and approvedAt out.`;
      return [{ severity: 'error', path: `${path}.approvedBy`, code: 'APPROVAL_NOT_GIVEN', message }];
    }
    const isCarried = old?.approval !== undefined && old.approval.requestedBy === approval.requestedBy && isSameRequest(old, mapping);
    if (author === null || isCarried || approval.requestedBy === author) return [];
    return [
      {
        severity: 'error',
        path: `${path}.requestedBy`,
        code: 'APPROVAL_REQUESTER',
        message: `You ask in your own name: write "${author}".`,
      },
    ];
  });
};

/** The same mapping and the same request, approved or not. */
export const isSameRequest = (one: CheckedMapping, other: CheckedMapping): boolean => isSameValue(requestOf(one), requestOf(other));

const requestOf = (mapping: CheckedMapping): unknown => {
  if (mapping.approval === undefined) return mapping;
  const { approvedBy: _by, approvedAt: _at, ...request } = mapping.approval;
  return { ...mapping, approval: request };
};

/**
 * The document with one mapping approved, as JSON. `authors`: who brought the request to the host, beside who is named in it. Raises
 * NOT_FOUND, APPROVAL_REFUSED.
 */
export const withApproval = (
  policy: Policy,
  {
    mapping: name,
    approver,
    authors,
    nowMs,
  }: { readonly mapping: string; readonly approver: string; readonly authors: readonly string[]; readonly nowMs: number },
): string => {
  const mapping = policy.mappings.find((candidate) => candidate.name === name);
  if (mapping?.approval === undefined)
    throw new NestError('NOT_FOUND', `No mapping ${name} of the policy in force asks for an approval. Look at its policy again.`);
  const { approval } = mapping;
  if (approval.approvedBy !== undefined) throw refused(`${name} is approved already, by ${approval.approvedBy}.`);
  const expiresAtMs = expiryOf(approval);
  if (expiresAtMs !== null && expiresAtMs <= nowMs)
    throw refused(`${name} was asked for until ${String(approval.expiresAt)}: ask for it anew, with a time to come.`);
  if (approval.requestedBy === approver || authors.includes(approver))
    throw refused(`${approver} has asked for ${name}: another operator approves it.`);
  const approvedAt = `${new Date(nowMs).toISOString().slice(0, 19)}Z`;
  const approved = { ...mapping, approval: { ...approval, approvedBy: approver, approvedAt } };
  return JSON.stringify({ ...policy, mappings: policy.mappings.map((each) => (each === mapping ? approved : each)) });
};

const refused = (message: string): NestError => new NestError('APPROVAL_REFUSED', message);
