import type {
  CheckDriftResponse,
  ConfigServiceServer,
  HoldEditLeaseRequest,
  HoldEditLeaseResponse,
  SetDriftModeRequest,
  SetDriftModeResponse,
} from '../../../proto/gen/nest/v1/config.ts';
import { NestError } from '../../../proto/model/error.ts';
import type { DriftControl } from '../../control/drift/api.ts';
import type { LeaseControl } from '../../control/lease/api.ts';
import type { Call, CallAdapter } from '../call-adapter.ts';
import { callerOf } from '../call-context.ts';
import { fromWireMode, toWireDrift, toWireLease } from '../wire/drift-wire.ts';
import { checkedTransactionId } from './change-input.ts';

export interface HostWatchOptions {
  readonly adapter: CallAdapter;
  /** Absent: this agent has no kernel to look at. */
  readonly drift?: DriftControl | undefined;
  /** Absent: nobody edits here. */
  readonly leases?: LeaseControl | undefined;
}

/** The calls of the configuration service about drift and about who edits. */
export const hostWatchCalls = ({
  adapter,
  drift,
  leases,
}: HostWatchOptions): Pick<ConfigServiceServer, 'checkDrift' | 'setDriftMode' | 'holdEditLease'> => ({
  checkDrift: adapter.unary<object, CheckDriftResponse>(async () => ({ drift: toWireDrift(await driftOf(drift).check()) })),
  setDriftMode: adapter.unary<SetDriftModeRequest, SetDriftModeResponse>(async ({ mode }, call) => {
    if (!call.isHeldFor(''))
      throw new NestError(
        'SCOPE_MISSING',
        'You may change single mappings only, not how the host treats drift. Ask an owner of the fleet.',
      );
    return { drift: toWireDrift(await driftOf(drift).setMode(fromWireMode(mode))) };
  }),
  holdEditLease: adapter.unary<HoldEditLeaseRequest, HoldEditLeaseResponse>(async (request, call) => hold(leases, request, call)),
});

const driftOf = (drift: DriftControl | undefined): DriftControl => {
  if (drift !== undefined) return drift;
  throw new NestError('ENGINE_UNAVAILABLE', 'This agent has no data path whose drift it could look for.');
};

const hold = (leases: LeaseControl | undefined, request: HoldEditLeaseRequest, call: Call): HoldEditLeaseResponse => {
  const holder = {
    leaseId: checkedTransactionId(request.leaseId, 'lease_id'),
    subject: callerOf(call).subject,
    device: call.connection.spkiHash.toString('hex'),
  };
  if (request.release) leases?.release(holder);
  else leases?.hold(holder);
  return { leases: (leases?.list() ?? []).map(toWireLease) };
};
