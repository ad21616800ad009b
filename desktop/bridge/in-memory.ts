/** Two transports that talk to each other in one process: for faces that live beside the core, and for tests. */
import { Inbox } from './transport.ts';
import type { Transport } from './transport.ts';

/** A connected pair. Texts are delivered in order, never within the `send` that carries them. */
export const createMemoryTransports = (): readonly [Transport, Transport] => {
  const left = new Inbox();
  const right = new Inbox();
  const endBoth = (): void => {
    left.end();
    right.end();
  };
  return [side(left, right, endBoth), side(right, left, endBoth)];
};

const side = (own: Inbox, peer: Inbox, endBoth: () => void): Transport => ({
  send: (text) => {
    if (own.isClosed) return;
    void Promise.resolve().then(() => {
      if (!peer.deliver(text)) endBoth();
    });
  },
  onMessage: (listener) => {
    own.onMessage(listener);
  },
  onClose: (listener) => {
    own.onClose(listener);
  },
  // What was sent before is delivered first, as on a socket.
  close: () => {
    void Promise.resolve().then(endBoth);
  },
});
