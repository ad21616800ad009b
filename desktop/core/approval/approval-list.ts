/** Approvals as they stand in the policies of hosts, and as the hosts enforce them. */
import { expiryOf, parseExpiry, policyInForce } from '../../../native/image/api.ts';
import type { Policy, PolicyApproval } from '../../../native/image/api.ts';
import { NestError } from '../../../proto/model/error.ts';
import type { ApprovalRow } from '../../bridge/change-model.ts';
import type { PolicyRevision } from '../../bridge/model.ts';
import { policyOf } from '../policy/policy-check.ts';

export interface ApprovalSource {
  readonly hostName: string;
  readonly policy: PolicyRevision;
  /** What the host itself says is not in force; null when it does not answer, or tells of another revision. */
  readonly withheld: readonly { readonly mapping: string; readonly why: 'waiting' | 'ended' }[] | null;
  /** Milliseconds since 1970, for a host that does not tell. */
  readonly now: number;
}

/** Mappings with an approval. Empty for a document that this version cannot read. */
export const approvalsOf = ({ hostName, policy, withheld, now }: ApprovalSource): readonly ApprovalRow[] => {
  const document = readable(policy.policy);
  if (document === null) return [];
  const told = withheld ?? policyInForce(document, now).withheld;
  const states = new Map(told.map(({ mapping, why }) => [mapping, why]));
  return document.mappings.flatMap(({ name, approval }) =>
    approval === undefined
      ? []
      : [
          {
            hostId: policy.hostId,
            hostName,
            revision: policy.revision,
            mapping: name,
            ...fieldsOf(approval),
            state: states.get(name) ?? 'in-force',
            live: policy.live,
          } satisfies ApprovalRow,
        ],
  );
};

/** What waits first, then what ends first. */
export const inOrder = (rows: readonly ApprovalRow[]): readonly ApprovalRow[] => {
  const rank = ({ state }: ApprovalRow): number => (state === 'waiting' ? 0 : state === 'in-force' ? 1 : 2);
  return [...rows].sort(
    (a, b) =>
      rank(a) - rank(b) ||
      (a.expiresAt ?? Infinity) - (b.expiresAt ?? Infinity) ||
      a.mapping.localeCompare(b.mapping) ||
      a.hostName.localeCompare(b.hostName),
  );
};

const fieldsOf = (
  approval: PolicyApproval,
): Pick<ApprovalRow, 'justification' | 'ticket' | 'requestedBy' | 'approvedBy' | 'approvedAt' | 'expiresAt'> => ({
  justification: approval.justification,
  ticket: approval.ticket ?? null,
  requestedBy: approval.requestedBy,
  approvedBy: approval.approvedBy ?? null,
  approvedAt: approval.approvedAt === undefined ? null : (parseExpiry(approval.approvedAt) ?? null),
  expiresAt: expiryOf(approval),
});

const readable = (text: string): Policy | null => {
  try {
    return policyOf(text);
  } catch (error) {
    if (error instanceof NestError) return null;
    throw error;
  }
};
