import { SessionServiceService } from '../../../proto/gen/nest/v1/session.ts';
import type { HelloRequest, HelloResponse, SessionServiceServer } from '../../../proto/gen/nest/v1/session.ts';
import { NestError } from '../../../proto/model/error.ts';
import { wireFeatures } from '../../../proto/model/limits.ts';
import type { IdentityControl } from '../../control/identity/api.ts';
import type { Service } from '../acceptor.ts';
import type { CallAdapter } from '../call-adapter.ts';
import { callerOf } from '../call-context.ts';
import { wholeMs } from '../wire/revision-wire.ts';

export interface SessionServiceOptions {
  readonly adapter: CallAdapter;
  readonly identity: Pick<IdentityControl, 'identity'>;
  readonly agentVersion: string;
  readonly nowMs: () => number;
}

/** Who talks to whom, and which clocks they have. */
export const createSessionService = ({ adapter, identity, agentVersion, nowMs }: SessionServiceOptions): Service => {
  const implementation: SessionServiceServer = {
    hello: adapter.unary<HelloRequest, HelloResponse>(async (_request, call) => {
      const own = identity.identity();
      if (own === null) throw new NestError('NOT_ENROLLED', 'This host belongs to no fleet yet. Run "nest-agent join <token>" on it.');
      return {
        agentId: own.agentId,
        fleetId: own.fleetId,
        agentVersion,
        features: [...wireFeatures],
        timeMs: wholeMs(nowMs()),
        subject: callerOf(call).subject,
      };
    }),
  };
  return { definition: SessionServiceService, implementation };
};
