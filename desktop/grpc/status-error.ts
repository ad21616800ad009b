/** The border where gRPC statuses end and NestError begins. */
import { status as grpcStatus } from '@grpc/grpc-js';
import type { ServiceError } from '@grpc/grpc-js';
import { ErrorInfo, Status } from '../../proto/gen/google/rpc/status.ts';
import { NestError, isErrorCode } from '../../proto/model/error.ts';
import type { NestErrorCode, NestErrorDetails } from '../../proto/model/error.ts';

const detailsKey = 'grpc-status-details-bin';
const errorInfoType = 'type.googleapis.com/google.rpc.ErrorInfo';

/** What a status means when the agent sent no details; the message says the next step. */
const plain: Readonly<Record<number, readonly [NestErrorCode, string]>> = {
  [grpcStatus.UNAVAILABLE]: [
    'HOST_UNREACHABLE',
    'The host does not answer. Check that it is up, that its agent runs and that nothing blocks the port.',
  ],
  [grpcStatus.DEADLINE_EXCEEDED]: ['TIMED_OUT', 'The host did not answer in time. Check its load and the network, then try again.'],
  [grpcStatus.CANCELLED]: ['CANCELLED', 'The call was cancelled.'],
  [grpcStatus.UNAUTHENTICATED]: [
    'CERTIFICATE_INVALID',
    'The agent does not accept the certificate of this console. Unlock the fleet again to renew it.',
  ],
  [grpcStatus.PERMISSION_DENIED]: ['SCOPE_MISSING', 'This operator may not do that on the host. Ask an owner of the fleet.'],
  [grpcStatus.RESOURCE_EXHAUSTED]: ['LIMIT_REACHED', 'A limit of the host is reached. Wait a moment, then try again.'],
  [grpcStatus.INVALID_ARGUMENT]: ['INPUT_INVALID', 'The host refuses the request. Check what was entered.'],
  [grpcStatus.NOT_FOUND]: ['NOT_FOUND', 'The host does not know what was asked for.'],
  [grpcStatus.UNIMPLEMENTED]: ['METHOD_UNKNOWN', 'The agent does not know this call. Upgrade the agent of the host.'],
};

/** Translates anything a gRPC call threw. `connectionFailure` is why TLS failed, when that is known: it beats "unavailable". */
export const nestErrorOf = (error: unknown, connectionFailure?: NestError): NestError => {
  if (error instanceof NestError) return error;
  if (!isServiceError(error))
    return new NestError('INTERNAL', 'The call to the host failed inside the console. Try again.', { cause: error });
  const detailed = fromDetails(error);
  if (detailed !== undefined) return detailed;
  if (error.code === grpcStatus.UNAVAILABLE && connectionFailure !== undefined) return connectionFailure;
  const [code, message] = plain[error.code] ?? ['INTERNAL', 'The agent failed at this call. Look into the log of the agent.'];
  return new NestError(code, message, { cause: error });
};

const isServiceError = (error: unknown): error is ServiceError =>
  error instanceof Error && 'code' in error && typeof error.code === 'number' && 'metadata' in error;

const fromDetails = (error: ServiceError): NestError | undefined => {
  const [bytes] = error.metadata.get(detailsKey);
  if (!(bytes instanceof Buffer)) return undefined;
  try {
    const rich = Status.decode(bytes);
    const info = rich.details.filter((detail) => detail.typeUrl === errorInfoType).map((detail) => ErrorInfo.decode(detail.value))[0];
    if (info === undefined || info.domain !== 'nest' || !isErrorCode(info.reason)) return undefined;
    return new NestError(info.reason, rich.message === '' ? error.details : rich.message, {
      details: detailsOf(info.metadata),
      cause: error,
    });
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
