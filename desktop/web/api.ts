/**
 * The loopback web host: serves the renderer and the bridge to browsers of this machine, and to nobody else. It binds
 * 127.0.0.1, lets a browser in by a one-time link, and hands conversations to the bridge server it is given. Only
 * web/main.ts and tests use it; it never knows what a method means.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { NestError } from '../../proto/model/error.ts';
import type { BridgeServer } from '../bridge/server.ts';
import { createTaskGroup } from '../lib/api.ts';
import type { Clock, RandomBytes } from '../lib/api.ts';
import { Access } from './access.ts';
import { handleRequest } from './http-handler.ts';
import type { HttpContext } from './http-handler.ts';
import type { PageFolder } from '../lib/page-folder.ts';
import { createBridgeSockets } from './web-socket-server.ts';

export interface WebHostOptions {
  readonly bridge: BridgeServer;
  readonly pages: PageFolder;
  /** 0 = any free port. */
  readonly port: number;
  readonly clock: Clock;
  readonly randomBytes: RandomBytes;
  /** What a handler of this host threw: a bug, to be logged. */
  readonly onFault: (error: unknown) => void;
}

export interface WebHost {
  readonly port: number;
  /** A link that lets one browser in, once. */
  newLink(): string;
  readonly connectionCount: number;
  /** Ends all connections and frees the port. Idempotent. */
  close(): Promise<void>;
}

const beatMs = 20_000;
const socketsMax = 256;

/** Starts to listen. Raises STATE_FAILED when the port cannot be had. */
export const startWebHost = async (options: WebHostOptions): Promise<WebHost> => {
  const { clock, randomBytes, bridge } = options;
  const access = new Access({ now: () => clock.monotonicMs(), randomBytes });
  let port = 0;
  const context: HttpContext = {
    access,
    pages: options.pages,
    hosts: () => new Set([`127.0.0.1:${port}`, `localhost:${port}`]),
    newNonce: () => Buffer.from(randomBytes(18)).toString('base64url'),
    // Cookies do not tell ports apart: two consoles on one machine need two names.
    cookieName: () => `nest-session-${port}`,
  };
  const sockets = createBridgeSockets(context, (transport) => {
    bridge.accept(transport);
  });
  const server = createServer(
    { maxHeaderSize: 16 << 10, headersTimeout: 10_000, requestTimeout: 20_000, keepAliveTimeout: 5_000 },
    (request, response) => {
      handleRequest(context, request, response).catch((error: unknown) => {
        options.onFault(error);
        response.destroy();
      });
    },
  );
  server.maxConnections = socketsMax;
  server.on('upgrade', (request, socket, head) => {
    sockets.upgrade(request, socket, head);
  });
  port = await listen(server, options.port);
  const tasks = createTaskGroup((_name, error) => {
    options.onFault(error);
  });
  tasks.start('web socket beat', async (signal) => {
    for (;;) {
      await clock.sleep(beatMs, signal);
      sockets.beat();
    }
  });
  return {
    port,
    newLink: () => `http://127.0.0.1:${port}/?token=${access.issueToken()}`,
    get connectionCount() {
      return sockets.connectionCount;
    },
    close: async () => {
      await tasks.close();
      const closed = new Promise<void>((resolve) => {
        server.close(() => {
          resolve();
        });
      });
      sockets.closeAll();
      server.closeAllConnections();
      await closed;
    },
  };
};

const listen = (server: ReturnType<typeof createServer>, port: number): Promise<number> =>
  new Promise((resolve, reject) => {
    server.once('error', (cause) => {
      reject(
        new NestError('STATE_FAILED', `The console cannot listen on port ${port} of 127.0.0.1. Choose another with --port, or 0 for any.`, {
          cause,
        }),
      );
    });
    server.listen({ host: '127.0.0.1', port, exclusive: true }, () => {
      // A listening TCP server always has an address of this shape.
      resolve((server.address() as AddressInfo).port);
    });
  });
