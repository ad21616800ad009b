import { chmod, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { NestError, toErrorShape } from '../../proto/model/error.ts';
import type { Logger } from '../lib/log.ts';
import { lineBytesMax, localRequest } from './local-protocol.ts';
import type { LocalReply, LocalRequest } from './local-protocol.ts';

/** Commands at once, and how long one may take to be said, milliseconds. */
const connectionsMax = 8;
const requestMs = 5000;

export interface LocalServer {
  close(): Promise<void>;
}

/**
 * The UNIX socket for commands of this host. Only root (or the agent's own user) reaches it: the state directory is
 * closed to others and the socket itself has mode 0600. Throws STATE_FAILED when another agent runs on this state.
 */
export const createLocalServer = async (
  path: string,
  handle: (request: LocalRequest) => Promise<unknown>,
  logger: Logger,
): Promise<LocalServer> => {
  const server = createServer((socket) => serve(socket, handle, logger));
  server.maxConnections = connectionsMax;
  try {
    await listen(server, path);
  } catch (error) {
    if (errorText(error) !== 'EADDRINUSE') throw cannotListen(path, error);
    if (await isAnswered(path))
      throw new NestError(
        'STATE_FAILED',
        'Another agent runs with this state directory. Stop it first, or give this one its own "stateDir".',
        { cause: error },
      );
    await rm(path, { force: true });
    await listen(server, path).catch((again: unknown) => Promise.reject(cannotListen(path, again)));
  }
  await chmod(path, 0o600);
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
      }),
  };
};

const listen = (server: Server, path: string): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      server.off('error', reject);
      resolve();
    });
  });

const errorText = (error: unknown): string => (error instanceof Error && 'code' in error ? String(error.code) : 'unknown');

const cannotListen = (path: string, cause: unknown): NestError =>
  new NestError(
    'STATE_FAILED',
    `The agent cannot listen on ${path} (${errorText(cause)}). Check the owner of the state directory, then start again.`,
    { cause },
  );

/** A socket file that nobody answers is left from a crash. */
const isAnswered = (path: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });

const serve = (socket: Socket, handle: (request: LocalRequest) => Promise<unknown>, logger: Logger): void => {
  let received = '';
  socket.setEncoding('utf8');
  socket.setTimeout(requestMs, () => socket.destroy());
  socket.on('error', () => socket.destroy());
  socket.on('data', (text: string) => {
    received += text;
    const end = received.indexOf('\n');
    if (end < 0 && received.length <= lineBytesMax) return;
    socket.removeAllListeners('data');
    answer(end < 0 ? null : received.slice(0, end), handle).then(
      (reply) => socket.end(`${JSON.stringify(reply)}\n`),
      (error: unknown) => {
        logger.error('local command failed', { error });
        socket.destroy();
      },
    );
  });
};

const answer = async (line: string | null, handle: (request: LocalRequest) => Promise<unknown>): Promise<LocalReply> => {
  try {
    return { ok: true, answer: await handle(parse(line)) };
  } catch (error) {
    const { code, message } = toErrorShape(error);
    return { ok: false, code, message };
  }
};

const parse = (line: string | null): LocalRequest => {
  const refused = (cause?: unknown): NestError =>
    new NestError('INPUT_INVALID', 'The command is not understood. Use the nest-agent of the same version as the running agent.', {
      cause,
    });
  if (line === null) throw refused();
  let document: unknown;
  try {
    document = JSON.parse(line);
  } catch (error) {
    throw refused(error);
  }
  const request = localRequest.safeParse(document);
  if (!request.success) throw refused(request.error);
  return request.data;
};
