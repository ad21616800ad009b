/** The wire without a client library: TLS with a chosen certificate, HTTP/2 by Node or byte by byte, gRPC framing by hand. */
import { connect as connectHttp2 } from 'node:http2';
import type { ClientHttp2Session } from 'node:http2';
import { connect as connectTls } from 'node:tls';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import type { TcpNetConnectOpts } from 'node:net';
import { ErrorInfo, Status } from '../../proto/gen/google/rpc/status.ts';
import type { Simulator } from '../simulator/simulator.ts';

const frameHeadBytes = 5;
/** Longer than any deadline of these tests. */
const answerMsMax = 20_000;

export interface Verdict {
  /** gRPC status; null when the stream ended without one. */
  readonly status: number | null;
  /** Nest code; empty for success or when there is none. */
  readonly code: string;
  readonly message: string;
}

/** One gRPC frame; `length` may lie about what follows. */
export const frameOf = (message: Uint8Array, options: { readonly length?: number; readonly flags?: number } = {}): Buffer => {
  const head = Buffer.alloc(frameHeadBytes);
  head[0] = options.flags ?? 0;
  head.writeUInt32BE(options.length ?? message.length, 1);
  return Buffer.concat([head, message]);
};

/** A TLS connection to the first agent as its operator, from a loopback address of its own so that nobody's rate is shared. */
export const openTls = ({ agents, keys }: Simulator, localAddress: string): TLSSocket => {
  const [agent] = agents;
  if (agent === undefined) throw new Error('There is no agent.');
  // The address to connect from is passed on to the TCP socket, but not declared.
  const options: ConnectionOptions & Pick<TcpNetConnectOpts, 'localAddress'> = {
    host: agent.address,
    port: agent.port,
    localAddress,
    ca: keys.root.certificate,
    cert: keys.operator.certificate,
    key: keys.operator.privateKey,
    servername: `${agent.agentId.toLowerCase()}.agent.nest.internal`,
    checkServerIdentity: () => undefined,
    ALPNProtocols: ['h2'],
  };
  const socket = connectTls(options);
  socket.on('error', () => socket.destroy());
  return socket;
};

/** The same with HTTP/2 on it. */
export const openSession = (simulator: Simulator, localAddress: string): ClientHttp2Session => {
  const session = connectHttp2('https://agent.nest.internal', { createConnection: () => openTls(simulator, localAddress) });
  session.on('error', () => session.destroy());
  return session;
};

export interface RawCall {
  readonly path: string;
  readonly body: Buffer;
  /** False: the request is never ended. */
  readonly isEnded?: boolean;
  readonly timeout?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Sends bytes as a request and waits for how it ends; a stream that answers is cut after its first answer. */
export const callRaw = (
  session: ClientHttp2Session,
  { path, body, isEnded = true, timeout = '5S', headers = {} }: RawCall,
): Promise<Verdict> =>
  new Promise((resolve) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      'grpc-timeout': timeout,
      ...headers,
    });
    let verdict: Verdict = { status: null, code: '', message: '' };
    let hasAnswered = false;
    const take = (fields: Readonly<Record<string, string | string[] | number | undefined>>): void => {
      const status = fields['grpc-status'];
      if (status === undefined) return;
      const details = fields['grpc-status-details-bin'];
      verdict = {
        status: Number(status),
        code: typeof details === 'string' ? codeOf(details) : '',
        message: decodeURIComponent(String(fields['grpc-message'] ?? '')),
      };
    };
    stream.on('response', take);
    stream.on('trailers', take);
    stream.on('data', () => {
      if (hasAnswered || path.includes('/Watch')) {
        verdict = { status: 0, code: '', message: '' };
        stream.close();
      }
      hasAnswered = true;
    });
    stream.on('error', () => undefined);
    // What the agent has ended is over, also when we are not done.
    stream.on('end', () => stream.close());
    stream.setTimeout(answerMsMax, () => stream.close());
    stream.on('close', () => resolve(verdict));
    if (isEnded) stream.end(body);
    else stream.write(body);
  });

const codeOf = (details: string): string => {
  const [any] = Status.decode(Buffer.from(details, 'base64')).details;
  return any === undefined ? '' : ErrorInfo.decode(any.value).reason;
};
