/** The page's transport over `window.nest`. */
import { NestError } from '../../proto/model/error.ts';
import type { DesktopLink, DesktopPort } from './desktop-channels.ts';
import { Inbox } from './transport.ts';
import type { Transport } from './transport.ts';

/** Raises BRIDGE_REFUSED when the shell does not give the page a link. */
export const openDesktopTransport = async (port: DesktopPort): Promise<Transport> => {
  const inbox = new Inbox();
  let link: DesktopLink | undefined;
  try {
    link = await port.connect(
      (text) => {
        if (!inbox.deliver(text)) link?.close();
      },
      () => {
        inbox.end();
      },
    );
  } catch (cause) {
    throw new NestError('BRIDGE_REFUSED', 'The application does not let this page reach its core. Restart Nest.', { cause });
  }
  const open = link;
  return {
    send: (text) => {
      if (!inbox.isClosed) open.send(text);
    },
    onMessage: (listener) => {
      inbox.onMessage(listener);
    },
    onClose: (listener) => {
      inbox.onClose(listener);
    },
    close: () => {
      open.close();
      inbox.end();
    },
  };
};
