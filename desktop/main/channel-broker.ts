/** Connects a page with the core: the page asks, the asker is checked, both get one end of a new channel. */
import type { IpcMain, IpcMainInvokeEvent, MessageChannelMain, MessagePortMain } from 'electron';
import { NestError } from '../../proto/model/error.ts';
import { connectChannel, portChannel } from '../bridge/desktop-channels.ts';
import { isPageUrl } from './page-scheme.ts';

export interface ChannelBrokerOptions {
  readonly ipcMain: Pick<IpcMain, 'handle'>;
  readonly createChannel: () => Pick<MessageChannelMain, 'port1' | 'port2'>;
  /** Ids of the web contents of our windows. */
  readonly windowIds: () => ReadonlySet<number>;
  /** Takes the core's end. */
  readonly connectCore: (port: MessagePortMain) => void;
}

/** True only for the main frame of one of our windows that shows our page. */
const isTrustedSender = (event: Pick<IpcMainInvokeEvent, 'sender' | 'senderFrame'>, windowIds: ReadonlySet<number>): boolean => {
  const frame = event.senderFrame;
  // null: the frame is gone since it asked.
  return frame !== null && frame === event.sender.mainFrame && windowIds.has(event.sender.id) && isPageUrl(frame.url);
};

/** Serves requests for a channel. A stranger gets BRIDGE_REFUSED and nothing else. */
export const serveChannels = ({ ipcMain, createChannel, windowIds, connectCore }: ChannelBrokerOptions): void => {
  ipcMain.handle(connectChannel, (event) => {
    if (!isTrustedSender(event, windowIds())) throw new NestError('BRIDGE_REFUSED', 'Only the window of Nest may reach its core.');
    const { port1, port2 } = createChannel();
    connectCore(port1);
    event.senderFrame?.postMessage(portChannel, null, [port2]);
  });
};
