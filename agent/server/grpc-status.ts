import { Metadata, status as Code } from '@grpc/grpc-js';
import type { ServerInterceptingCallInterface } from '@grpc/grpc-js';
import { Status as RpcStatus, ErrorInfo } from '../../proto/gen/google/rpc/status.ts';
import { isErrorCode, toErrorShape } from '../../proto/model/error.ts';
import type { ErrorShape, NestErrorCode } from '../../proto/model/error.ts';

/** Metadata key of google.rpc.Status. */
export const detailsKey = 'grpc-status-details-bin';
const errorDomain = 'nest';
const errorInfoType = 'type.googleapis.com/google.rpc.ErrorInfo';
/** HTTP/2 peers refuse header lists far over 8 KB; details beyond this are left out, bytes. */
const detailsBytesMax = 4096;

const grpcCodes: Readonly<Record<NestErrorCode, Code>> = {
  INPUT_INVALID: Code.INVALID_ARGUMENT,
  CONFIG_INVALID: Code.INVALID_ARGUMENT,
  POLICY_INVALID: Code.INVALID_ARGUMENT,
  POLICY_TOO_LARGE: Code.RESOURCE_EXHAUSTED,
  IMPORT_INVALID: Code.INVALID_ARGUMENT,
  PACKET_INVALID: Code.INVALID_ARGUMENT,
  IMAGE_INVALID: Code.INTERNAL,
  MESSAGE_TOO_LARGE: Code.RESOURCE_EXHAUSTED,
  DEADLINE_MISSING: Code.INVALID_ARGUMENT,
  CURSOR_EXPIRED: Code.OUT_OF_RANGE,
  NOT_FOUND: Code.NOT_FOUND,
  QUERY_INVALID: Code.INVALID_ARGUMENT,
  CERTIFICATE_MISSING: Code.UNAUTHENTICATED,
  CERTIFICATE_INVALID: Code.UNAUTHENTICATED,
  FLEET_MISMATCH: Code.UNAUTHENTICATED,
  IDENTITY_MISMATCH: Code.UNAUTHENTICATED,
  SCOPE_MISSING: Code.PERMISSION_DENIED,
  TOKEN_INVALID: Code.UNAUTHENTICATED,
  TOKEN_EXPIRED: Code.UNAUTHENTICATED,
  TOKEN_USED: Code.UNAUTHENTICATED,
  PROOF_INVALID: Code.UNAUTHENTICATED,
  ENROLLMENT_CLOSED: Code.FAILED_PRECONDITION,
  ALREADY_ENROLLED: Code.FAILED_PRECONDITION,
  NOT_ENROLLED: Code.FAILED_PRECONDITION,
  REVOKED: Code.UNAUTHENTICATED,
  ACCESS_INVALID: Code.INVALID_ARGUMENT,
  ACCESS_STALE: Code.FAILED_PRECONDITION,
  ACCESS_FORKED: Code.ABORTED,
  MFA_REQUIRED: Code.FAILED_PRECONDITION,
  MFA_WRONG: Code.UNAUTHENTICATED,
  SESSION_INVALID: Code.UNAUTHENTICATED,
  CLOCK_SKEWED: Code.FAILED_PRECONDITION,
  REVISION_CONFLICT: Code.ABORTED,
  PLAN_EXPIRED: Code.FAILED_PRECONDITION,
  PLAN_MISMATCH: Code.FAILED_PRECONDITION,
  APPLY_IN_PROGRESS: Code.FAILED_PRECONDITION,
  NOTHING_TO_CONFIRM: Code.FAILED_PRECONDITION,
  APPLY_FAILED: Code.INTERNAL,
  REVISION_UNKNOWN: Code.NOT_FOUND,
  OBSERVE_ONLY: Code.FAILED_PRECONDITION,
  ROLLOUT_STOPPED: Code.FAILED_PRECONDITION,
  ROLLOUT_CONFLICT: Code.ABORTED,
  INTENT_STALE: Code.FAILED_PRECONDITION,
  INTENT_EXPIRED: Code.FAILED_PRECONDITION,
  APPROVAL_REFUSED: Code.PERMISSION_DENIED,
  ENGINE_UNAVAILABLE: Code.FAILED_PRECONDITION,
  ENGINE_FAILED: Code.INTERNAL,
  INTERFACE_UNKNOWN: Code.NOT_FOUND,
  INTERFACE_FOREIGN_PROGRAM: Code.FAILED_PRECONDITION,
  INTERFACES_EXHAUSTED: Code.RESOURCE_EXHAUSTED,
  STATE_CORRUPT: Code.DATA_LOSS,
  STATE_FAILED: Code.INTERNAL,
  HOST_UNREACHABLE: Code.UNAVAILABLE,
  CANCELLED: Code.CANCELLED,
  TIMED_OUT: Code.DEADLINE_EXCEEDED,
  LIMIT_REACHED: Code.RESOURCE_EXHAUSTED,
  AUDIT_FAILED: Code.INTERNAL,
  AUDIT_BROKEN: Code.DATA_LOSS,
  METHOD_UNKNOWN: Code.UNIMPLEMENTED,
  INTERNAL: Code.INTERNAL,
  // Codes of the console: an agent never raises them.
  FLEET_MISSING: Code.INTERNAL,
  FLEET_EXISTS: Code.INTERNAL,
  FLEET_LOCKED: Code.INTERNAL,
  PASSPHRASE_WRONG: Code.INTERNAL,
  PASSPHRASE_WEAK: Code.INTERNAL,
  VAULT_UNAVAILABLE: Code.INTERNAL,
  HOST_EXISTS: Code.INTERNAL,
  HOST_UNKNOWN: Code.INTERNAL,
  BRIDGE_REFUSED: Code.INTERNAL,
  BRIDGE_PROTOCOL: Code.INTERNAL,
  ORIGIN_REFUSED: Code.INTERNAL,
  SNAPSHOT_INVALID: Code.INTERNAL,
  SNAPSHOT_FOREIGN: Code.INTERNAL,
  QUOTA_EXCEEDED: Code.RESOURCE_EXHAUSTED,
  LICENSE_INVALID: Code.INTERNAL,
  LICENSE_UNREACHABLE: Code.INTERNAL,
  SIGN_IN_REQUIRED: Code.INTERNAL,
  SIGN_IN_FAILED: Code.INTERNAL,
  READ_ONLY: Code.INTERNAL,
  ROOT_CHANGE_HELD: Code.INTERNAL,
};

/** What ends a call, as the library's interceptors hand it on. */
export type CallStatus = Parameters<ServerInterceptingCallInterface['sendStatus']>[0];

export interface GrpcStatus {
  readonly code: Code;
  readonly details: string;
  readonly metadata: Metadata;
}

/** The wire form of anything thrown: canonical code, message, and google.rpc.Status with ErrorInfo in the details. */
export const toGrpcStatus = (error: unknown): GrpcStatus => shapeToGrpcStatus(toErrorShape(error));

const shapeToGrpcStatus = (shape: ErrorShape): GrpcStatus => {
  const code = grpcCodes[shape.code];
  const metadata = new Metadata();
  metadata.set(detailsKey, encodeDetails(code, shape));
  return { code, details: shape.message, metadata };
};

const encodeDetails = (code: Code, shape: ErrorShape): Buffer => {
  const encode = (metadata: Record<string, string>): Buffer => {
    const value = Buffer.from(ErrorInfo.encode({ reason: shape.code, domain: errorDomain, metadata }).finish());
    return Buffer.from(RpcStatus.encode({ code, message: shape.message, details: [{ typeUrl: errorInfoType, value }] }).finish());
  };
  const full = encode(errorMetadata(shape));
  return full.length <= detailsBytesMax ? full : encode({});
};

/** Flat texts as they are, everything else as JSON under "details". */
const errorMetadata = (shape: ErrorShape): Record<string, string> => {
  const flat: Record<string, string> = {};
  const nested: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(shape.details)) {
    if (typeof value === 'string') flat[key] = value;
    else nested[key] = value;
  }
  const json = JSON.stringify(nested, (_key, value: unknown) => (typeof value === 'bigint' ? value.toString() : value));
  return Object.keys(nested).length === 0 ? flat : { ...flat, details: json };
};

/**
 * Gives statuses that the gRPC library raises by itself (message too large, garbage, deadline) their Nest code; leaves
 * OK and those that carry one alone.
 */
export const withNestDetails = (status: CallStatus): { readonly status: CallStatus; readonly code: NestErrorCode | null } => {
  if (status.code === Code.OK) return { status, code: null };
  const carried = status.metadata?.get(detailsKey)[0];
  if (carried instanceof Buffer) return { status, code: carriedCode(carried) };
  const shape = libraryShape(status);
  return { status: shapeToGrpcStatus(shape), code: shape.code };
};

/** Codes the library uses, told apart by canonical code and, for INTERNAL, by its constant texts (grpc-js 1.14). */
const libraryShape = (status: CallStatus): ErrorShape => {
  const shape = (code: NestErrorCode, message: string): ErrorShape => ({ code, message, details: {} });
  const text = status.details ?? '';
  if (status.code === Code.RESOURCE_EXHAUSTED) return shape('MESSAGE_TOO_LARGE', 'The message is larger than 4 MB. Send less at once.');
  if (status.code === Code.DEADLINE_EXCEEDED) return shape('TIMED_OUT', 'The deadline of the call is over. Try again with more time.');
  if (status.code === Code.CANCELLED) return shape('CANCELLED', 'The call was cancelled.');
  if (/deserializ|decompress|compressed|grpc-timeout|Too many requests|half-close/i.test(text))
    return shape('INPUT_INVALID', 'The request cannot be read. Use a console of a matching version.');
  return shape('INTERNAL', 'Something went wrong inside Nest. Look into its log for the cause, then try again.');
};

/** The Nest code inside an encoded google.rpc.Status; null when there is none. */
const carriedCode = (bytes: Buffer): NestErrorCode | null => {
  const info = RpcStatus.decode(bytes).details.find((detail) => detail.typeUrl === errorInfoType);
  const reason = info === undefined ? '' : ErrorInfo.decode(info.value).reason;
  return isErrorCode(reason) ? reason : null;
};
