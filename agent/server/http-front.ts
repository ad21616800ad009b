import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { NestError } from '../../proto/model/error.ts';
import type { Logger } from '../lib/log.ts';
import type { HealthReport } from './health.ts';
import type { Metrics } from './metrics.ts';

/** Probes and scrapers are few; more is somebody else, connections. */
const connectionsMax = 64;
const requestMs = 5000;
const headerBytesMax = 8 << 10;
const methods = new Set(['GET', 'HEAD']);

export interface HttpFrontOptions {
  readonly address: string;
  readonly port: number;
  readonly metrics: Metrics;
  readonly health: () => HealthReport;
  /** Further fields of /healthz, without secrets: version, mode, revision. */
  readonly facts: () => Readonly<Record<string, unknown>>;
  readonly monotonicMs: () => number;
  readonly logger: Logger;
}

export interface HttpFront {
  readonly port: number;
  close(): Promise<void>;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/** /healthz and /metrics, and nothing else, without TLS: what they tell is not secret but belongs on a management network. Throws STATE_FAILED when the port is taken. */
export const createHttpFront = async (options: HttpFrontOptions): Promise<HttpFront> => {
  const server = createServer(
    { requestTimeout: requestMs, headersTimeout: requestMs, maxHeaderSize: headerBytesMax, keepAliveTimeout: requestMs },
    (request, response) => {
      const startedMs = options.monotonicMs();
      const endpoint = endpointOf(request);
      answer(request, endpoint, options).then(
        (sent) => {
          send(request, response, sent);
          const method = methods.has(request.method ?? '') ? (request.method ?? '') : 'other';
          options.metrics.observeRequest({ method, endpoint, durationMs: options.monotonicMs() - startedMs });
        },
        (error: unknown) => {
          options.logger.error('http answer failed', { endpoint, error });
          send(request, response, {
            status: 500,
            type: 'text/plain; charset=utf-8',
            body: 'The answer could not be made. Look into the log of the agent.\n',
          });
        },
      );
    },
  );
  server.maxConnections = connectionsMax;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        new NestError(
          'STATE_FAILED',
          `The agent cannot serve metrics on ${options.address} port ${options.port} (${error.code ?? 'unknown'}). Free the port or set metrics.port, then start again.`,
          { cause: error },
        ),
      ),
    );
    server.listen({ host: options.address, port: options.port }, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
};

/** Bounded set of names, so that strangers cannot grow the metrics. */
const endpointOf = (request: IncomingMessage): '/healthz' | '/metrics' | 'other' => {
  const path = (request.url ?? '').split('?', 1)[0];
  return path === '/healthz' || path === '/metrics' ? path : 'other';
};

const answer = async (request: IncomingMessage, endpoint: ReturnType<typeof endpointOf>, options: HttpFrontOptions): Promise<Answer> => {
  if (endpoint === 'other') return { status: 404, type: 'text/plain; charset=utf-8', body: 'Here are only /healthz and /metrics.\n' };
  if (!methods.has(request.method ?? '')) return { status: 405, type: 'text/plain; charset=utf-8', body: 'Use GET.\n' };
  if (endpoint === '/metrics') return { status: 200, type: options.metrics.contentType, body: await options.metrics.expose() };
  const { reasons } = options.health();
  const body = { status: reasons.length === 0 ? 'ok' : 'failing', ...(reasons.length === 0 ? {} : { reasons }), ...options.facts() };
  return { status: reasons.length === 0 ? 200 : 503, type: 'application/json; charset=utf-8', body: `${JSON.stringify(body)}\n` };
};

const send = (request: IncomingMessage, response: ServerResponse, { status, type, body }: Answer): void => {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  });
  response.end(request.method === 'HEAD' ? undefined : body);
};
