import { describe, expect, it } from 'vitest';
import { createBridgeClient } from './client.ts';
import type { BridgeConnection, BridgeStatus } from './client.ts';
import { createMemoryTransports } from './in-memory.ts';
import type { BridgeClock, Transport } from './transport.ts';
import { parseServerFrame } from './wire.ts';

interface Frame {
  readonly t: string;
  readonly id?: number;
  readonly m?: string;
}

/** Time that stands still until the test says so. */
const createClock = () => {
  let now = 0;
  const timers = new Set<{ readonly at: number; readonly task: () => void }>();
  const pauses: number[] = [];
  const clock: BridgeClock = {
    now: () => now,
    after: (delayMs, task) => {
      const timer = { at: now + delayMs, task };
      timers.add(timer);
      pauses.push(delayMs);
      return () => {
        timers.delete(timer);
      };
    },
    random: () => 0,
  };
  const pass = async (ms: number): Promise<void> => {
    now += ms;
    for (const timer of [...timers].filter(({ at }) => at <= now)) {
      timers.delete(timer);
      timer.task();
    }
    await settle();
  };
  return { clock, pass, pauses, timers };
};

const settle = async (): Promise<void> => {
  await new Promise((resolve) => setImmediate(resolve));
};

/** A server played by hand: one entry a connection. */
const createPeer = () => {
  const connections: { readonly transport: Transport; readonly frames: Frame[]; readonly say: (frame: object) => void }[] = [];
  let isAway = false;
  return {
    connections,
    goAway: () => {
      isAway = true;
    },
    comeBack: () => {
      isAway = false;
    },
    connect: (): Promise<Transport> => {
      if (isAway) return Promise.reject(new Error('refused'));
      const [near, far] = createMemoryTransports();
      const frames: Frame[] = [];
      far.onMessage((text) => frames.push(JSON.parse(text) as Frame));
      connections.push({
        transport: far,
        frames,
        say: (frame) => {
          far.send(JSON.stringify({ v: 1, ...frame }));
        },
      });
      return Promise.resolve(near);
    },
  };
};

const begin = async (attemptsMax?: number) => {
  const time = createClock();
  const peer = createPeer();
  const client = createBridgeClient({ connect: peer.connect, clock: time.clock, ...(attemptsMax === undefined ? {} : { attemptsMax }) });
  const statuses: BridgeStatus[] = [];
  client.onStatus((status) => statuses.push(status));
  await settle();
  return { ...time, peer, client, statuses };
};

const welcome = { t: 'welcome', capabilities: [] };
const codeOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'resolved',
    (error: { code?: string }) => error.code,
  );
const lock = (client: BridgeConnection): Promise<unknown> => client.call('fleet.lock', {});

describe('the bridge client', () => {
  it('says hello first and holds requests back until it is welcome', async () => {
    const { peer, client, statuses } = await begin();
    void codeOf(lock(client));
    await settle();
    expect(peer.connections[0]?.frames).toEqual([{ t: 'hello', v: 1, capabilities: ['streams', 'credits', 'cancel'] }]);
    peer.connections[0]?.say(welcome);
    await settle();
    expect(peer.connections[0]?.frames.map(({ t, m }) => m ?? t)).toEqual(['hello', 'fleet.lock']);
    expect(statuses).toEqual(['open']);
    client.close();
  });

  it('fails calls under way when the connection is lost, and opens streams anew on the next', async () => {
    const { peer, client, statuses, pass } = await begin();
    peer.connections[0]?.say(welcome);
    await settle();
    const call = codeOf(lock(client));
    const reader = client.subscribe('hosts.watch', {})[Symbol.asyncIterator]();
    const first = reader.next();
    await settle();
    peer.connections[0]?.say({ t: 'item', id: 2, seq: 1, d: { at: 1, hosts: [] } });
    expect((await first).value?.at).toBe(1);
    peer.connections[0]?.transport.close();
    await settle();
    expect(await call).toBe('BRIDGE_PROTOCOL');
    const second = reader.next();
    await pass(250);
    peer.connections[1]?.say(welcome);
    await settle();
    expect(peer.connections[1]?.frames.map(({ t, m }) => m ?? t)).toEqual(['hello', 'hosts.watch']);
    peer.connections[1]?.say({ t: 'item', id: peer.connections[1].frames[1]?.id, seq: 1, d: { at: 2, hosts: [] } });
    expect((await second).value?.at).toBe(2);
    expect(statuses).toEqual(['open', 'waiting', 'connecting', 'open']);
    client.close();
  });

  it('does not open a stream anew that was left while there was no connection', async () => {
    const { peer, client, pass } = await begin();
    peer.connections[0]?.say(welcome);
    await settle();
    const reader = client.subscribe('hosts.watch', {})[Symbol.asyncIterator]();
    peer.connections[0]?.transport.close();
    await settle();
    await reader.return?.();
    await pass(250);
    peer.connections[1]?.say(welcome);
    await settle();
    expect(peer.connections[1]?.frames.map(({ t }) => t)).toEqual(['hello']);
    client.close();
  });

  it('pauses longer after each failure up to ten seconds, and gives up after the last attempt', async () => {
    const { peer, client, pauses, pass, statuses } = await begin(9);
    peer.goAway();
    peer.connections[0]?.transport.close();
    await settle();
    const waiting = codeOf(lock(client));
    const pausesSeen = pauses.slice(1);
    for (let attempt = 0; attempt < 8; attempt += 1) await pass(10_000);
    expect(pauses.slice(1)).toEqual([250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
    expect(pausesSeen).toEqual([250]);
    expect(await waiting).toBe('BRIDGE_REFUSED');
    expect([client.status, statuses.at(-1)]).toEqual(['closed', 'closed']);
    expect(await codeOf(lock(client))).toBe('BRIDGE_REFUSED');
  });

  it('counts failures from anew after a good connection', async () => {
    const { peer, client, pass, pauses } = await begin(3);
    for (let round = 0; round < 5; round += 1) {
      peer.connections.at(-1)?.say(welcome);
      await settle();
      expect(client.status).toBe('open');
      peer.connections.at(-1)?.transport.close();
      await settle();
      expect(pauses.at(-1)).toBe(250);
      await pass(250);
    }
    client.close();
  });

  it('closes for good when the server says why it refuses', async () => {
    const { peer, client, timers } = await begin();
    const waiting = codeOf(lock(client));
    peer.connections[0]?.say({ t: 'fatal', e: { code: 'BRIDGE_PROTOCOL', message: 'Reload.', details: {}, correlationId: 'c' } });
    expect(await waiting).toBe('BRIDGE_PROTOCOL');
    expect([client.status, timers.size, peer.connections.length]).toEqual(['closed', 0, 1]);
  });

  it('drops a connection that does not answer hello in ten seconds', async () => {
    const { peer, client, pass } = await begin();
    await pass(10_000);
    expect(client.status).toBe('waiting');
    await pass(250);
    expect(peer.connections).toHaveLength(2);
    client.close();
  });

  it('holds at most 256 calls while there is no connection', async () => {
    const { client } = await begin();
    const calls = Array.from({ length: 257 }, () => codeOf(lock(client)));
    expect(await calls[256]).toBe('LIMIT_REACHED');
    client.close();
    expect(new Set(await Promise.all(calls.slice(0, 256)))).toEqual(new Set(['CANCELLED']));
  });

  it('leaves nothing behind when it is closed in the middle of the handshake', async () => {
    const { peer, client, timers } = await begin();
    let isEnded = false;
    peer.connections[0]?.transport.onClose(() => {
      isEnded = true;
    });
    client.close();
    client.close();
    await settle();
    expect([isEnded, timers.size, client.status]).toEqual([true, 0, 'closed']);
  });

  it('sends no cancel for a call that was never sent, and one for a call under way', async () => {
    const { peer, client } = await begin();
    const early = new AbortController();
    const first = codeOf(client.call('fleet.lock', {}, { signal: early.signal }));
    early.abort();
    expect(await first).toBe('CANCELLED');
    peer.connections[0]?.say(welcome);
    await settle();
    const late = new AbortController();
    const second = codeOf(client.call('fleet.lock', {}, { signal: late.signal }));
    await settle();
    late.abort();
    expect(await second).toBe('CANCELLED');
    await settle();
    expect(peer.connections[0]?.frames.map(({ t }) => t)).toEqual(['hello', 'call', 'cancel']);
    client.close();
  });

  it.each(['', 'x', '[]', '{}', '{"t":"result"}', '{"t":"item","id":1}', '{"t":"error","id":1,"e":{}}'])(
    'takes %j from a server for a broken peer',
    async (text) => {
      expect(parseServerFrame(text).kind).toBe('broken');
      const { peer, client } = await begin();
      peer.connections[0]?.transport.send(text);
      await settle();
      expect(client.status).toBe('closed');
    },
  );

  it('ignores kinds of frames of a later build and answers nobody asked for', async () => {
    const { peer, client } = await begin();
    peer.connections[0]?.say(welcome);
    peer.connections[0]?.say({ t: 'notice', text: 'x' });
    for (const t of ['result', 'end']) peer.connections[0]?.say({ t, id: 77, d: null });
    peer.connections[0]?.say({ t: 'toString' });
    await settle();
    expect(client.status).toBe('open');
    client.close();
  });
});
