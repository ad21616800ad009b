/** Long answers on a connection of their own: on the shared one a slow reader of flows would hold up the statuses. */
import { callStream } from './call.ts';
import type { Method } from './call.ts';
import type { Channel } from './channel.ts';

export interface BulkChannel {
  /** Like `callStream`. The connection is made for the first stream and ends with the last. */
  stream<Request, Response>(
    method: Method<Request, Response>,
    options: { readonly request: Request; readonly signal: AbortSignal },
  ): AsyncGenerator<Response>;
  /** Ends what still runs. Idempotent. */
  close(): void;
}

/** Nothing is connected before it is needed. */
export const createBulkChannel = (open: () => Channel): BulkChannel => {
  let channel: Channel | null = null;
  let streams = 0;
  const leave = (): void => {
    streams -= 1;
    if (streams > 0) return;
    channel?.close();
    channel = null;
  };
  return {
    stream: async function* (method, options) {
      channel ??= open();
      streams += 1;
      try {
        yield* callStream(channel, method, options);
      } finally {
        leave();
      }
    },
    close: () => channel?.close(),
  };
};
