import { IntentServiceService } from '../../../proto/gen/nest/v1/intent.ts';
import type { DeliverIntentRequest, DeliverIntentResponse, IntentServiceServer } from '../../../proto/gen/nest/v1/intent.ts';
import { NestError } from '../../../proto/model/error.ts';
import type { IntentControl } from '../../control/intent/api.ts';
import type { Applied, RevisionControl } from '../../control/revisions/api.ts';
import type { Traffic } from '../../domains/traffic/api.ts';
import type { Service } from '../acceptor.ts';
import type { Call, CallAdapter } from '../call-adapter.ts';
import { toWireRevision, wholeMs } from '../wire/revision-wire.ts';
import { personOfSubject } from './mapping-approval.ts';

export interface IntentServiceOptions {
  readonly adapter: CallAdapter;
  readonly intents: IntentControl;
  readonly revisions: RevisionControl;
  readonly traffic: Pick<Traffic, 'plan' | 'takePlan' | 'checkApprovals'>;
}

/** Nobody looks at the effect: the shortest replay. */
const flowWindowMinutes = 1;

/** Signed changes for a host that was away, on the wire. */
export const createIntentService = (options: IntentServiceOptions): Service => {
  const implementation: IntentServiceServer = {
    deliverIntent: options.adapter.unary<DeliverIntentRequest, DeliverIntentResponse>((request, call) => deliver(options, request, call)),
  };
  return { definition: IntentServiceService, implementation };
};

/** The author of the revision is who signed the intent, whoever delivers it. */
const deliver = async (
  { intents, revisions, traffic }: IntentServiceOptions,
  request: DeliverIntentRequest,
  call: Call,
): Promise<DeliverIntentResponse> => {
  if (request.intent === undefined) throw new NestError('INPUT_INVALID', 'There is no intent in the call. Upgrade the console.');
  const { revision, etag, policyJson } = revisions.current();
  const { intent, subject } = intents.take(request.intent, revision);
  // A console that was killed meanwhile asks what became of it.
  const earlier = await revisions.repeated(intent.intentId);
  if (earlier !== null) return toWireDelivered(earlier);
  traffic.checkApprovals({ policyJson: intent.policy, basePolicyJson: policyJson, author: personOfSubject(subject) });
  const plan = await traffic.plan(
    { policyJson: intent.policy, base: { revision, etag, policyJson }, flowWindowMinutes, management: call.endpoints },
    call.signal,
  );
  const taken = await traffic.takePlan(plan.planHash, intent.policy);
  if (!taken.canApply) throw new NestError('OBSERVE_ONLY', taken.cannotApplyReason);
  const applied = await revisions.apply(
    {
      policyJson: intent.policy,
      generation: taken.generation,
      mappingCount: taken.mappingCount,
      serviceCount: taken.serviceCount,
      baseEtag: etag,
      transactionId: intent.intentId,
      confirmWithinSeconds: intent.confirmWithinSeconds,
      author: subject,
      comment: intent.comment,
    },
    call.signal,
  );
  return toWireDelivered(applied);
};

const toWireDelivered = ({ revision, rollbackAtMs, remainingMs }: Applied): DeliverIntentResponse => ({
  config: toWireRevision(revision),
  rollbackAtMs: wholeMs(rollbackAtMs),
  remainingMs: Math.max(0, Math.round(remainingMs)),
});
