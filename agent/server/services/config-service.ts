import { ConfigServiceService } from '../../../proto/gen/nest/v1/config.ts';
import type {
  ApplyConfigRequest,
  ApplyConfigResponse,
  ApproveMappingRequest,
  ApproveMappingResponse,
  ConfigServiceServer,
  ConfirmConfigRequest,
  ConfirmConfigResponse,
  GetConfigRequest,
  GetConfigResponse,
  ListRevisionsRequest,
  ListRevisionsResponse,
  PlanConfigRequest,
  PlanConfigResponse,
  RollbackConfigRequest,
  RollbackConfigResponse,
  WatchConfigRequest,
  WatchConfigResponse,
} from '../../../proto/gen/nest/v1/config.ts';
import { refuseDuplicateKeys } from '../../../proto/model/duplicate-keys.ts';
import { revisionConflict } from '../../../proto/model/conflict.ts';
import { NestError } from '../../../proto/model/error.ts';
import { confirmWithinSeconds, policyBytesMax } from '../../../proto/model/limits.ts';
import { emptyPolicyJson } from '../../control/revisions/api.ts';
import type { Applied, Revision, RevisionControl } from '../../control/revisions/api.ts';
import type { RolloutControl } from '../../control/rollout/api.ts';
import type { Traffic } from '../../domains/traffic/api.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Service } from '../acceptor.ts';
import type { Call } from '../call-adapter.ts';
import { callerOf } from '../call-context.ts';
import { createPlannedDocuments } from '../planned-documents.ts';
import type { PlannedDocuments } from '../planned-documents.ts';
import { refuseOtherMappings } from '../policy-touch.ts';
import { toSafeNumber, withDefault } from '../wire/number-wire.ts';
import { toWirePlan } from '../wire/plan-wire.ts';
import { toWireRevision, wholeMs } from '../wire/revision-wire.ts';
import { checkedComment, checkedTransactionId } from './change-input.ts';
import { hostWatchCalls } from './host-watch-service.ts';
import type { HostWatchOptions } from './host-watch-service.ts';
import { approveMapping, personOf } from './mapping-approval.ts';

export interface ConfigServiceOptions extends HostWatchOptions {
  readonly revisions: RevisionControl;
  readonly rollouts: Pick<RolloutControl, 'admit'>;
  readonly traffic: Pick<Traffic, 'plan' | 'takePlan' | 'status' | 'checkApprovals' | 'approve'>;
  readonly clock: Clock;
}

const planHashPattern = /^[0-9a-f]{64}$/;

/** The host's one document on the wire: plan, apply, confirm, take back, watch. */
export const createConfigService = ({ adapter, revisions, rollouts, traffic, drift, leases, clock }: ConfigServiceOptions): Service => {
  const documents = createPlannedDocuments(clock);
  const implementation: ConfigServiceServer = {
    ...hostWatchCalls({ adapter, drift, leases }),
    getConfig: adapter.unary<GetConfigRequest, GetConfigResponse>(async ({ revision }) => ({
      config: toWireRevision(revision === 0n ? revisions.current() : revisions.get(toSafeNumber(revision, 'revision'))),
    })),
    listRevisions: adapter.unary<ListRevisionsRequest, ListRevisionsResponse>(async () => ({
      revisions: revisions.list().map((revision) => toWireRevision({ ...revision, policyJson: '' })),
    })),
    planConfig: adapter.unary<PlanConfigRequest, PlanConfigResponse>((request, call) =>
      plan({ revisions, traffic, documents }, request, call),
    ),
    applyConfig: adapter.unary<ApplyConfigRequest, ApplyConfigResponse>((request, call) =>
      apply({ revisions, rollouts, traffic, documents }, request, call),
    ),
    approveMapping: adapter.unary<ApproveMappingRequest, ApproveMappingResponse>(async (request, call) =>
      toWireApplied(await approveMapping({ revisions, traffic }, request, call)),
    ),
    confirmConfig: adapter.unary<ConfirmConfigRequest, ConfirmConfigResponse>(async (request, call) => {
      const { revision, transactionId, withoutDocument } = request;
      const asked = { revision: toSafeNumber(revision, 'revision'), transactionId: checkedTransactionId(transactionId) };
      refuseOthersPending(revisions, call);
      return { config: toWireRevision(shown(await revisions.confirm(asked), withoutDocument)) };
    }),
    rollbackConfig: adapter.unary<RollbackConfigRequest, RollbackConfigResponse>((request, call) => rollback(revisions, request, call)),
    watchConfig: adapter.stream<WatchConfigRequest, WatchConfigResponse>((_request, call) => watch(revisions, call)),
  };
  return { definition: ConfigServiceService, implementation };
};

type Domains = Pick<ConfigServiceOptions, 'revisions' | 'traffic'> & { readonly documents: PlannedDocuments };

const plan = async ({ revisions, traffic, documents }: Domains, request: PlanConfigRequest, call: Call): Promise<PlanConfigResponse> => {
  checkPolicySize(request.policyJson);
  const flowWindowMinutes = withDefault(request.flowWindowMinutes, { field: 'flow_window_minutes', min: 1, max: 60, fallback: 15 });
  const current = revisions.current();
  const { revision, etag, policyJson } = current;
  const baseRevision = toSafeNumber(request.baseRevision, 'base_revision');
  if (baseRevision !== revision) throw revisionConflict(baseRevision, current);
  const planned = await traffic.plan(
    {
      policyJson: request.policyJson,
      base: { revision, etag, policyJson },
      flowWindowMinutes,
      management: call.endpoints,
      author: personOf(callerOf(call)),
    },
    call.signal,
  );
  const documentKept = planned.planHash !== '' && documents.put(planned.planHash, request.policyJson);
  return { ...toWirePlan(planned), documentKept };
};

const apply = async (
  { revisions, rollouts, traffic, documents }: Domains & Pick<ConfigServiceOptions, 'rollouts'>,
  request: ApplyConfigRequest,
  call: Call,
): Promise<ApplyConfigResponse> => {
  const isNamed = request.policySha256.length > 0;
  if (isNamed && request.policyJson !== '') throw new NestError('INPUT_INVALID', 'Send policy_json or policy_sha256, not both.');
  checkPolicySize(request.policyJson);
  refuseDuplicateKeys(request.policyJson);
  if (!planHashPattern.test(request.planHash))
    throw new NestError('INPUT_INVALID', 'plan_hash is not the hash of a plan. Plan the change first.');
  const { min, max, default: fallback } = confirmWithinSeconds;
  const confirmWithin = withDefault(request.confirmWithinSeconds, { field: 'confirm_within_seconds', min, max, fallback });
  const transactionId = checkedTransactionId(request.transactionId);
  const comment = checkedComment(request.comment);
  if (request.rolloutId !== '') rollouts.admit(request.rolloutId, toSafeNumber(request.rolloutTerm, 'rollout_term'));
  // An agent that was restarted knows no plans, but what became of this very apply.
  const earlier = await revisions.repeated(transactionId);
  if (earlier !== null) return appliedOf(earlier, request);
  const policyJson = isNamed ? documents.take(request.planHash, request.policySha256) : request.policyJson;
  // Who conducts the rollout of another brings that one's requests.
  const author = request.rolloutId === '' ? personOf(callerOf(call)) : null;
  traffic.checkApprovals({ policyJson, basePolicyJson: revisions.current().policyJson, author });
  const taken = await traffic.takePlan(request.planHash, policyJson);
  if (!taken.canApply) throw new NestError('OBSERVE_ONLY', taken.cannotApplyReason);
  // The base of the plan: it is applied to that revision or not at all.
  if (!call.isHeldFor('')) refuseOtherMappings(call, { before: policyOf(revisions, taken.baseRevision), after: policyJson });
  const applied = await revisions.apply(
    {
      policyJson,
      generation: taken.generation,
      mappingCount: taken.mappingCount,
      serviceCount: taken.serviceCount,
      baseEtag: taken.baseEtag,
      transactionId,
      confirmWithinSeconds: confirmWithin,
      author: callerOf(call).subject,
      comment,
    },
    call.signal,
  );
  return appliedOf(applied, request);
};

const appliedOf = (applied: Applied, { withoutDocument }: ApplyConfigRequest): ApplyConfigResponse =>
  toWireApplied({ ...applied, revision: shown(applied.revision, withoutDocument) });

/** Without the document where the caller has no use for it. */
const shown = (revision: Revision, withoutDocument: boolean): Revision => (withoutDocument ? { ...revision, policyJson: '' } : revision);

const rollback = async (revisions: RevisionControl, request: RollbackConfigRequest, call: Call): Promise<RollbackConfigResponse> => {
  const toRevision = toSafeNumber(request.toRevision, 'to_revision');
  const said = { author: callerOf(call).subject, comment: checkedComment(request.comment) };
  if (toRevision === 0) {
    refuseOthersPending(revisions, call);
    const revision = await revisions.rollback(said, call.signal);
    return toWireApplied({ revision, rollbackAtMs: 0, remainingMs: 0, loadMs: 0, flipMs: 0 });
  }
  if (!call.isHeldFor('')) refuseOtherMappings(call, { before: revisions.current().policyJson, after: policyOf(revisions, toRevision) });
  const { min, max, default: fallback } = confirmWithinSeconds;
  const returned = await revisions.returnTo(
    {
      ...said,
      toRevision,
      confirmWithinSeconds: withDefault(request.confirmWithinSeconds, { field: 'confirm_within_seconds', min, max, fallback }),
      transactionId: checkedTransactionId(request.transactionId),
    },
    call.signal,
  );
  return toWireApplied(returned);
};

/** A change that waits is confirmed and taken back by who might have made it. Throws SCOPE_MISSING. */
const refuseOthersPending = (revisions: RevisionControl, call: Call): void => {
  const pending = revisions.pending();
  if (call.isHeldFor('') || pending === null) return;
  refuseOtherMappings(call, { before: policyOf(revisions, pending.previousRevision), after: policyOf(revisions, pending.revision) });
};

/** Also of the revision before the first, which is in no list. Throws REVISION_UNKNOWN. */
const policyOf = (revisions: RevisionControl, revision: number): string => {
  if (revision === 0) return emptyPolicyJson;
  const current = revisions.current();
  return (current.revision === revision ? current : revisions.get(revision)).policyJson;
};

const toWireApplied = ({
  revision,
  rollbackAtMs,
  remainingMs,
  loadMs,
  flipMs,
}: Applied): ApplyConfigResponse & RollbackConfigResponse & ApproveMappingResponse => ({
  config: toWireRevision(revision),
  rollbackAtMs: wholeMs(rollbackAtMs),
  remainingMs: Math.max(0, Math.round(remainingMs)),
  loadMs,
  flipMs,
});

/** Counts up per stream; nothing is lost on it, each event holds the whole state. */
async function* watch(revisions: RevisionControl, call: Call): AsyncGenerator<WatchConfigResponse> {
  let sequence = 0n;
  for await (const { revision, pending } of revisions.watch(call.signal)) {
    sequence++;
    const remainingMs = pending === null ? 0 : Math.max(0, Math.round(pending.remainingMs));
    yield { position: { sequence, lost: 0n }, config: toWireRevision(revision), remainingMs };
  }
}

const checkPolicySize = (policyJson: string): void => {
  const bytes = Buffer.byteLength(policyJson);
  if (bytes > policyBytesMax)
    throw new NestError(
      'POLICY_TOO_LARGE',
      `The policy document has ${bytes} bytes, at most ${policyBytesMax} are taken. Merge services or mappings.`,
    );
};
