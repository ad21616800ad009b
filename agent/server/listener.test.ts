import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { createManualClock } from '../lib/manual-clock.ts';
import { silentLogger } from '../lib/log.ts';
import type { Acceptor } from './acceptor.ts';
import { listen } from './listener.ts';

describe('listener', () => {
  const counting = (): Acceptor & { readonly count: () => number } => {
    let count = 0;
    return {
      count: () => count,
      accept: (socket) => {
        count++;
        socket.end();
        socket.resume();
      },
      close: async () => undefined,
    };
  };
  const knock = (port: number): Promise<void> =>
    new Promise((resolve) => {
      const socket = connect(port, '127.0.0.1');
      socket.resume();
      socket.on('error', () => undefined);
      socket.once('close', () => resolve());
    });

  it('drops a source that opens more than twenty connections in one moment, before any TLS', async () => {
    const acceptor = counting();
    const listener = await listen({ address: '127.0.0.1', port: 0, clock: createManualClock(), logger: silentLogger }, acceptor);
    await Promise.all(Array.from({ length: 25 }, () => knock(listener.port)));
    await listener.close();
    expect(acceptor.count()).toBe(20);
  });

  it('keeps its port while the acceptor is exchanged', async () => {
    const [first, second] = [counting(), counting()];
    const listener = await listen({ address: '127.0.0.1', port: 0, clock: createManualClock(), logger: silentLogger }, first);
    await knock(listener.port);
    listener.direct(second);
    await knock(listener.port);
    await listener.close();
    expect([first.count(), second.count()]).toEqual([1, 1]);
  });

  it('says which port is taken', async () => {
    const options = { address: '127.0.0.1', clock: createManualClock(), logger: silentLogger };
    const listener = await listen({ ...options, port: 0 }, counting());
    await expect(listen({ ...options, port: listener.port }, counting())).rejects.toMatchObject({
      code: 'STATE_FAILED',
      message: expect.stringContaining(`port ${listener.port} (EADDRINUSE)`) as string,
    });
    await listener.close();
  });
});
