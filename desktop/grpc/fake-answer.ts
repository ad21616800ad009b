/** How the fake agent answers: handlers from async functions, errors as agents send them. */
import { Metadata, status as grpcStatus } from '@grpc/grpc-js';
import type { ServerUnaryCall, handleUnaryCall } from '@grpc/grpc-js';
import { ErrorInfo, Status } from '../../proto/gen/google/rpc/status.ts';
import { NestError } from '../../proto/model/error.ts';

/** A unary handler from an async function; what it throws becomes a status as agents send it. */
export const answer =
  <Request, Response>(
    work: (request: Request, call: ServerUnaryCall<Request, Response>) => Promise<Response>,
  ): handleUnaryCall<Request, Response> =>
  (call, callback) => {
    const respond = async (): Promise<void> => {
      let response: Response;
      try {
        response = await work(call.request, call);
      } catch (error) {
        callback(statusOf(error));
        return;
      }
      callback(null, response);
    };
    void respond();
  };

/** An error as agents send it. */
export const statusOf = (error: unknown): { readonly code: grpcStatus; readonly details: string; readonly metadata: Metadata } => {
  const metadata = new Metadata();
  const { code, message, details } =
    error instanceof NestError ? error : new NestError('INTERNAL', error instanceof Error ? (error.stack ?? '') : String(error));
  const info = ErrorInfo.encode({ reason: code, domain: 'nest', metadata: { details: JSON.stringify(details) } }).finish();
  const rich = Status.encode({
    code: grpcStatus.FAILED_PRECONDITION,
    message,
    details: [{ typeUrl: 'type.googleapis.com/google.rpc.ErrorInfo', value: Buffer.from(info) }],
  }).finish();
  metadata.set('grpc-status-details-bin', Buffer.from(rich));
  return { code: grpcStatus.FAILED_PRECONDITION, details: message, metadata };
};
