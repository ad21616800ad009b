import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import type { Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { SecureContextOptions, TLSSocket } from 'node:tls';
import { errorCodeOf, NestError } from '../../proto/model/error.ts';
import { messageBytesMax } from '../../proto/model/limits.ts';
import type { AccessControl } from '../control/access/api.ts';
import type { TlsMaterial } from '../control/identity/api.ts';
import type { AuthenticationEvent } from '../lib/authentication-event.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import { createAuthorization } from './authorization.ts';
import type { Authorization, AuthorizationOptions } from './authorization.ts';
import { createCallGuard } from './call-guard.ts';
import type { CallReport } from './call-guard.ts';
import type { CallAudit } from './call-audit.ts';
import type { CallContexts } from './call-context.ts';
import { createConnections } from './connections.ts';
import type { Connection, Connections } from './connections.ts';
import { checkPeer, recheckPeer } from './peer-check.ts';
import type { PeerCheck } from './peer-check.ts';
import { createRefusal } from './refusal.ts';
import { catchUnknownMethods, servedPaths } from './unknown-methods.ts';
import { widenWindows } from './upload-window.ts';

/** Streams of one connection at the same time. */
const streamsPerConnectionMax = 64;
const connectionsPerCallerMax = 16;
/** Connections at once while nobody is known yet: one console enrols, the rest is noise. */
const connectionsUnknownMax = 32;
/** Peers that do not finish TLS in this time are dropped, milliseconds. */
const handshakeMs = 10_000;
/** Connections are renewed daily, so that revoked material cannot linger. */
const connectionAgeMs = 24 * 3_600_000;
const connectionAgeGraceMs = 60_000;
/** Who brings a revocation may be cut by it: the answer leaves first. Calls of who is revoked are refused meanwhile. */
const cutAfterMs = 200;
const keepaliveMs = 30_000;
const keepaliveTimeoutMs = 10_000;

export interface Service {
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
}

export interface AcceptorOptions extends PeerCheck {
  readonly material: TlsMaterial;
  readonly services: readonly Service[];
  readonly contexts: CallContexts;
  readonly audit: CallAudit;
  readonly access: AccessControl;
  readonly sessions: AuthorizationOptions['sessions'];
  readonly rollouts: AuthorizationOptions['rollouts'];
  readonly revisionBefore: AuthorizationOptions['revisionBefore'];
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onFinished: (report: CallReport) => void;
  readonly onAuthentication: (event: AuthenticationEvent) => void;
}

/** TLS and gRPC for one state of the agent: before or after it joined a fleet. */
export interface Acceptor {
  /** Takes ownership of a raw connection. */
  accept(socket: Socket): void;
  /** New connections see this from now on. Those that live go on, but for callers who are not admitted any more; safe to repeat. */
  renew(material: TlsMaterial): void;
  /** Lets running calls finish for the grace time (milliseconds), then cuts what is left. */
  close(graceMs: number): Promise<void>;
}

/** Says to the gRPC library that TLS was terminated in front of it: it gets only connections whose peer is known. */
class TerminatedTls extends ServerCredentials {
  constructor() {
    super(null);
  }

  override _equals(other: ServerCredentials): boolean {
    return other === this;
  }
}

/**
 * Own TLS in front of the gRPC library, because only so can a handshake be limited, logged, judged and refused with a
 * reason: the library's own listener hides the socket. Both ends meet at its public connection injector.
 */
export const createAcceptor = (options: AcceptorOptions): Acceptor => {
  const connections = createConnections();
  const refusal = createRefusal(options.clock);
  const authorization = createAuthorization({ ...options, connections });
  const grpc = createGrpcServer(options, connections, authorization);
  const injector = grpc.createConnectionInjector(new TerminatedTls());
  const stopWidening = widenWindows(grpc);
  const pending = new Set<Socket>();
  let inForce = options.material;
  const tls = createTlsServer({
    ...contextOf(options.material),
    requestCert: true,
    // Judged in checkPeer, which can say why; nothing reaches gRPC before it.
    rejectUnauthorized: false,
    ALPNProtocols: ['h2'],
    handshakeTimeout: handshakeMs,
  });
  tls.on('tlsClientError', (error, socket) => {
    options.logger.debug('handshake failed', { source: socket.remoteAddress, error: error.message });
    tellFailedHandshake(options, socket, error);
    socket.destroy();
  });
  tls.on('secureConnection', (socket: TLSSocket) => {
    socket.on('error', () => socket.destroy());
    try {
      const connection = checkPeer(socket, options);
      authorization.admit(connection);
      addTo(connections, connection);
      tellConnection(options, socket, { code: 'OK', subject: connection.caller?.subject ?? '' });
      injector.injectConnection(socket);
    } catch (error) {
      const reason = error instanceof Error ? error.message : '';
      options.logger.warn('connection refused', { source: socket.remoteAddress, code: errorCodeOf(error), reason });
      tellConnection(options, socket, { code: errorCodeOf(error), subject: '' });
      refusal.refuse(socket, error);
    }
  });
  return {
    accept: (socket) => {
      pending.add(socket);
      socket.once('close', () => pending.delete(socket));
      socket.on('error', () => socket.destroy());
      tls.emit('connection', socket);
    },
    renew: (material) => {
      if (JSON.stringify(material) !== JSON.stringify(inForce)) tls.setSecureContext(contextOf(material));
      const hasRevoked = material.revokedAuthorities !== inForce.revokedAuthorities;
      const hasLostRoot = rootsOf(inForce).some((root) => !rootsOf(material).includes(root));
      inForce = material;
      // A connection does not tell which authority stands behind it; its next handshake does.
      const living = hasRevoked ? connections.filter(() => true) : [];
      options.clock.after(cutAfterMs, () => {
        for (const { socket } of living) socket.destroy();
        connections.destroyOf((connection) => isOver(connection, options) || (hasLostRoot && isDisbelieved(connection, options)));
      });
    },
    close: async (graceMs) => {
      stopWidening();
      refusal.close();
      injector.drain(graceMs);
      await closed(pending, graceMs, options.clock);
      for (const socket of pending) socket.destroy();
      grpc.forceShutdown();
      authorization.close();
    },
  };
};

/** Resolves when every socket has closed (and left the set), or the grace time is over. */
const closed = (pending: ReadonlySet<Socket>, graceMs: number, clock: Clock): Promise<void> =>
  new Promise((resolve) => {
    const timer = clock.after(graceMs, resolve);
    const check = (): void => {
      if (pending.size > 0) return;
      timer.cancel();
      resolve();
    };
    for (const socket of pending) socket.once('close', check);
    check();
  });

const contextOf = (material: TlsMaterial): SecureContextOptions => ({
  cert: material.certificate,
  key: material.privateKey,
  ...(material.authorities === null ? {} : { ca: material.authorities }),
  ...(material.revocationLists === null ? {} : { crl: [...material.revocationLists] }),
  minVersion: 'TLSv1.2',
  ciphers:
    'TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256',
  honorCipherOrder: true,
});

const isOver = (connection: Connection, options: AcceptorOptions): boolean => {
  try {
    recheckPeer(connection, { ...options, nowMs: options.clock.nowMs() });
    return false;
  } catch (error) {
    options.logger.warn('connection cut', { subject: connection.caller?.subject ?? '', code: errorCodeOf(error) });
    return true;
  }
};

const rootsOf = ({ authorities }: TlsMaterial): readonly string[] =>
  (authorities ?? '').match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];

/** Whose certificate leads to none of the roots that are trusted now. */
const isDisbelieved = ({ caller, certificate }: Connection, { identity, logger }: AcceptorOptions): boolean => {
  if (caller === null) return false;
  try {
    identity.judgeClient([certificate]);
    return false;
  } catch (error) {
    logger.warn('connection cut', { subject: caller.subject, code: errorCodeOf(error) });
    return true;
  }
};

const tellConnection = (
  { onAuthentication, enrolled }: AcceptorOptions,
  { remoteAddress }: TLSSocket,
  { code, subject }: { readonly code: string; readonly subject: string },
): void =>
  onAuthentication({
    kind: 'connection',
    isAccepted: code === 'OK',
    source: remoteAddress ?? '',
    subject,
    action: enrolled ? 'fleet' : 'enrollment',
    code,
  });

/** Who hangs up in the middle has refused himself. */
const tellFailedHandshake = (options: AcceptorOptions, socket: TLSSocket, error: Error): void => {
  if ('code' in error && error.code === 'ECONNRESET') return;
  tellConnection(options, socket, { code: 'HANDSHAKE_FAILED', subject: '' });
};

/** Throws LIMIT_REACHED. */
const addTo = (connections: Connections, connection: Connection): void => {
  const { caller } = connection;
  if (caller === null ? connections.size < connectionsUnknownMax : connections.countOf(caller.subject) < connectionsPerCallerMax) {
    connections.add(connection);
    return;
  }
  throw new NestError('LIMIT_REACHED', 'There are too many connections to this host already. Close one, then connect again.');
};

const createGrpcServer = (options: AcceptorOptions, connections: Connections, authorization: Authorization): Server => {
  const guard = createCallGuard({
    connections,
    authorization,
    contexts: options.contexts,
    audit: options.audit,
    served: servedPaths(options.services),
    recheck: (connection) =>
      recheckPeer(connection, { isRevoked: options.isRevoked, identity: options.identity, nowMs: options.clock.nowMs() }),
    monotonicMs: () => options.clock.monotonicMs(),
    logger: options.logger,
    onFinished: options.onFinished,
    onAuthentication: options.onAuthentication,
  });
  const server = new Server({
    interceptors: [guard],
    'grpc.max_receive_message_length': messageBytesMax,
    'grpc.max_send_message_length': messageBytesMax,
    'grpc.max_concurrent_streams': streamsPerConnectionMax,
    'grpc.max_connection_age_ms': connectionAgeMs,
    'grpc.max_connection_age_grace_ms': connectionAgeGraceMs,
    'grpc.keepalive_time_ms': keepaliveMs,
    'grpc.keepalive_timeout_ms': keepaliveTimeoutMs,
    'grpc.enable_channelz': 0,
  });
  for (const { definition, implementation } of options.services) server.addService(options.audit.remembering(definition), implementation);
  catchUnknownMethods(server);
  return server;
};
