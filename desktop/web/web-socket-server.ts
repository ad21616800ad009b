/** The server's side of the bridge's WebSocket: who may connect, and the transport over `ws`. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import type { WebSocket } from 'ws';
import { bridgePath } from '../bridge/api.ts';
import { Inbox } from '../bridge/transport.ts';
import type { Transport } from '../bridge/transport.ts';
import { bridgeLimits } from '../bridge/wire.ts';
import { accessLimits } from './access.ts';
import type { Session } from './access.ts';
import { sessionOf } from './http-handler.ts';
import type { HttpContext } from './http-handler.ts';
import { refusals } from './refusal.ts';
import type { Refusal } from './refusal.ts';

/** What may wait in one socket before it counts as dead, bytes. Stream windows keep a healthy one far below. */
const bufferedBytesMax = 64 << 20;

export interface BridgeSockets {
  /** Takes an upgrade request over: a transport, or a refusal written to the socket. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** Ends connections that did not answer the beat before, and asks the others. Call it about every 20 seconds. */
  beat(): void;
  readonly connectionCount: number;
  closeAll(): void;
}

/** Serves the bridge's WebSocket; each accepted connection is handed to `accept`. */
export const createBridgeSockets = (context: HttpContext, accept: (transport: Transport) => void): BridgeSockets => {
  const server = new WebSocketServer({
    noServer: true,
    maxPayload: bridgeLimits.policyRequestBytesMax,
    perMessageDeflate: false,
    clientTracking: false,
  });
  const connections = new Map<WebSocket, { isAlive: boolean }>();
  return {
    upgrade: (request, socket, head) => {
      socket.on('error', () => {
        socket.destroy();
      });
      const admitted = admit(context, request);
      if ('status' in admitted) {
        refuse(socket, admitted);
        return;
      }
      server.handleUpgrade(request, socket, head, (webSocket) => {
        const state = { isAlive: true };
        connections.set(webSocket, state);
        admitted.connections += 1;
        webSocket.on('pong', () => {
          state.isAlive = true;
        });
        webSocket.on('close', () => {
          connections.delete(webSocket);
          admitted.connections -= 1;
        });
        accept(socketTransport(webSocket));
      });
    },
    beat: () => {
      for (const [webSocket, state] of connections) {
        if (!state.isAlive) webSocket.terminate();
        state.isAlive = false;
        webSocket.ping();
      }
    },
    get connectionCount() {
      return connections.size;
    },
    closeAll: () => {
      for (const webSocket of connections.keys()) webSocket.terminate();
    },
  };
};

const admit = (context: HttpContext, request: IncomingMessage): Session | Refusal => {
  const host = request.headers.host ?? '';
  if (!context.hosts().has(host)) return refusals.host;
  if (request.headers.origin !== `http://${host}`) return refusals.origin;
  if (request.url !== bridgePath) return refusals.missing;
  const session = sessionOf(context, request);
  if (session === undefined) return refusals.session;
  return session.connections >= accessLimits.connectionsPerSessionMax ? refusals.connections : session;
};

const reasons: Readonly<Record<number, string>> = {
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  421: 'Misdirected Request',
  429: 'Too Many Requests',
};

const refuse = (socket: Duplex, { status, code, message }: Refusal): void => {
  const body = `${code}: ${message}\n`;
  const lines = [
    `HTTP/1.1 ${status} ${reasons[status] ?? 'Refused'}`,
    'Connection: close',
    'Content-Type: text/plain; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    `Nest-Error: ${code}`,
  ];
  socket.end(`${lines.join('\r\n')}\r\n\r\n${body}`);
};

const socketTransport = (webSocket: WebSocket): Transport => {
  const inbox = new Inbox();
  webSocket.on('message', (data, isBinary) => {
    // With the default binaryType a message is one Buffer.
    if (isBinary || !inbox.deliver((data as Buffer).toString('utf8'))) webSocket.close(1003);
  });
  // `ws` closes the connection itself after an error (a frame too large: 1009).
  webSocket.on('error', () => undefined);
  webSocket.on('close', () => {
    inbox.end();
  });
  return {
    send: (text) => {
      if (webSocket.readyState !== webSocket.OPEN) return;
      if (webSocket.bufferedAmount > bufferedBytesMax) webSocket.terminate();
      else webSocket.send(text);
    },
    onMessage: (listener) => {
      inbox.onMessage(listener);
    },
    onClose: (listener) => {
      inbox.onClose(listener);
    },
    close: () => {
      webSocket.close(1000);
    },
  };
};
