/**
 * The page's end of the desktop bridge, made in the preload script's own world: the page gets functions and texts, never
 * a port, an event or anything of Electron.
 */
import { connectChannel, navigateChannel, portChannel } from '../bridge/desktop-channels.ts';
import type { DesktopPort } from '../bridge/desktop-channels.ts';

/** The part of a DOM MessagePort that is used. */
interface PortLike {
  postMessage(text: string): void;
  close(): void;
  start(): void;
  addEventListener(type: 'message', listener: (event: { readonly data: unknown }) => void): void;
  addEventListener(type: 'close', listener: () => void): void;
}

/** The part of ipcRenderer that is used. */
export interface IpcLike {
  invoke(channel: string): Promise<unknown>;
  on(channel: string, listener: (event: { readonly ports: readonly PortLike[] }, value: unknown) => void): unknown;
}

/** Makes `window.nest`. Raises nothing itself; `connect` rejects when the shell refuses. */
export const createDesktopPort = (ipc: IpcLike, platform: string): DesktopPort => {
  let current: { readonly port: PortLike; readonly end: () => void } | undefined;
  let awaiting: ((port: PortLike) => void) | undefined;
  ipc.on(portChannel, ({ ports }) => {
    const [port] = ports;
    if (port === undefined) return;
    if (awaiting === undefined) port.close();
    else awaiting(port);
    awaiting = undefined;
  });
  return {
    platform,
    connect: async (onMessage, onClose) => {
      current?.end();
      const arrived = new Promise<PortLike>((resolve) => {
        awaiting = resolve;
      });
      await ipc.invoke(connectChannel);
      const port = await arrived;
      let isOver = false;
      const end = (): void => {
        if (isOver) return;
        isOver = true;
        port.close();
        onClose();
      };
      port.addEventListener('message', ({ data }) => {
        if (!isOver && typeof data === 'string') onMessage(data);
      });
      port.addEventListener('close', end);
      port.start();
      current = { port, end };
      return {
        send: (text) => {
          if (!isOver && typeof text === 'string') port.postMessage(text);
        },
        close: end,
      };
    },
    onNavigate: (listener) => {
      ipc.on(navigateChannel, (_event, path) => {
        if (typeof path === 'string') listener(path);
      });
    },
  };
};
