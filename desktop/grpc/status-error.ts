/** The border where gRPC statuses end and NestError begins. */
import { ErrorInfo, Status } from '../../proto/gen/google/rpc/status.ts';
import { NestError, isErrorCode } from '../../proto/model/error.ts';
import type { NestErrorCode, NestErrorDetails } from '../../proto/model/error.ts';

/** Numbers of gRPC. */
export const grpcStatus = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  permissionDenied: 7,
  resourceExhausted: 8,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
} as const;

/** How a call ended, by its trailers or by what happened to its stream. */
export interface CallStatus {
  readonly code: number;
  readonly message: string;
  /** google.rpc.Status, serialised. */
  readonly details?: Buffer | undefined;
}

const errorInfoType = 'type.googleapis.com/google.rpc.ErrorInfo';

/** What a status means when the agent sent no details; the message says the next step. */
const plain: Readonly<Record<number, readonly [NestErrorCode, string]>> = {
  [grpcStatus.unavailable]: [
    'HOST_UNREACHABLE',
    'The host does not answer. Check that it is up, that its agent runs and that nothing blocks the port.',
  ],
  [grpcStatus.deadlineExceeded]: ['TIMED_OUT', 'The host did not answer in time. Check its load and the network, then try again.'],
  [grpcStatus.cancelled]: ['CANCELLED', 'The call was cancelled.'],
  [grpcStatus.unauthenticated]: [
    'CERTIFICATE_INVALID',
    'The agent does not accept the certificate of this console. Unlock the fleet again to renew it.',
  ],
  [grpcStatus.permissionDenied]: ['SCOPE_MISSING', 'This operator may not do that on the host. Ask an owner of the fleet.'],
  [grpcStatus.resourceExhausted]: ['LIMIT_REACHED', 'A limit of the host is reached. Wait a moment, then try again.'],
  [grpcStatus.invalidArgument]: ['INPUT_INVALID', 'The host refuses the request. Check what was entered.'],
  [grpcStatus.notFound]: ['NOT_FOUND', 'The host does not know what was asked for.'],
  [grpcStatus.unimplemented]: ['METHOD_UNKNOWN', 'The agent does not know this call. Upgrade the agent of the host.'],
};

/** Anything a call threw, as an error with a code; INTERNAL for what nobody expected. */
export const nestErrorOf = (error: unknown): NestError =>
  error instanceof NestError
    ? error
    : new NestError('INTERNAL', 'The call to the host failed inside the console. Try again.', { cause: error });

/** Translates a status other than OK: what the agent said in its details, else what its number means. */
export const statusErrorOf = (status: CallStatus): NestError => {
  const cause = new Error(`grpc status ${String(status.code)}: ${status.message}`);
  const detailed = fromDetails(status, cause);
  if (detailed !== undefined) return detailed;
  const [code, message] = plain[status.code] ?? ['INTERNAL', 'The agent failed at this call. Look into the log of the agent.'];
  return new NestError(code, message, { cause });
};

const fromDetails = ({ details, message }: CallStatus, cause: Error): NestError | undefined => {
  if (details === undefined) return undefined;
  try {
    const rich = Status.decode(details);
    const info = rich.details.filter((detail) => detail.typeUrl === errorInfoType).map((detail) => ErrorInfo.decode(detail.value))[0];
    if (info === undefined || info.domain !== 'nest' || !isErrorCode(info.reason)) return undefined;
    return new NestError(info.reason, rich.message === '' ? message : rich.message, { details: detailsOf(info.metadata), cause });
  } catch {
    // Malformed details say nothing; the status itself is still translated.
    return undefined;
  }
};

const detailsOf = (metadata: Readonly<Record<string, string>>): NestErrorDetails => {
  const { details: nested, ...flat } = metadata;
  if (nested === undefined) return flat;
  const parsed: unknown = JSON.parse(nested);
  return typeof parsed === 'object' && parsed !== null ? { ...flat, ...parsed } : flat;
};
