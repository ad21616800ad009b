import { RolloutServiceService } from '../../../proto/gen/nest/v1/rollout.ts';
import type {
  GetRecordsRequest,
  GetRecordsResponse,
  PutRecordRequest,
  PutRecordResponse,
  RolloutServiceServer,
} from '../../../proto/gen/nest/v1/rollout.ts';
import { NestError } from '../../../proto/model/error.ts';
import type { RolloutControl } from '../../control/rollout/api.ts';
import type { Service } from '../acceptor.ts';
import type { CallAdapter } from '../call-adapter.ts';

export interface RolloutServiceOptions {
  readonly adapter: CallAdapter;
  readonly rollouts: RolloutControl;
}

/** Records of staged rollouts on the wire. */
export const createRolloutService = ({ adapter, rollouts }: RolloutServiceOptions): Service => {
  const implementation: RolloutServiceServer = {
    putRecord: adapter.unary<PutRecordRequest, PutRecordResponse>(async ({ plan, state }) => {
      if (state === undefined) throw new NestError('INPUT_INVALID', 'The record has no state. Upgrade the console.');
      rollouts.put({ plan: plan ?? null, state });
      return {};
    }),
    getRecords: adapter.unary<GetRecordsRequest, GetRecordsResponse>(async ({ rolloutId }) => ({
      records: rollouts
        .records()
        .filter((record) => rolloutId === '' || record.rolloutId === rolloutId)
        .map((record) => ({
          rolloutId: record.rolloutId,
          plan: rolloutId === '' ? undefined : record.plan,
          state: record.state,
          storedAtMs: BigInt(Math.round(record.storedAtMs)),
        })),
    })),
  };
  return { definition: RolloutServiceService, implementation };
};
