import { AccessServiceService } from '../../../proto/gen/nest/v1/access.ts';
import type {
  AccessHead,
  AccessServiceServer,
  CheckAccessRequest,
  CheckAccessResponse,
  GetAccessHeadRequest,
  GetAccessHeadResponse,
  GetAccessUpdatesRequest,
  GetAccessUpdatesResponse,
  PushAccessUpdatesRequest,
  PushAccessUpdatesResponse,
} from '../../../proto/gen/nest/v1/access.ts';
import { requireScope } from '../../../proto/model/access/scope.ts';
import { NestError } from '../../../proto/model/error.ts';
import type { AccessCaller, AccessControl } from '../../control/access/api.ts';
import type { IdentityControl } from '../../control/identity/api.ts';
import type { Service } from '../acceptor.ts';
import { accessCallerOf } from '../authorization.ts';
import type { Call, CallAdapter } from '../call-adapter.ts';
import { callerOf } from '../call-context.ts';
import { toSafeNumber } from '../wire/number-wire.ts';
import { wholeMs } from '../wire/revision-wire.ts';

export interface AccessServiceOptions {
  readonly adapter: CallAdapter;
  readonly access: AccessControl;
  readonly identity: Pick<IdentityControl, 'identity'>;
}

const subjectPattern = /^(operator|client)\/[A-Za-z0-9._@+-]{1,128}$/;
const devicePattern = /^([0-9a-f]{64})?$/;

/** The access bundle on the wire: where it stands, its updates, new ones, and what it would decide. */
export const createAccessService = ({ adapter, access, identity }: AccessServiceOptions): Service => {
  const implementation: AccessServiceServer = {
    getAccessHead: adapter.unary<GetAccessHeadRequest, GetAccessHeadResponse>(async () => ({ head: headOf(access) })),
    getAccessUpdates: adapter.unary<GetAccessUpdatesRequest, GetAccessUpdatesResponse>(async ({ epoch, afterRevision }) => {
      const { updates, isMore } = access.updates({
        epoch: toSafeNumber(epoch, 'epoch'),
        revision: toSafeNumber(afterRevision, 'after_revision'),
      });
      return { updates: [...updates], more: isMore };
    }),
    pushAccessUpdates: adapter.unary<PushAccessUpdatesRequest, PushAccessUpdatesResponse>(async ({ updates }) => {
      const { accepted } = await access.push(updates);
      return { head: headOf(access), accepted };
    }),
    checkAccess: adapter.unary<CheckAccessRequest, CheckAccessResponse>(async (request, call) => {
      requireScope(request.scope);
      const refusal = access.decide(askedAbout(request, call, identity.identity()?.fleetId ?? ''), request.scope, request.mapping);
      return { allowed: refusal === null, reason: refusal ?? '' };
    }),
  };
  return { definition: AccessServiceService, implementation };
};

/** The caller itself, or whom it names. Throws INPUT_INVALID. */
const askedAbout = ({ subject, deviceKeyId }: CheckAccessRequest, call: Call, fleetId: string): AccessCaller => {
  const own = accessCallerOf(call.connection) ?? { ...callerOf(call), device: '' };
  if (!devicePattern.test(deviceKeyId))
    throw new NestError('INPUT_INVALID', 'device_key_id is not a SHA-256 in hex. Leave it empty for any device.');
  if (subject === '') return { ...own, device: deviceKeyId === '' ? own.device : deviceKeyId };
  if (!subjectPattern.test(subject)) throw new NestError('INPUT_INVALID', 'The subject is written "operator/<name>" or "client/<name>".');
  return { subject: `spiffe://${fleetId}/${subject}`, kind: subject.startsWith('client/') ? 'client' : 'operator', device: deviceKeyId };
};

const headOf = (access: AccessControl): AccessHead => {
  const { epoch, revision, hash, issuedAtMs, notAfterMs, isStale } = access.head();
  return {
    epoch: BigInt(epoch),
    revision: BigInt(revision),
    hash: Buffer.from(hash, 'hex'),
    issuedAtMs: wholeMs(issuedAtMs),
    notAfterMs: wholeMs(notAfterMs),
    stale: isStale,
    forks: access.forks().map((fork) => ({
      epoch: BigInt(fork.epoch),
      revision: BigInt(fork.revision),
      keptHash: Buffer.from(fork.kept, 'hex'),
      refusedHash: Buffer.from(fork.refused, 'hex'),
      refused: fork.envelope,
      seenAtMs: wholeMs(fork.seenAtMs),
    })),
  };
};
