import { ServerInterceptingCall, status as Code } from '@grpc/grpc-js';
import type { Metadata, ServerInterceptingCallInterface, ServerInterceptor } from '@grpc/grpc-js';
import { rpcAccess } from '../../proto/gen/access.ts';
import type { RpcAccess } from '../../proto/gen/access.ts';
import { errorCodeOf, NestError } from '../../proto/model/error.ts';
import type { NestErrorCode } from '../../proto/model/error.ts';
import type { AuthenticationEvent } from '../lib/authentication-event.ts';
import type { Logger } from '../lib/log.ts';
import type { CallAudit } from './call-audit.ts';
import type { Authorization, LiveCall } from './authorization.ts';
import type { CallContext, CallContexts } from './call-context.ts';
import { endpointsOf } from './connections.ts';
import type { Connection, Connections } from './connections.ts';
import { toGrpcStatus, withNestDetails } from './grpc-status.ts';
import type { CallStatus } from './grpc-status.ts';
import { methodUnknown, unknownMethod } from './unknown-methods.ts';

export interface CallReport {
  readonly path: string;
  /** OK, or the Nest code. */
  readonly outcome: 'OK' | NestErrorCode;
  readonly durationMs: number;
}

export interface CallGuardOptions {
  readonly connections: Connections;
  readonly contexts: CallContexts;
  readonly audit: CallAudit;
  readonly authorization: Authorization;
  /** Paths that have a handler. */
  readonly served: ReadonlySet<string>;
  /** Looks at the caller again: certificates end and callers are locked out while connections live. Throws the code. */
  readonly recheck: (connection: Connection) => void;
  readonly monotonicMs: () => number;
  readonly logger: Logger;
  readonly onFinished: (report: CallReport) => void;
  readonly onAuthentication: (event: AuthenticationEvent) => void;
}

/** Codes that refuse a call for who called. */
const authenticationCodes: ReadonlySet<string> = new Set<NestErrorCode>([
  'CERTIFICATE_MISSING',
  'CERTIFICATE_INVALID',
  'FLEET_MISMATCH',
  'SCOPE_MISSING',
  'REVOKED',
  'ACCESS_STALE',
  'SESSION_INVALID',
  'MFA_REQUIRED',
  'MFA_WRONG',
]);
/** Characters of an unknown method's path that are kept. */
const targetMax = 128;
const enrollmentPrefix = '/nest.v1.EnrollmentService/';

/** The protocols of gRPC itself have no access option of ours: what their methods need, by the start of their paths. */
const protocolAccess: readonly (readonly [prefix: string, access: RpcAccess])[] = [
  ['/grpc.health.v1.Health/', { scope: 'public', idempotent: true, dangerous: false, maxDeadlineMs: 0 }],
  // A tool opens the stream again when it has more to ask.
  ['/grpc.reflection.v1.ServerReflection/', { scope: 'hosts:admin', idempotent: true, dangerous: false, maxDeadlineMs: 300_000 }],
];

/**
 * The one place every call passes before its handler and after it: who calls, may they, is there a deadline; then one
 * coded status, one log line, one measurement.
 */
export const createCallGuard = (options: CallGuardOptions): ServerInterceptor => {
  return (method, call) => {
    const startedMs = options.monotonicMs();
    // Asked for now: when the call ends its connection may be gone.
    const peer = peerOf(options, call);
    const isServed = options.served.has(method.path);
    // The path of a call nobody serves is the caller's own text: it names nothing here.
    const path = isServed ? method.path : unknownMethod;
    const target = isServed ? '' : method.path.slice(0, targetMax);
    const record = options.audit.begin({ path, access: isServed ? accessOf(method.path) : null, target, ...peer });
    let live: LiveCall | null = null;
    const written = (outcome: CallReport['outcome']): Promise<void> | null => record.finished(outcome, live?.revoked.aborted === true);
    finishThrough(call, written, (coded, outcome) => {
      live?.end();
      report(options, { path, outcome, durationMs: options.monotonicMs() - startedMs });
      tellAuthentication(options, peer, { path, outcome });
      return coded;
    });
    return new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata: (metadata: Metadata, pass: (metadata: Metadata) => void) => {
            try {
              const isUnary = !method.requestStream && !method.responseStream;
              const { context, authorized } = admit(options, call, { path: method.path, isUnary, metadata });
              live = authorized;
              if (authorized.grant !== null) record.under(`break-glass ${authorized.grant.grantId}`);
              options.contexts.put(metadata, context);
            } catch (error) {
              call.sendStatus(toGrpcStatus(error));
              return;
            }
            pass(metadata);
          },
          onReceiveMessage: (message: unknown, pass: (message: unknown) => void) => {
            const written = record.received(message);
            const go = (): void => {
              try {
                live?.checkMessage(message);
              } catch (error) {
                call.sendStatus(toGrpcStatus(error));
                return;
              }
              pass(message);
            };
            if (written === null) go();
            else written.then(go, (error: unknown) => call.sendStatus(toGrpcStatus(error)));
          },
        }),
    });
  };
};

/**
 * Everything that ends this call goes through `finish`, once: the handler's status and also those the library raises by
 * itself below any interceptor (message too large, garbage, deadline), which call the same method of the same object.
 * A test holds that (grpc-js 1.14).
 */
const finishThrough = (
  call: ServerInterceptingCallInterface,
  audit: (outcome: CallReport['outcome']) => Promise<void> | null,
  finish: (status: CallStatus, outcome: CallReport['outcome']) => CallStatus,
): void => {
  const send = call.sendStatus.bind(call);
  let finished = false;
  call.sendStatus = (status) => {
    if (finished) return;
    finished = true;
    const coded = withNestDetails(status);
    const outcome = coded.code ?? (status.code === Code.OK ? 'OK' : 'INTERNAL');
    const written = audit(outcome);
    if (written === null) send(finish(coded.status, outcome));
    else
      written.then(
        () => send(finish(coded.status, outcome)),
        // What could not be audited has failed, whatever the handler did.
        (error: unknown) => send(finish(toGrpcStatus(error), errorCodeOf(error))),
      );
  };
};

const accessOf = (path: string): RpcAccess | null =>
  rpcAccess[path] ?? protocolAccess.find(([prefix]) => path.startsWith(prefix))?.[1] ?? null;

/** Throws the code that refuses the call. */
const admit = (
  options: CallGuardOptions,
  call: ServerInterceptingCallInterface,
  method: { readonly path: string; readonly isUnary: boolean; readonly metadata: Metadata },
): { readonly context: CallContext; readonly authorized: LiveCall } => {
  const endpoints = endpointsOf(call.getConnectionInfo());
  const connection = endpoints === null ? undefined : options.connections.find(endpoints);
  if (endpoints === null || connection === undefined)
    throw new NestError('CERTIFICATE_MISSING', 'The connection is not known any more. Connect again.');
  options.recheck(connection);
  if (!options.served.has(method.path)) throw methodUnknown();
  const access = accessOf(method.path);
  if (access === null)
    throw new NestError('SCOPE_MISSING', 'This call has no scope and is refused. Update agent and console to matching versions.');
  if (access.maxDeadlineMs > 0 && method.isUnary && !hasDeadline(call)) {
    throw new NestError('DEADLINE_MISSING', `The call has no deadline. Set one of at most ${access.maxDeadlineMs} ms and call again.`, {
      details: { maxDeadlineMs: access.maxDeadlineMs },
    });
  }
  const authorized = options.authorization.authorize({
    connection,
    path: method.path,
    scope: access.scope,
    isDangerous: access.dangerous,
    metadata: method.metadata,
  });
  const { isHeldFor, revoked } = authorized;
  const context = { isHeldFor, revoked, path: method.path, connection, endpoints, deadlineMsMax: access.maxDeadlineMs };
  return { context, authorized };
};

const hasDeadline = (call: ServerInterceptingCallInterface): boolean => {
  const deadline = call.getDeadline();
  return deadline instanceof Date || Number.isFinite(deadline);
};

interface Peer {
  readonly source: string;
  readonly subject: string;
  /** SHA-256 of the public key, hex. */
  readonly device: string;
}

const peerOf = ({ connections }: CallGuardOptions, call: ServerInterceptingCallInterface): Peer => {
  const endpoints = endpointsOf(call.getConnectionInfo());
  if (endpoints === null) return { source: '', subject: '', device: '' };
  const connection = connections.find(endpoints);
  const device = connection?.spkiHash.toString('hex') ?? '';
  return { source: endpoints.callerAddress, subject: connection?.caller?.subject ?? '', device };
};

/** Calls of known callers are too many to tell; what is refused for who called is told, and all of an enrolment. */
const tellAuthentication = (
  options: CallGuardOptions,
  { source, subject }: Peer,
  { path, outcome }: Pick<CallReport, 'path' | 'outcome'>,
): void => {
  const isEnrollment = path.startsWith(enrollmentPrefix);
  if (!isEnrollment && !authenticationCodes.has(outcome)) return;
  options.onAuthentication({
    source,
    subject,
    kind: isEnrollment ? 'enrollment' : 'call',
    isAccepted: outcome === 'OK',
    action: path,
    code: outcome,
  });
};

/** Refusals and failures of one call, said once; defects were logged with their cause where they were caught. */
const report = (options: CallGuardOptions, finished: CallReport): void => {
  const fields = { path: finished.path, outcome: finished.outcome, durationMs: Math.round(finished.durationMs * 10) / 10 };
  if (finished.outcome === 'OK' || finished.outcome === 'CANCELLED') options.logger.debug('call finished', fields);
  else options.logger.info('call refused', fields);
  options.onFinished(finished);
};
