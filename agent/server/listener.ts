import { createServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { NestError } from '../../proto/model/error.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import type { Acceptor } from './acceptor.ts';
import { createSourceRate } from './source-rate.ts';

const handshakesPerSecond = 20;
const sourcesMax = 4096;
/** Raw connections at once, in all stages. */
const connectionsMax = 1024;

export interface ListenerOptions {
  readonly address: string;
  readonly port: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The TCP port. It stays the same while TLS behind it is exchanged, so that no connection attempt is lost in between. */
export interface Listener {
  /** The port really bound. */
  readonly port: number;
  /** From now on connections go to this acceptor. */
  direct(acceptor: Acceptor): void;
  close(): Promise<void>;
}

/** Binds the port. Throws STATE_FAILED with the reason when it cannot. */
export const listen = async (options: ListenerOptions, acceptor: Acceptor): Promise<Listener> => {
  const rate = createSourceRate({ perSecond: handshakesPerSecond, sourcesMax, monotonicMs: () => options.clock.monotonicMs() });
  let current = acceptor;
  const server = createServer({ noDelay: true }, (socket) => {
    const source = socket.remoteAddress ?? '';
    if (rate.take(source)) {
      current.accept(socket);
      return;
    }
    options.logger.debug('connection dropped, too many from this source', { source, perSecond: handshakesPerSecond });
    socket.destroy();
  });
  server.maxConnections = connectionsMax;
  await bind(server, options);
  server.on('error', (error) => options.logger.warn('the gRPC listener had an error', { error }));
  return {
    port: (server.address() as AddressInfo).port,
    direct: (next) => void (current = next),
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
};

const bind = (server: Server, { address, port }: ListenerOptions): Promise<void> =>
  new Promise((resolve, reject) => {
    const refuse = (error: NodeJS.ErrnoException): void =>
      reject(
        new NestError(
          'STATE_FAILED',
          `The agent cannot listen on ${address} port ${port} (${error.code ?? 'unknown'}). Free the port or set another one in the configuration, then start again.`,
          { cause: error },
        ),
      );
    server.once('error', refuse);
    server.listen({ host: address, port }, () => {
      server.off('error', refuse);
      resolve();
    });
  });
