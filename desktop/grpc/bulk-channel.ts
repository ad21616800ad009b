/** Long answers on a connection of their own: on the shared one a slow reader of flows would hold up the statuses. */
import type { Channel } from './channel.ts';
import type { Wire } from './wire.ts';

export interface BulkChannel extends Pick<Wire, 'stream'> {
  /** Ends what still runs. Idempotent. */
  close(): void;
}

/** Nothing is connected before it is needed: the connection is made for the first stream and ends with the last. */
export const createBulkChannel = (open: () => Channel): BulkChannel => {
  let channel: Channel | null = null;
  let streams = 0;
  return {
    stream: (path, request, sink) => {
      channel ??= open();
      streams += 1;
      let isLeft = false;
      const leave = (): void => {
        if (isLeft) return;
        isLeft = true;
        streams -= 1;
        if (streams > 0) return;
        channel?.close();
        channel = null;
      };
      const stream = channel.stream(path, request, {
        message: (bytes) => sink.message(bytes),
        ended: (error) => {
          leave();
          sink.ended(error);
        },
      });
      return {
        pause: () => stream.pause(),
        resume: () => stream.resume(),
        cancel: () => {
          stream.cancel();
          leave();
        },
      };
    },
    close: () => channel?.close(),
  };
};
