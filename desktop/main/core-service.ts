/** The core's side of its process: takes ports from the shell and serves the bridge on each. */
import type { MessagePortMain } from 'electron';
import type { BridgeServer } from '../bridge/server.ts';
import { createPortTransport } from './port-transport.ts';

/** The part of process.parentPort that is used. */
export interface ParentPortLike {
  on(event: 'message', listener: (event: { readonly data: unknown; readonly ports: readonly MessagePortMain[] }) => void): unknown;
}

/** Serves until the shell sends `close`, then calls `onClose`. Unknown messages are ignored. */
export const serveCore = (parentPort: ParentPortLike, server: Pick<BridgeServer, 'accept'>, onClose: () => void): void => {
  parentPort.on('message', ({ data, ports }) => {
    const kind = typeof data === 'object' && data !== null && 'kind' in data ? data.kind : undefined;
    if (kind === 'connect' && ports[0] !== undefined) server.accept(createPortTransport(ports[0]));
    if (kind === 'close') onClose();
  });
};
