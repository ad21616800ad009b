/** A process that carries TCP between two ends and holds everything back for a while, as a long path would. */
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { serveCalls } from './process-calls.ts';

/** Bytes under way in one direction; more wait at the sender: the path is long, not endless. */
const underWayMax = 64 << 20;

/** Passes on what `from` sends, `delayMs` later and in order. */
const carry = (from: Socket, to: Socket, delayMs: number): void => {
  let underWay = 0;
  const queue: { readonly chunk: Buffer | null; readonly dueMs: number }[] = [];
  const deliver = (): void => {
    for (let next = queue[0]; next !== undefined && next.dueMs <= performance.now(); next = queue[0]) {
      queue.shift();
      if (next.chunk === null) {
        to.end();
        continue;
      }
      underWay -= next.chunk.length;
      to.write(next.chunk);
      if (from.isPaused() && underWay < underWayMax / 2) from.resume();
    }
    const [first] = queue;
    if (first !== undefined) setTimeout(deliver, Math.max(1, first.dueMs - performance.now()));
  };
  const push = (chunk: Buffer | null): void => {
    queue.push({ chunk, dueMs: performance.now() + delayMs });
    if (queue.length === 1) setTimeout(deliver, delayMs);
  };
  from.on('data', (chunk: Buffer) => {
    underWay += chunk.length;
    push(chunk);
    if (underWay >= underWayMax) from.pause();
  });
  from.once('end', () => push(null));
  from.on('error', () => to.destroy());
  from.once('close', () => setTimeout(() => to.destroy(), delayMs * 2));
};

const listen = ({
  address,
  port,
  delayMs,
}: {
  readonly address: string;
  readonly port: number;
  readonly delayMs: number;
}): Promise<{ readonly port: number }> =>
  new Promise((resolve, reject) => {
    const server = createServer({ noDelay: true }, (near) => {
      const far = connect({ host: address, port, noDelay: true });
      carry(near, far, delayMs);
      carry(far, near, delayMs);
    });
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => resolve({ port: (server.address() as AddressInfo).port }));
  });

serveCalls({ listen });
