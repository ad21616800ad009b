import { SessionServiceService } from '../../../proto/gen/nest/v1/session.ts';
import type {
  AuthenticateRequest,
  AuthenticateResponse,
  EnrollFactorRequest,
  EnrollFactorResponse,
  HelloRequest,
  HelloResponse,
  SessionServiceServer,
  StepUpRequest,
  StepUpResponse,
} from '../../../proto/gen/nest/v1/session.ts';
import { NestError } from '../../../proto/model/error.ts';
import { wireFeatures } from '../../../proto/model/limits.ts';
import type { AccessCaller } from '../../control/access/api.ts';
import type { IdentityControl } from '../../control/identity/api.ts';
import type { SessionControl } from '../../control/session/api.ts';
import type { Service } from '../acceptor.ts';
import { accessCallerOf } from '../authorization.ts';
import type { Call, CallAdapter } from '../call-adapter.ts';
import { callerOf } from '../call-context.ts';
import { toSafeNumber } from '../wire/number-wire.ts';
import { wholeMs } from '../wire/revision-wire.ts';

export interface SessionServiceOptions {
  readonly adapter: CallAdapter;
  readonly identity: Pick<IdentityControl, 'identity'>;
  readonly sessions: Pick<SessionControl, 'enroll' | 'stepUp' | 'authenticate' | 'useGrant'>;
  readonly agentVersion: string;
  readonly nowMs: () => number;
}

/** Codes are longer nowhere. */
const codeCharactersMax = 64;

/** Who talks to whom, and which clocks they have; second factors. */
export const createSessionService = ({ adapter, identity, sessions, agentVersion, nowMs }: SessionServiceOptions): Service => {
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
    enrollFactor: adapter.unary<EnrollFactorRequest, EnrollFactorResponse>(async (request, call) => {
      sessions.enroll(whoCalls(call), request);
      return {};
    }),
    stepUp: adapter.unary<StepUpRequest, StepUpResponse>(async (request, call) => {
      if (request.code.length > codeCharactersMax) throw new NestError('INPUT_INVALID', 'This is no code. Enter the six digits alone.');
      return sessions.stepUp(whoCalls(call), {
        factorId: request.factorId,
        code: request.code.trim(),
        actionHash: hashText(request.actionHash),
        hostSetHash: hashText(request.hostSetHash),
        timeMs: toSafeNumber(request.timeMs, 'time_ms'),
      });
    }),
    authenticate: adapter.unary<AuthenticateRequest, AuthenticateResponse>((request, call) =>
      authenticate({ sessions, nowMs }, request, call),
    ),
  };
  return { definition: SessionServiceService, implementation };
};

const authenticate = async (
  { sessions, nowMs }: Pick<SessionServiceOptions, 'sessions' | 'nowMs'>,
  { grant, statements, timeMs }: AuthenticateRequest,
  call: Call,
): Promise<AuthenticateResponse> => {
  const caller = whoCalls(call);
  if (grant !== undefined) {
    const leftMs = (await sessions.useGrant(caller, grant)).untilMs - nowMs();
    return { token: '', lifeMs: Math.max(0, Math.round(leftMs)), freshMs: Math.max(0, Math.round(leftMs)) };
  }
  const { certificateHash } = call.connection;
  const session = sessions.authenticate(caller, { certificateHash, statements, timeMs: toSafeNumber(timeMs, 'time_ms') });
  return { ...session, freshMs: Math.round(session.freshMs) };
};

/** Throws NOT_ENROLLED when the connection is from before the enrolment. */
const whoCalls = (call: Call): AccessCaller => {
  callerOf(call);
  const caller = accessCallerOf(call.connection);
  if (caller !== null) return caller;
  throw new NestError('NOT_ENROLLED', 'This host belongs to no fleet yet. Run "nest-agent join <token>" on it.');
};

/** Hex. Throws INPUT_INVALID when it is neither a SHA-256 nor empty. */
const hashText = (hash: Uint8Array): string => {
  if (hash.length === 0 || hash.length === 32) return Buffer.from(hash).toString('hex');
  throw new NestError('INPUT_INVALID', 'What the code is for is not named by SHA-256. Upgrade the console.');
};
