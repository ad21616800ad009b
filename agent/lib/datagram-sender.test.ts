import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { setImmediate } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { createDatagramSender, queueMax, resolveMs, retryMs } from './datagram-sender.ts';
import type { DatagramSender, DatagramSenderOptions } from './datagram-sender.ts';
import { createManualClock } from './manual-clock.ts';

const open: (Socket | DatagramSender)[] = [];
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});

const receiver = async (): Promise<{ readonly port: number; readonly received: string[]; readonly socket: Socket }> => {
  const socket = createSocket({ type: 'udp4', recvBufferSize: 4 << 20 });
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  const received: string[] = [];
  socket.on('message', (message) => received.push(message.toString()));
  open.push(socket);
  return { port: socket.address().port, received, socket };
};

const sender = (options: Partial<DatagramSenderOptions> & { readonly port: number }) => {
  const clock = createManualClock();
  const made = createDatagramSender({ host: '127.0.0.1', clock, ...options });
  open.push(made);
  return { clock, made };
};

/** Lets sockets and promises work until it holds; the clock moves on with each turn. */
const until = async (clock: { advance(milliseconds: number): void }, holds: () => boolean): Promise<void> => {
  for (let turn = 0; turn < 20_000 && !holds(); turn++) {
    clock.advance(1);
    await setImmediate();
  }
  expect(holds()).toBe(true);
};

describe('a datagram sender', () => {
  it('sends in order, through a queue that holds what comes before the address is known', async () => {
    const { port, received } = await receiver();
    const { clock, made } = sender({ port });
    for (let count = 0; count < 600; count++) expect(made.send(Buffer.from(String(count)))).toBe(true);
    expect(made.queued).toBe(600);
    await until(clock, () => received.length === 600);
    expect(received).toEqual(Array.from({ length: 600 }, (_, count) => String(count)));
    expect(made).toMatchObject({ sent: 600, queued: 0, isResolved: true });
  });

  it('drops what does not fit and says why, and asks for the name again', async () => {
    const { port, received } = await receiver();
    const asked: string[] = [];
    let isKnown = false;
    const resolve = async (host: string) => {
      asked.push(host);
      if (!isKnown) throw new Error('ENOTFOUND');
      return { address: '127.0.0.1', family: 4 };
    };
    const { clock, made } = sender({ port, host: 'logs.example.net', resolve });
    for (let count = 0; count < queueMax + 5; count++) made.send(Buffer.from('x'));
    expect(made).toMatchObject({
      queued: queueMax,
      hasRoom: false,
      isCongested: false,
      isResolved: false,
      dropped: { unresolved: 5, queue_full: 0 },
    });
    await setImmediate();
    isKnown = true;
    clock.advance(retryMs);
    await until(clock, () => made.isResolved);
    expect(asked).toEqual(['logs.example.net', 'logs.example.net']);
    for (let count = 0; count < 8; count++) made.send(Buffer.from('x'));
    expect(made.dropped.queue_full).toBeGreaterThan(0);
    await until(clock, () => made.queued === 0 && received.length > 0);
    expect(made.isCongested).toBe(false);
  });

  it('moves to the new address of a name, and says that what it sent may be lost', async () => {
    const { port, received } = await receiver();
    const other = createSocket('udp4');
    open.push(other);
    await new Promise<void>((resolve) => other.bind(port, '127.0.0.2', resolve));
    const moved: string[] = [];
    other.on('message', (message) => moved.push(message.toString()));
    let address = '127.0.0.1';
    let disruptions = 0;
    const { clock, made } = sender({ port, resolve: async () => ({ address, family: 4 }), onDisrupted: () => void disruptions++ });
    made.send(Buffer.from('first'));
    await until(clock, () => received.length === 1);
    expect(disruptions).toBe(1);
    address = '127.0.0.2';
    clock.advance(resolveMs);
    await until(clock, () => disruptions === 2);
    made.send(Buffer.from('second'));
    await until(clock, () => moved.length === 1);
    expect([received, moved]).toEqual([['first'], ['second']]);
  });

  it('counts as lost what nobody takes, and goes on when somebody does', async () => {
    const { port, socket } = await receiver();
    open.splice(open.indexOf(socket), 1);
    await new Promise<void>((resolve) => socket.close(() => resolve()));
    let disruptions = 0;
    const { clock, made } = sender({ port, onDisrupted: () => void disruptions++ });
    await until(clock, () => made.isResolved);
    await until(clock, () => {
      if (made.queued === 0) made.send(Buffer.from('lost'));
      return made.dropped.send_failed > 0;
    });
    expect(disruptions).toBeGreaterThan(1);
    const back = createSocket('udp4');
    open.push(back);
    await new Promise<void>((resolve) => back.bind(port, '127.0.0.1', resolve));
    let arrived = 0;
    back.on('message', () => void arrived++);
    await until(clock, () => {
      if (made.queued === 0) made.send(Buffer.from('again'));
      return arrived > 0;
    });
  });

  it('sends what waits when it closes, once, and nothing after', async () => {
    const { port, received } = await receiver();
    const { clock, made } = sender({ port });
    await until(clock, () => made.isResolved);
    for (let count = 0; count < 1000; count++) made.send(Buffer.from('last'));
    await Promise.all([made.close(), made.close()]);
    expect(made.send(Buffer.from('late'))).toBe(false);
    expect(made).toMatchObject({ sent: 1000, queued: 0, dropped: { closed: 1 } });
    await until(clock, () => received.length === 1000);
    expect(received).not.toContain('late');
  });

  it('closes at once without an address, and counts what it never could send', async () => {
    const { made } = sender({ port: 9, resolve: async () => await Promise.reject(new Error('ENOTFOUND')) });
    made.send(Buffer.from('x'));
    await made.close();
    expect(made).toMatchObject({ queued: 0, dropped: { unresolved: 1 } });
  });
});
