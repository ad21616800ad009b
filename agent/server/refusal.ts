import { performServerHandshake } from 'node:http2';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../lib/clock.ts';
import { detailsKey, toGrpcStatus } from './grpc-status.ts';

/** Connections that are being told why at the same time; more are just closed. */
const refusalsMax = 32;
/** A refused peer gets this long to ask and to hear the answer, milliseconds. */
const refusalMs = 3000;
const streamsMax = 4;

/**
 * Tells peers without a good certificate why they are refused: an HTTP/2 session that answers every request with the
 * coded status and reaches no service. Without it the operator would see a reset connection and no reason.
 */
export interface Refusal {
  /** Takes ownership of the socket. */
  refuse(socket: TLSSocket, error: unknown): void;
  close(): void;
}

/** A desk with its own bounds; it shares nothing with the gRPC server. */
export const createRefusal = (clock: Clock): Refusal => {
  const active = new Set<TLSSocket>();
  return {
    refuse: (socket, error) => {
      if (active.size >= refusalsMax) {
        socket.destroy();
        return;
      }
      active.add(socket);
      const timer = clock.after(refusalMs, () => socket.destroy());
      socket.once('close', () => {
        timer.cancel();
        active.delete(socket);
      });
      answer(socket, error);
    },
    close: () => {
      for (const socket of active) socket.destroy();
    },
  };
};

const answer = (socket: TLSSocket, error: unknown): void => {
  const status = toGrpcStatus(error);
  const details = status.metadata.get(detailsKey)[0];
  const session = performServerHandshake(socket, { settings: { maxConcurrentStreams: streamsMax } });
  session.on('error', () => socket.destroy());
  session.on('stream', (stream) => {
    stream.on('error', () => stream.destroy());
    stream.respond(
      {
        ':status': 200,
        'content-type': 'application/grpc+proto',
        'grpc-status': String(status.code),
        'grpc-message': encodeURI(status.details),
        [detailsKey]: Buffer.from(details ?? '').toString('base64'),
      },
      { endStream: true },
    );
    stream.on('close', () => session.close());
  });
};
