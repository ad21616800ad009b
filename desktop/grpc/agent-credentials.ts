/**
 * Channel credentials of our own: the stock ones neither resume TLS sessions nor tell why a handshake failed.
 * Rests on the connector interface of grpc-js 1.14 (`_createSecureConnector`), which agent-credentials.test.ts pins.
 */
import { CallCredentials, ChannelCredentials } from '@grpc/grpc-js';
import type { X509Certificate } from 'node:crypto';
import { connect } from 'node:tls';
import type { ConnectionOptions, DetailedPeerCertificate, TLSSocket } from 'node:tls';
import { NestError } from '../../proto/model/error.ts';
import type { OperatorIdentity } from './operator-identity.ts';

type SecureConnector = ReturnType<ChannelCredentials['_createSecureConnector']>;
type SecureConnectResult = Awaited<ReturnType<SecureConnector['connect']>>;

export interface CredentialOptions {
  readonly operator: OperatorIdentity;
  readonly serverName: string;
  /** Under which TLS sessions are kept; null = never resume. */
  readonly sessionKey: string | null;
  /** False only while enrolling: the agent's certificate is its own then, and the channel binding proves it. */
  readonly isChainVerified: boolean;
  /** Judges the peer's certificate on every full handshake; what it returns refuses the connection. */
  readonly judge: (certificate: X509Certificate) => NestError | undefined;
}

/** How long the library has to close a connection in order, milliseconds. */
const closingMs = 1000;

/** Credentials of one channel to one agent. */
export class AgentCredentials extends ChannelCredentials {
  readonly #options: CredentialOptions;
  readonly #sockets = new Set<TLSSocket>();
  /** Those of them whose handshake goes on. */
  readonly #making = new Set<TLSSocket>();
  #failure: NestError | undefined;
  #isResumed = false;
  #isClosed = false;

  constructor(options: CredentialOptions) {
    super();
    this.#options = options;
  }

  /** Why TLS failed last; gRPC itself only says that there is no connection. */
  get failure(): NestError | undefined {
    return this.#failure;
  }

  /** Whether the last handshake resumed a session. */
  get isResumed(): boolean {
    return this.#isResumed;
  }

  /** For when the channel is closed: the library leaves a connection that is being made to itself. What it closes itself gets a moment. */
  close(): void {
    this.#isClosed = true;
    for (const socket of this.#making) socket.destroy();
    setTimeout(() => this.#destroyAll(), closingMs).unref();
  }

  #destroyAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  override _isSecure(): boolean {
    return true;
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  override _createSecureConnector(..._parameters: Parameters<ChannelCredentials['_createSecureConnector']>): SecureConnector {
    const callCredentials = _parameters[2] ?? CallCredentials.createEmpty();
    return {
      connect: (socket) => this.#connect(socket),
      waitForReady: () => Promise.resolve(),
      getCallCredentials: () => callCredentials,
      destroy: () => undefined,
    };
  }

  #connect(socket: NonNullable<ConnectionOptions['socket']>): Promise<SecureConnectResult> {
    const { operator, serverName, sessionKey, isChainVerified } = this.#options;
    const session = sessionKey === null ? undefined : operator.sessions.get(sessionKey);
    return new Promise((resolve, reject) => {
      if (this.#isClosed) {
        socket.destroy();
        reject(new Error('the channel is closed'));
        return;
      }
      const tls = connect({
        socket,
        secureContext: operator.context,
        servername: serverName,
        ALPNProtocols: ['h2'],
        rejectUnauthorized: isChainVerified,
        // Names are judged below, by identity: a DNS name proves nothing in a fleet.
        checkServerIdentity: () => undefined,
        ...(session === undefined ? {} : { session }),
      });
      // The library keeps the peer's certificate, taken apart, with each connection; nobody here asks it for that.
      tls.getPeerCertificate = () => noCertificate;
      const refuse = (error: NestError): void => {
        this.#failure = error;
        if (sessionKey !== null) operator.sessions.drop(sessionKey);
        tls.destroy();
        reject(error);
      };
      // Tickets may come before the peer is judged: only those of an accepted connection may ever be resumed.
      let isAccepted = false;
      let ticket: Buffer | undefined;
      const keep = (): void => {
        if (isAccepted && ticket !== undefined && sessionKey !== null) operator.sessions.put(sessionKey, ticket);
      };
      tls.once('secureConnect', () => {
        this.#making.delete(tls);
        const problem = this.#judge(tls);
        if (problem !== undefined) {
          refuse(problem);
          return;
        }
        isAccepted = true;
        keep();
        this.#failure = undefined;
        this.#isResumed = tls.isSessionReused();
        resolve({ socket: tls, secure: true });
      });
      tls.on('session', (received: Buffer) => {
        ticket = received;
        keep();
      });
      // Stays for the life of the socket: in TLS 1.3 the agent refuses our certificate after our side has finished.
      tls.on('error', (error: NodeJS.ErrnoException) => {
        this.#failure = tlsFailure(error) ?? this.#failure;
        if (sessionKey !== null && this.#failure !== undefined) operator.sessions.drop(sessionKey);
        reject(this.#failure ?? error);
      });
      this.#sockets.add(tls);
      this.#making.add(tls);
      tls.once('close', () => {
        this.#sockets.delete(tls);
        this.#making.delete(tls);
        reject(
          new NestError(
            'HOST_UNREACHABLE',
            'The host closed the connection before it was secure. Check that an agent listens at this address and port.',
          ),
        );
      });
    });
  }

  #judge(tls: TLSSocket): NestError | undefined {
    // A resumed session shows no certificate: it was kept under this very identity after its certificate was judged.
    if (tls.isSessionReused()) return undefined;
    const certificate = tls.getPeerX509Certificate();
    if (certificate !== undefined) return this.#options.judge(certificate);
    return new NestError('CERTIFICATE_MISSING', 'The host showed no certificate. Check that an agent listens at this address and port.');
  }
}

/** What Node itself answers when there is none. */
const noCertificate = {} as DetailedPeerCertificate;

const chainProblems: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: "The agent's certificate has expired. Remove the host and add it again.",
  CERT_NOT_YET_VALID: "The agent's certificate is not valid yet. Compare the clocks of this machine and of the host.",
};

/** Node's and OpenSSL's codes of a refused certificate, either way; undefined for what is merely a broken connection. */
const tlsFailure = (error: NodeJS.ErrnoException): NestError | undefined => {
  const code = error.code ?? '';
  if (code.startsWith('ERR_SSL_') && /ALERT/.test(code)) {
    return new NestError(
      'CERTIFICATE_INVALID',
      'The agent refuses the certificate of this console. It belongs to another fleet, or the clocks differ: check both.',
      { details: { alert: code }, cause: error },
    );
  }
  const isChainCode = code in chainProblems || /^(SELF_SIGNED|DEPTH_ZERO|UNABLE_TO_(GET|VERIFY)|CERT_|INVALID_(PURPOSE|CA))/.test(code);
  if (!isChainCode) return undefined;
  const message =
    chainProblems[code] ??
    'The certificate shown at this address was not issued by this fleet. Check the address of the host; nothing was sent to it.';
  return new NestError('CERTIFICATE_INVALID', message, { details: { verification: code }, cause: error });
};
