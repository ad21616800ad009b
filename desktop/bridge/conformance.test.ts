import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { NestError } from '../../proto/model/error.ts';
import { systemClock } from '../lib/api.ts';
import { serveChannels } from '../main/channel-broker.ts';
import { serveCore } from '../main/core-service.ts';
import type { ParentPortLike } from '../main/core-service.ts';
import { FakeChannel, FakeContents } from '../main/fake-electron.ts';
import type { FakePort } from '../main/fake-electron.ts';
import { createDesktopPort } from '../preload/port.ts';
import type { IpcLike } from '../preload/port.ts';
import { startWebHost } from '../web/api.ts';
import { connectConsole } from './api.ts';
import { createBridgeClient } from './client.ts';
import type { BridgeConnection } from './client.ts';
import type { BridgeHandlers } from './contract.ts';
import { createFakeHandlers, createFakeTraffic, createFakeWatch } from './fake-core.ts';
import { createMemoryTransports } from './in-memory.ts';
import type { ConsoleState, FleetFrame, Settings } from './model.ts';
import { createBridgeServer } from './server.ts';
import type { BridgeFault } from './server-options.ts';
import type { BridgeServer } from './server.ts';
import type { BridgeClock } from './transport.ts';
import { bridgeLimits } from './wire.ts';

const clock: BridgeClock = {
  now: () => performance.now(),
  after: (delayMs, task) => {
    const timer = setTimeout(task, delayMs);
    return () => {
      clearTimeout(timer);
    };
  },
  random: () => 0.5,
};

type Connect = (server: BridgeServer) => Promise<{ readonly client: BridgeConnection; readonly close: () => Promise<void> }>;

const inMemory: Connect = (server) => {
  const client = createBridgeClient({
    clock,
    connect: () => {
      const [near, far] = createMemoryTransports();
      server.accept(far);
      return Promise.resolve(near);
    },
  });
  return Promise.resolve({ client, close: () => Promise.resolve() });
};

const webSocket: Connect = async (server) => {
  const host = await startWebHost({
    bridge: server,
    pages: { files: new Set(), page: () => '', read: () => Promise.reject(new Error('no files')) },
    port: 0,
    clock: systemClock(),
    randomBytes,
    onFault: (error) => {
      throw error;
    },
  });
  const { headers } = await fetch(host.newLink(), { redirect: 'manual' });
  const cookie = (headers.get('set-cookie') ?? '').split(';')[0] ?? '';
  const address = `127.0.0.1:${host.port}`;
  const client = connectConsole({
    desktop: undefined,
    host: address,
    clock,
    openWebSocket: (url) => new WebSocket(url, { headers: { cookie, origin: `http://${address}` } }),
  });
  return { client, close: () => host.close() };
};

const desktop: Connect = (server) => {
  // The page's preload script, the shell's broker and the core's process, with real channels between them.
  const contents = new FakeContents(1, 'nest-app://console/');
  let toCore: Parameters<ParentPortLike['on']>[1] = () => undefined;
  serveCore({ on: (_event, listener) => (toCore = listener) }, server, () => undefined);
  let invoke: (event: never) => unknown = () => undefined;
  serveChannels({
    ipcMain: { handle: (_channel, listener) => (invoke = listener) },
    createChannel: () => new FakeChannel(),
    windowIds: () => new Set([1]),
    connectCore: (port) => {
      toCore({ data: { kind: 'connect' }, ports: [port] });
    },
  });
  const ipc: IpcLike = {
    invoke: async () => await invoke({ sender: contents, senderFrame: contents.mainFrame } as never),
    on: (channel, listener) => {
      const before = contents.onPosted;
      contents.onPosted = (posted, ports: readonly FakePort[]) => {
        before(posted, ports);
        if (posted === channel) listener({ ports }, null);
      };
    },
  };
  const client = connectConsole({
    desktop: createDesktopPort(ipc, 'linux'),
    host: 'console',
    clock,
    openWebSocket: () => expect.unreachable('the desktop application opens no socket'),
  });
  return Promise.resolve({ client, close: () => Promise.resolve() });
};

const state = (fleetName: string): ConsoleState => ({
  phase: 'open',
  fleetName,
  fleetId: null,
  operatorName: null,
  storage: null,
  keychain: { available: false, reason: 'test' },
  version: '0.0.0',
  hostCount: 0,
  operatorCertificateEndsAt: null,
});
const frame = (at: number): FleetFrame => ({ at, hosts: [] });
const settings: Settings = { scheme: 'dark', density: 'compact' };

const run = async (
  connect: Connect,
  handlers: Partial<BridgeHandlers>,
  body: (parts: { client: BridgeConnection; server: BridgeServer; faults: BridgeFault[] }) => Promise<void>,
): Promise<void> => {
  const faults: BridgeFault[] = [];
  let ids = 0;
  const server = createBridgeServer({
    handlers: createFakeHandlers(handlers),
    now: () => performance.now(),
    newCorrelationId: () => `c${(ids += 1)}`,
    onFault: (fault) => {
      faults.push(fault);
    },
  });
  const { client, close } = await connect(server);
  try {
    await body({ client, server, faults });
  } finally {
    client.close();
    await server.close();
    await close();
  }
  expect(server.conversationCount).toBe(0);
  expect(server.streamCount).toBe(0);
};

const until = async (isTrue: () => boolean): Promise<void> => {
  while (!isTrue()) await new Promise((resolve) => setImmediate(resolve));
};

describe.each<readonly [string, Connect]>([
  ['in memory', inMemory],
  ['over a real WebSocket', webSocket],
  ['over the desktop port (fake Electron)', desktop],
])('the bridge %s', (_name, connect) => {
  it('answers calls with the output of the handler, out of order too', async () => {
    const gate = Promise.withResolvers<undefined>();
    await run(
      connect,
      {
        'console.state': async () => {
          await gate.promise;
          return state('one');
        },
        'settings.get': () => Promise.resolve(settings),
      },
      async ({ client }) => {
        const first = client.call('console.state', {});
        expect(await client.call('settings.get', {})).toEqual(settings);
        gate.resolve(undefined);
        expect(await first).toEqual(state('one'));
      },
    );
  });

  it('passes nothing to a handler that the contract does not allow', async () => {
    let calls = 0;
    const put = (): Promise<Settings> => {
      calls += 1;
      return Promise.resolve(settings);
    };
    await run(connect, { 'settings.put': put }, async ({ client }) => {
      await expect(client.call('settings.put', { scheme: 'pink' as 'dark' })).rejects.toMatchObject({
        code: 'INPUT_INVALID',
        details: { method: 'settings.put', issues: [{ path: 'scheme' }] },
      });
      await expect(client.call('settings.put', { shceme: 'dark' } as object)).rejects.toMatchObject({ code: 'INPUT_INVALID' });
      expect(calls).toBe(0);
    });
  });

  it('carries code, message and details of an expected error, and hides a bug behind its correlation id', async () => {
    const secret = 'SELECT * FROM keys at fleet-cache.ts:3';
    await run(
      connect,
      {
        'fleet.lock': () =>
          Promise.reject(new NestError('FLEET_MISSING', 'Create a fleet first.', { details: { hint: 1 }, cause: new Error(secret) })),
        'console.state': () => Promise.reject(new Error(secret)),
      },
      async ({ client, faults }) => {
        await expect(client.call('fleet.lock', {})).rejects.toMatchObject({
          code: 'FLEET_MISSING',
          message: 'Create a fleet first.',
          details: { hint: 1, correlationId: 'c1' },
        });
        const bug = await client.call('console.state', {}).catch((error: unknown) => error);
        expect(bug).toMatchObject({ code: 'INTERNAL', details: { correlationId: 'c2' } });
        expect(JSON.stringify([bug, (bug as Error).message])).not.toContain('SELECT');
        expect(faults).toMatchObject([{ method: 'console.state', correlationId: 'c2', error: { message: secret } }]);
      },
    );
  });

  it('cancels the handler when the caller gives up, and answers CANCELLED', async () => {
    const started = Promise.withResolvers<AbortSignal>();
    await run(
      connect,
      {
        'console.state': (_input, signal) => {
          started.resolve(signal);
          return new Promise((_resolve, reject) => {
            signal.addEventListener('abort', () => {
              reject(new NestError('CANCELLED', 'x'));
            });
          });
        },
      },
      async ({ client, faults }) => {
        const controller = new AbortController();
        const call = client.call('console.state', {}, { signal: controller.signal });
        const signal = await started.promise;
        controller.abort();
        await expect(call).rejects.toMatchObject({ code: 'CANCELLED' });
        await until(() => signal.aborted);
        expect(faults).toEqual([]);
      },
    );
  });

  it('delivers a stream in order and ends it with the source', async () => {
    const watch = createFakeWatch(state('a'));
    await run(connect, { 'console.watch': (_input, signal) => watch.watch(signal) }, async ({ client, server }) => {
      const names: (string | null)[] = [];
      for await (const item of client.subscribe('console.watch', {})) {
        names.push(item.fleetName);
        if (names.length === 1) watch.put(state('b'));
        if (names.length === 2) {
          watch.put(state('c'));
          watch.end();
        }
      }
      expect(names).toEqual(['a', 'b', 'c']);
      await until(() => server.streamCount === 0);
    });
  });

  it('keeps at most two frames under way: a slow reader skips to the newest', async () => {
    const watch = createFakeWatch(frame(0));
    await run(connect, { 'hosts.watch': (_input, signal) => watch.watch(signal) }, async ({ client }) => {
      const reader = client.subscribe('hosts.watch', {})[Symbol.asyncIterator]();
      expect((await reader.next()).value?.at).toBe(0);
      for (let at = 1; at <= 1000; at += 1) {
        watch.put(frame(at));
        await Promise.resolve();
        await Promise.resolve();
        await Promise.resolve();
      }
      watch.end();
      await until(() => watch.watching === 0);
      const seen: number[] = [];
      for (let next = await reader.next(); next.done !== true; next = await reader.next()) seen.push(next.value.at);
      expect(seen.length).toBeLessThanOrEqual(4);
      expect(seen.at(-1)).toBe(1000);
      expect(seen).toEqual([...seen].sort((a, b) => a - b));
    });
  });

  it('ends the source when the reader leaves, by break and by signal', async () => {
    const watch = createFakeWatch(frame(1));
    await run(connect, { 'hosts.watch': (_input, signal) => watch.watch(signal) }, async ({ client }) => {
      for await (const item of client.subscribe('hosts.watch', {})) {
        expect(item.at).toBe(1);
        expect(watch.watching).toBe(1);
        break;
      }
      await until(() => watch.watching === 0);
      const controller = new AbortController();
      const reader = client.subscribe('hosts.watch', {}, { signal: controller.signal })[Symbol.asyncIterator]();
      await reader.next();
      const parked = reader.next();
      controller.abort();
      await expect(parked).rejects.toMatchObject({ code: 'CANCELLED' });
      expect(await reader.next()).toEqual({ done: true, value: undefined });
      await until(() => watch.watching === 0);
    });
  });

  it('reports the failure of a stream once, with its code', async () => {
    await run(
      connect,
      {
        // eslint-disable-next-line require-yield -- the failure is the first thing that comes
        'console.watch': async function* () {
          await Promise.resolve();
          throw new NestError('FLEET_LOCKED', 'Unlock the fleet first.');
        },
      },
      async ({ client }) => {
        const reader = client.subscribe('console.watch', {})[Symbol.asyncIterator]();
        await expect(reader.next()).rejects.toMatchObject({ code: 'FLEET_LOCKED' });
        expect(await reader.next()).toEqual({ done: true, value: undefined });
      },
    );
  });

  it('refuses the stream after the 64th, and serves a new one when one has ended', async () => {
    const watch = createFakeWatch(frame(1));
    await run(connect, { 'hosts.watch': (_input, signal) => watch.watch(signal) }, async ({ client, server }) => {
      const readers = Array.from({ length: bridgeLimits.streamsMax }, () => client.subscribe('hosts.watch', {})[Symbol.asyncIterator]());
      for (const reader of readers) await reader.next();
      const late = client.subscribe('hosts.watch', {})[Symbol.asyncIterator]();
      await expect(late.next()).rejects.toMatchObject({ code: 'LIMIT_REACHED' });
      await readers[0]?.return?.();
      await until(() => server.streamCount < bridgeLimits.streamsMax);
      expect((await client.subscribe('hosts.watch', {})[Symbol.asyncIterator]().next()).value?.at).toBe(1);
    });
  });

  it('carries ten thousand denied prefixes and the choice of an engine, and refuses more and others', async () => {
    const { engines, ...traffic } = createFakeTraffic();
    await run(connect, traffic, async ({ client }) => {
      const hostId = '01J00000000000000000000000';
      const add = Array.from({ length: 10_000 }, (_, index) => `198.18.${String(index >> 8)}.${String(index & 255)}`);
      expect(await client.call('host.denyList.update', { hostId, name: 'feed', add, remove: [], expiresAt: 5 })).toEqual({
        added: 10_000,
        removed: 0,
        prefixes: 10_000,
      });
      expect(await client.call('host.denyList.update', { hostId, name: 'feed', add: ['2001:db8::/32'], remove: add.slice(1) })).toEqual({
        added: 1,
        removed: 9_999,
        prefixes: 2,
      });
      expect(await client.call('host.denyLists', { hostId })).toMatchObject({
        lists: [{ name: 'feed', prefixes: 2, firstPrefixes: ['198.18.0.0', '2001:db8::/32'], expiresAt: null }],
      });
      const tooMany = client.call('host.denyList.update', { hostId, name: 'feed', add: [...add, '198.19.0.1'], remove: [] });
      await expect(tooMany).rejects.toMatchObject({ code: 'INPUT_INVALID' });
      expect(await client.call('host.interface.engine', { hostId, interface: 'wan0', engine: 'off' })).toMatchObject({ engine: null });
      await expect(client.call('host.interface.engine', { hostId, interface: 'wan0', engine: 'fast' as 'xdp' })).rejects.toMatchObject({
        code: 'INPUT_INVALID',
      });
      expect([...engines]).toEqual([['wan0', 'off']]);
    });
  });

  it('carries a policy text of three million characters, and refuses more than a method may have', async () => {
    const lengths: number[] = [];
    await run(
      connect,
      {
        'policy.validate': ({ policy }) => {
          lengths.push(policy.length);
          return Promise.resolve({ valid: true, problems: [], tables: null });
        },
      },
      async ({ client }) => {
        await client.call('policy.validate', { policy: 'x'.repeat(3 << 20) });
        await expect(client.call('policy.validate', { policy: '€'.repeat(2 << 20) })).rejects.toMatchObject({ code: 'MESSAGE_TOO_LARGE' });
        await expect(client.call('enrollment.cancel', { enrollmentId: 'x'.repeat(1 << 20) })).rejects.toMatchObject({
          code: 'MESSAGE_TOO_LARGE',
        });
        expect(lengths).toEqual([3 << 20]);
      },
    );
  });
});
