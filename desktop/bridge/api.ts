/**
 * The bridge: one contract (contract.ts, model.ts) between every face and the console core, carried as JSON frames over
 * in-memory pairs, WebSocket or a message port. The renderer connects with `connectConsole`; the hosts of the core (web,
 * desktop main, cli) use `createBridgeServer` of server.ts. Environment neutral: sockets, time and chance are passed in.
 * It never decides anything about hosts or policy, never stores, and never lets an input reach the core unchecked.
 */
import { createBridgeClient } from './client.ts';
import type { BridgeConnection } from './client.ts';
import { openDesktopTransport } from './desktop-port.ts';
import type { DesktopPort } from './desktop-channels.ts';
import type { BridgeClock } from './transport.ts';
import { openWebSocketTransport } from './web-socket-client.ts';
import type { WebSocketLike } from './web-socket-client.ts';

/** Path of the WebSocket on the web host. */
export const bridgePath = '/bridge';

/** What the page brings. */
export interface PageEnvironment {
  /** `window.nest`: there in the desktop application, undefined in a browser. */
  readonly desktop: DesktopPort | undefined;
  /** `location.host` of the page. */
  readonly host: string;
  /** `(url) => new WebSocket(url)` */
  readonly openWebSocket: (url: string) => WebSocketLike;
  readonly clock: BridgeClock;
}

/** Connects a page to its console core, by the desktop application's port or by the web host's WebSocket. */
export const connectConsole = ({ desktop, host, openWebSocket, clock }: PageEnvironment): BridgeConnection =>
  createBridgeClient({
    clock,
    connect: (signal) =>
      desktop === undefined ? openWebSocketTransport(openWebSocket(`ws://${host}${bridgePath}`), signal) : openDesktopTransport(desktop),
  });
