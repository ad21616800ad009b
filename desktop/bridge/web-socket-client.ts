/** The client's side of a WebSocket, over any object with the shape of the browser's WebSocket. */
import { NestError } from '../../proto/model/error.ts';
import { Inbox } from './transport.ts';
import type { Transport } from './transport.ts';

/** The part of the browser's WebSocket that is used. */
export interface WebSocketLike {
  readonly readyState: number;
  send(text: string): void;
  close(code?: number, reason?: string): void;
  addEventListener(type: 'open' | 'close' | 'error', listener: () => void): void;
  addEventListener(type: 'message', listener: (event: { readonly data: unknown }) => void): void;
}

const openState = 1;

/**
 * Waits until the socket is open and wraps it. Raises BRIDGE_REFUSED when it closes before that, CANCELLED on abort (the
 * socket is closed then).
 */
export const openWebSocketTransport = (socket: WebSocketLike, signal: AbortSignal): Promise<Transport> =>
  new Promise((resolve, reject) => {
    const inbox = new Inbox();
    const abort = (): void => {
      socket.close();
      reject(new NestError('CANCELLED', 'The call was cancelled.'));
    };
    if (signal.aborted) {
      abort();
      return;
    }
    signal.addEventListener('abort', abort, { once: true });
    socket.addEventListener('message', ({ data }) => {
      if (typeof data !== 'string' || !inbox.deliver(data)) socket.close();
    });
    socket.addEventListener('open', () => {
      signal.removeEventListener('abort', abort);
      resolve(wrap(socket, inbox));
    });
    // An error is always followed by a close.
    socket.addEventListener('error', () => undefined);
    socket.addEventListener('close', () => {
      signal.removeEventListener('abort', abort);
      inbox.end();
      reject(new NestError('BRIDGE_REFUSED', 'The console does not accept the connection. Open the link printed when it was started.'));
    });
  });

const wrap = (socket: WebSocketLike, inbox: Inbox): Transport => ({
  send: (text) => {
    if (socket.readyState === openState) socket.send(text);
  },
  onMessage: (listener) => {
    inbox.onMessage(listener);
  },
  onClose: (listener) => {
    inbox.onClose(listener);
  },
  close: () => {
    socket.close();
  },
});
