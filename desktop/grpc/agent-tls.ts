/**
 * TLS to one agent: sessions are resumed, the peer is judged by its identity, and a failure says why.
 */
import type { X509Certificate } from 'node:crypto';
import { connect } from 'node:tls';
import type { DetailedPeerCertificate, TLSSocket } from 'node:tls';
import { NestError } from '../../proto/model/error.ts';
import type { OperatorIdentity } from './operator-identity.ts';

export interface Endpoint {
  /** IPv4, IPv6 or a DNS name. */
  readonly address: string;
  readonly port: number;
}

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

export interface TlsListener {
  /** The handshake is done and the peer is who it should be. */
  accepted(): void;
  /** There is no connection, or no more. In TLS 1.3 the agent refuses our certificate only after `accepted`. */
  failed(error: NestError): void;
}

/** Connects at once; the caller owns the socket. */
export const connectTls = (endpoint: Endpoint, options: CredentialOptions, listener: TlsListener): TLSSocket => {
  const { operator, serverName, sessionKey, isChainVerified } = options;
  const session = sessionKey === null ? undefined : operator.sessions.get(sessionKey);
  const tls = connect({
    host: endpoint.address,
    port: endpoint.port,
    secureContext: operator.context,
    servername: serverName,
    ALPNProtocols: ['h2'],
    rejectUnauthorized: isChainVerified,
    // Names are judged below, by identity: a DNS name proves nothing in a fleet.
    checkServerIdentity: () => undefined,
    ...(session === undefined ? {} : { session }),
  });
  // Node takes the certificate apart for the check of names that is not made here: a millisecond and more for each handshake.
  tls.getPeerCertificate = () => noCertificate;
  tls.setNoDelay(true);
  // Tickets may come before the peer is judged: only those of an accepted connection may ever be resumed.
  let isAccepted = false;
  let ticket: Buffer | undefined;
  const keep = (): void => {
    if (isAccepted && ticket !== undefined && sessionKey !== null) operator.sessions.put(sessionKey, ticket);
    if (isAccepted) ticket = undefined;
  };
  const refuse = (error: NestError): void => {
    if (sessionKey !== null) operator.sessions.drop(sessionKey);
    listener.failed(error);
  };
  tls.once('secureConnect', () => {
    const problem = judge(tls, options);
    if (problem !== undefined) {
      refuse(problem);
      tls.destroy();
      return;
    }
    isAccepted = true;
    keep();
    listener.accepted();
  });
  tls.on('session', (received: Buffer) => {
    ticket = received;
    keep();
  });
  // Stays for the life of the socket: in TLS 1.3 the agent refuses our certificate after our side has finished.
  tls.on('error', (error: NodeJS.ErrnoException) => {
    const failure = tlsFailure(error);
    if (failure === undefined) listener.failed(unreachable(error));
    else refuse(failure);
  });
  tls.once('close', () => {
    if (!isAccepted) listener.failed(closedEarly());
  });
  return tls;
};

/** What Node itself answers when there is none. */
const noCertificate = {} as DetailedPeerCertificate;

const judge = (tls: TLSSocket, options: CredentialOptions): NestError | undefined => {
  // A resumed session shows no certificate: it was kept under this very identity after its certificate was judged.
  if (tls.isSessionReused()) return undefined;
  const certificate = tls.getPeerX509Certificate();
  if (certificate !== undefined) return options.judge(certificate);
  return new NestError('CERTIFICATE_MISSING', 'The host showed no certificate. Check that an agent listens at this address and port.');
};

const closedEarly = (): NestError =>
  new NestError(
    'HOST_UNREACHABLE',
    'The host closed the connection before it was secure. Check that an agent listens at this address and port.',
  );

/** No answer, or not any more. */
export const unreachable = (cause: unknown): NestError =>
  new NestError(
    'HOST_UNREACHABLE',
    'The host does not answer. Check that it is up, that its agent runs and that nothing blocks the port.',
    {
      cause,
    },
  );

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
