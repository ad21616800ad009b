/**
 * A process of the host, or a server at the other end, for the tests of local traffic: does what its arguments say and prints one line
 * of JSON. `server <port...>` listens with TCP and UDP until it is ended and answers with the port that was reached.
 */
import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { createServer, connect } from 'node:net';

export interface Answer {
  /** Of the error; absent when there was none. */
  readonly code?: string | undefined;
  /** The ports that answered. */
  readonly answers?: readonly string[];
  /** Whom the process believes to talk to. */
  readonly remotes?: readonly string[];
}

const waitMs = 3000;

const say = (answer: Answer): void => {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
};

const codeOf = (error: unknown): string => (error instanceof Error && 'code' in error ? String(error.code) : String(error));

const serve = async (ports: readonly number[]): Promise<void> => {
  await Promise.all(
    ports.map(async (port) => {
      const tcp = createServer((socket) => {
        socket.on('error', () => socket.destroy());
        socket.on('data', () => socket.write(String(port)));
      });
      await new Promise<void>((resolve) => tcp.listen({ port, host: '::' }, resolve));
      for (const type of ['udp4', 'udp6'] as const) {
        const udp = createSocket(type === 'udp6' ? { type, ipv6Only: true } : { type });
        udp.on('message', (_, from) => udp.send(String(port), from.port, from.address));
        await new Promise<void>((resolve) => udp.bind(port, () => resolve()));
      }
    }),
  );
  say({});
};

/** One connection, one question, its answer. `isHeld`: says so, and asks once more when a line comes in. */
const askTcp = async (host: string, port: number, isHeld: boolean): Promise<Answer> =>
  await new Promise((resolve) => {
    const answers: string[] = [];
    const socket = connect({ host, port });
    const end = (code?: string): void => {
      const remotes = [`${String(socket.remoteAddress)} ${String(socket.remotePort)}`];
      process.stdin.destroy();
      socket.destroy();
      resolve({ code, answers, remotes });
    };
    socket.on('timeout', () => end('TIMEOUT'));
    socket.setTimeout(waitMs);
    const ask = (): void => {
      socket.setTimeout(waitMs);
      socket.write('?');
    };
    socket.on('error', (error) => end(codeOf(error)));
    socket.on('connect', ask);
    socket.on('data', (data) => {
      answers.push(data.toString());
      if (answers.length > 1 || !isHeld) return end();
      socket.setTimeout(0);
      process.stdin.once('data', ask);
      say({ answers });
    });
  });

/** `count` datagrams one after the other from one socket, each answered. */
const askUdp = async (socket: Socket, send: (done: (error: Error | null) => void) => void, count: number): Promise<Answer> => {
  const answers: string[] = [];
  const remotes: string[] = [];
  try {
    for (let i = 0; i < count; i += 1) {
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => reject(Object.assign(new Error('no answer'), { code: 'TIMEOUT' })), waitMs);
        socket.once('message', (data, from) => {
          clearTimeout(timer);
          answers.push(data.toString());
          remotes.push(`${from.address} ${String(from.port)}`);
          resolve();
        });
        send((error) => {
          if (error === null) return;
          clearTimeout(timer);
          reject(error);
        });
      });
    }
    return { answers, remotes };
  } catch (error) {
    return { code: codeOf(error), answers, remotes };
  } finally {
    socket.close();
  }
};

const main = async ([mode = '', host = '', port = '0', extra = '']: readonly string[]): Promise<void> => {
  const number = Number(port);
  if (mode === 'server') return await serve(process.argv.slice(3).map(Number));
  if (mode === 'tcp') return say(await askTcp(host, number, extra === 'held'));
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  if (mode === 'udp') return say(await askUdp(socket, (done) => socket.send('?', number, host, done), Number(extra)));
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      // Types of Node know no error here; there is one.
      socket.connect(number, host, (error?: Error) => (error === undefined || error === null ? resolve() : reject(error)));
    });
  } catch (error) {
    socket.close();
    return say({ code: codeOf(error) });
  }
  const { address, port: reached } = socket.remoteAddress();
  const answer = await askUdp(socket, (done) => socket.send('?', done), Number(extra));
  return say({ ...answer, remotes: [...(answer.remotes ?? []), `${address} ${String(reached)}`] });
};

await main(process.argv.slice(2));
