import { execFile } from 'node:child_process';
import { request } from 'node:http';
import { connect, isIPv6 } from 'node:net';

/** What is asked of a backend. */
export interface ProbeTarget {
  readonly kind: 'tcp' | 'http' | 'icmp';
  readonly address: string;
  /** Not used by icmp. */
  readonly port: number;
  /** Of http: begins with "/". */
  readonly path: string;
  /** Milliseconds until the answer counts as missing. */
  readonly timeoutMs: number;
}

export interface ProbeAnswer {
  readonly isHealthy: boolean;
  /** One sentence for the operator: what was answered, or what was missing. */
  readonly detail: string;
}

/** Asks once. Never raises: a failure is an answer. */
export type Probe = (target: ProbeTarget, signal: AbortSignal) => Promise<ProbeAnswer>;

/** tcp: the connection is accepted. http: the status is 200 to 399. icmp: the echo is answered. */
export const probeBackend: Probe = async (target, signal) => {
  const until = AbortSignal.any([signal, AbortSignal.timeout(target.timeoutMs)]);
  try {
    if (target.kind === 'tcp') return await probeTcp(target, until);
    if (target.kind === 'http') return await probeHttp(target, until);
    return await probeIcmp(target, until);
  } catch (error) {
    return { isHealthy: false, detail: until.aborted ? `No answer within ${String(target.timeoutMs)} ms.` : sentenceOf(error) };
  }
};

const probeTcp = async ({ address, port }: ProbeTarget, signal: AbortSignal): Promise<ProbeAnswer> => {
  const { promise, resolve, reject } = Promise.withResolvers<ProbeAnswer>();
  const socket = connect({ host: address, port, signal });
  socket.once('connect', () => resolve({ isHealthy: true, detail: 'The connection was accepted.' }));
  socket.once('error', reject);
  try {
    return await promise;
  } finally {
    // A reset leaves nothing behind on either side, where a FIN would leave one more socket a check in TIME_WAIT.
    socket.resetAndDestroy();
  }
};

const probeHttp = async ({ address, port, path }: ProbeTarget, signal: AbortSignal): Promise<ProbeAnswer> => {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const host = isIPv6(address) ? `[${address}]` : address;
  const call = request(`http://${host}:${String(port)}${path}`, { method: 'GET', agent: false, signal, headers: { connection: 'close' } });
  call.once('response', (response) => {
    // The status says enough; a backend that sends without end is not read.
    response.destroy();
    resolve(response.statusCode ?? 0);
  });
  call.once('error', reject);
  call.end();
  const status = await promise;
  return { isHealthy: status >= 200 && status < 400, detail: `HTTP status ${String(status)}.` };
};

/** Raw sockets are not for Node: the system's ping asks. */
const probeIcmp = async ({ address, timeoutMs }: ProbeTarget, signal: AbortSignal): Promise<ProbeAnswer> => {
  const { promise, resolve } = Promise.withResolvers<ProbeAnswer>();
  const seconds = String(Math.max(1, Math.ceil(timeoutMs / 1000)));
  execFile('ping', ['-n', '-q', '-c', '1', '-W', seconds, address], { signal, timeout: timeoutMs }, (error) => {
    if (error === null) resolve({ isHealthy: true, detail: 'The echo was answered.' });
    else if (error.code === 'ENOENT')
      resolve({ isHealthy: false, detail: 'There is no ping on this host: install iputils-ping, or check by tcp.' });
    else resolve({ isHealthy: false, detail: `No answer to the echo within ${String(timeoutMs)} ms.` });
  });
  return await promise;
};

const causes: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'The connection was refused: nothing listens there.',
  ECONNRESET: 'The connection was reset.',
  EHOSTUNREACH: 'There is no way to the address.',
  ENETUNREACH: 'There is no way to the network of the address.',
  ETIMEDOUT: 'The connection timed out.',
  EADDRNOTAVAIL: 'This host has no free port towards the address.',
};

const sentenceOf = (error: unknown): string => {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return causes[code] ?? `The check failed${code === '' ? '' : ` with ${code}`}.`;
};
