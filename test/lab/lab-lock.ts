/**
 * One lab at a time on a machine. The lock is a socket in the kernel's abstract name space: it belongs to this process,
 * is not inherited by children and disappears with the process, however that ends.
 */
import { createConnection, createServer } from 'node:net';

const lockName = '\0nest-lab';

const holderOf = (): Promise<string> => {
  const { promise, resolve } = Promise.withResolvers<string>();
  const socket = createConnection({ path: lockName });
  let text = '';
  socket.setTimeout(1000, () => socket.destroy());
  socket.on('data', (chunk) => (text += chunk.toString('utf8')));
  socket.on('error', () => socket.destroy());
  socket.on('close', () => resolve(text === '' ? 'another process' : `process ${text}`));
  return promise;
};

/** Takes the lock or throws with the holder's process number and what to do. */
export const takeLabLock = async (): Promise<AsyncDisposable> => {
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.end(String(process.pid));
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen({ path: lockName }, resolve);
  try {
    await promise;
  } catch (cause) {
    throw new Error(`The lab is in use by ${await holderOf()}. Wait until it ends, or stop it, then try again.`, { cause });
  }
  server.unref();
  return {
    [Symbol.asyncDispose]: () => {
      const closed = Promise.withResolvers<void>();
      server.close(() => closed.resolve());
      return closed.promise;
    },
  };
};
