/** Servers for tests of the client: the gRPC library's own, and one that answers whatever a test says. TLS is real. */
import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { UntypedServiceImplementation } from '@grpc/grpc-js';
import { X509Certificate, webcrypto } from 'node:crypto';
import { createSecureServer } from 'node:http2';
import type { ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
// Decorator metadata is what the X.509 library describes its ASN.1 with; it must be loaded before it.
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import type { CredentialOptions } from './agent-tls.ts';
import { createOperatorIdentity } from './operator-identity.ts';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

export interface TlsPair {
  readonly cert: string;
  readonly key: string;
}

/** A certificate that signs itself. */
export const makeTlsPair = async (): Promise<TlsPair> => {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=peer',
    keys,
    signingAlgorithm: algorithm,
    notAfter: new Date(Date.now() + 3_600_000),
  });
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  return { cert: certificate.toString('pem'), key: `-----BEGIN PRIVATE KEY-----\n${pkcs8}\n-----END PRIVATE KEY-----\n` };
};

/** Credentials that take any peer: these tests are about calls. */
export const anyPeer = ({ cert, key }: TlsPair): CredentialOptions => ({
  operator: createOperatorIdentity({ fleetRoot: cert, certificate: cert, privateKey: key }),
  serverName: 'peer.agent.nest.internal',
  sessionKey: null,
  isChainVerified: false,
  judge: (certificate) => {
    if (!(certificate instanceof X509Certificate)) throw new Error('a peer shows a certificate');
    return undefined;
  },
});

const raw = (bytes: Buffer): Buffer => bytes;
const method = (name: string, responseStream: boolean) => ({
  path: `/test.Peer/${name}`,
  requestStream: false,
  responseStream,
  requestSerialize: raw,
  requestDeserialize: raw,
  responseSerialize: raw,
  responseDeserialize: raw,
});

/** /test.Peer/Ask and /test.Peer/Watch by the gRPC library; the caller shuts the server down. */
export const startLibraryPeer = async (
  pair: TlsPair,
  handlers: UntypedServiceImplementation,
): Promise<{ server: Server; port: number }> => {
  const server = new Server({ 'grpc.max_send_message_length': -1, 'grpc.max_receive_message_length': -1 });
  server.addService({ Ask: method('Ask', false), Watch: method('Watch', true) }, handlers);
  const credentials = ServerCredentials.createSsl(null, [{ cert_chain: Buffer.from(pair.cert), private_key: Buffer.from(pair.key) }]);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', credentials, (error, bound) => (error === null ? resolve(bound) : reject(error)));
  });
  return { server, port };
};

export interface RawPeer {
  readonly port: number;
  readonly sessions: readonly ServerHttp2Session[];
  close(): Promise<void>;
}

/** Every request goes to `answer`. */
export const startRawPeer = async (pair: TlsPair, answer: (stream: ServerHttp2Stream) => void): Promise<RawPeer> => {
  const sessions: ServerHttp2Session[] = [];
  const server = createSecureServer(pair);
  server.on('session', (session) => sessions.push(session));
  server.on('sessionError', () => undefined);
  server.on('stream', (stream) => {
    stream.on('error', () => undefined);
    answer(stream);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    sessions,
    close: async () => {
      for (const session of sessions) session.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
};
