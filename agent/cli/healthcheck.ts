import { request } from 'node:http';
import { NestError } from '../../proto/model/error.ts';
import type { AgentConfig } from '../config/schema.ts';
import { exitCodes } from './exit-code.ts';
import type { Terminal } from './terminal.ts';

const answerMs = 3000;
const bodyBytesMax = 64 << 10;

/** Asks /healthz of the running agent; for container and service probes, without curl. Throws HOST_UNREACHABLE when it does not answer. */
export const runHealthcheck = async ({ metrics }: AgentConfig, { stdout }: Terminal): Promise<number> => {
  const { status, body } = await get(reachable(metrics.address), metrics.port, AbortSignal.timeout(answerMs));
  stdout.write(body);
  return status === 200 ? exitCodes.ok : exitCodes.unhealthy;
};

/** A server bound to all addresses is asked on loopback. */
const reachable = (address: string): string => (address === '0.0.0.0' ? '127.0.0.1' : address === '::' ? '::1' : address);

const get = (host: string, port: number, signal: AbortSignal): Promise<{ readonly status: number; readonly body: string }> =>
  new Promise((resolve, reject) => {
    const failed = (cause: unknown): void =>
      reject(
        new NestError(
          'HOST_UNREACHABLE',
          `The agent does not answer on ${host} port ${port}. Start it with "nest-agent run", or correct metrics.port.`,
          { cause },
        ),
      );
    const sent = request({ host, port, path: '/healthz', agent: false, signal }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (text: string) => {
        if (body.length < bodyBytesMax) body += text;
      });
      response.once('end', () => resolve({ status: response.statusCode ?? 0, body }));
      response.once('error', failed);
    });
    sent.once('error', failed);
    sent.end();
  });
