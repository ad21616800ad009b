import type { ApproveMappingRequest } from '../../../proto/gen/nest/v1/config.ts';
import { revisionConflict } from '../../../proto/model/conflict.ts';
import { NestError } from '../../../proto/model/error.ts';
import { confirmWithinSeconds } from '../../../proto/model/limits.ts';
import type { Caller } from '../../control/identity/api.ts';
import type { Applied, RevisionControl } from '../../control/revisions/api.ts';
import type { Traffic } from '../../domains/traffic/api.ts';
import type { Call } from '../call-adapter.ts';
import { callerOf } from '../call-context.ts';
import { toSafeNumber, withDefault } from '../wire/number-wire.ts';
import { checkedComment, checkedTransactionId } from './change-input.ts';

/** Nobody looks at the effect here: the shortest replay. */
const flowWindowMinutes = 1;

/** People as policies name them: "operator/<name>". */
export const personOf = ({ kind, name }: Pick<Caller, 'kind' | 'name'>): string => `${kind}/${name}`;

/** The same from a subject, "spiffe://<fleet>/operator/<name>". */
export const personOfSubject = (subject: string): string => subject.replace(/^spiffe:\/\/[^/]+\//, '');

/** The mapping with the caller's approval becomes a new revision under the dead-man timer. */
export const approveMapping = async (
  { revisions, traffic }: { readonly revisions: RevisionControl; readonly traffic: Pick<Traffic, 'approve' | 'plan' | 'takePlan'> },
  request: ApproveMappingRequest,
  call: Call,
): Promise<Applied> => {
  const caller = callerOf(call);
  if (!call.isHeldFor('') && !call.isHeldFor(request.mapping))
    throw new NestError(
      'SCOPE_MISSING',
      `You may not change the mapping ${request.mapping}, so you cannot approve it. Ask an owner of the fleet.`,
    );
  const transactionId = checkedTransactionId(request.transactionId);
  const comment = checkedComment(request.comment);
  const { min, max, default: fallback } = confirmWithinSeconds;
  const confirmWithin = withDefault(request.confirmWithinSeconds, { field: 'confirm_within_seconds', min, max, fallback });
  const current = revisions.current();
  const baseRevision = toSafeNumber(request.baseRevision, 'base_revision');
  if (baseRevision !== current.revision) throw revisionConflict(baseRevision, current);
  const history = { [Symbol.iterator]: () => documentsOf(revisions) };
  const policyJson = traffic.approve({ policyJson: current.policyJson, mapping: request.mapping, approver: personOf(caller), history });
  const base = { revision: current.revision, etag: current.etag, policyJson };
  const plan = await traffic.plan({ policyJson, base, flowWindowMinutes, management: call.endpoints }, call.signal);
  const taken = await traffic.takePlan(plan.planHash, policyJson);
  if (!taken.canApply) throw new NestError('OBSERVE_ONLY', taken.cannotApplyReason);
  const { generation, mappingCount, serviceCount } = taken;
  return await revisions.apply(
    {
      policyJson,
      generation,
      mappingCount,
      serviceCount,
      baseEtag: current.etag,
      transactionId,
      confirmWithinSeconds: confirmWithin,
      author: caller.subject,
      comment: comment === '' ? `Approved ${request.mapping}` : comment,
    },
    call.signal,
  );
};

/** Newest first, as far back as the host keeps them. */
function* documentsOf(revisions: RevisionControl): Generator<{ readonly policyJson: string; readonly author: string }> {
  const { revision: current } = revisions.current();
  for (const { revision, author } of revisions.list()) {
    if (revision > current) continue;
    yield { policyJson: revisions.get(revision).policyJson, author: personOfSubject(author) };
  }
}
