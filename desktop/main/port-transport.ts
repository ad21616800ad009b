/** A bridge transport over the message port that Electron hands to the core's process. */
import type { MessagePortMain } from 'electron';
import { Inbox } from '../bridge/transport.ts';
import type { Transport } from '../bridge/transport.ts';

/** Starts the port and wraps it. Anything but a text ends the conversation. */
export const createPortTransport = (port: Pick<MessagePortMain, 'on' | 'start' | 'postMessage' | 'close'>): Transport => {
  const inbox = new Inbox();
  port.on('message', ({ data }: { readonly data: unknown }) => {
    if (typeof data !== 'string' || !inbox.deliver(data)) port.close();
  });
  port.on('close', () => {
    inbox.end();
  });
  port.start();
  return {
    send: (text) => {
      if (!inbox.isClosed) port.postMessage(text);
    },
    onMessage: (listener) => {
      inbox.onMessage(listener);
    },
    onClose: (listener) => {
      inbox.onClose(listener);
    },
    close: () => {
      port.close();
      inbox.end();
    },
  };
};
