import { randomBytes } from 'node:crypto';
import { request } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { createFakeHandlers } from '../bridge/fake-core.ts';
import { createBridgeServer } from '../bridge/server.ts';
import type { BridgeServer } from '../bridge/server.ts';
import { bridgeLimits } from '../bridge/wire.ts';
import { systemClock } from '../lib/api.ts';
import { openPageFolder } from '../lib/page-folder.ts';
import { accessLimits } from './access.ts';
import { startWebHost } from './api.ts';
import type { WebHost } from './api.ts';

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

let host: WebHost;
let bridge: BridgeServer;
let folder: string;
let cookie: string;
const handled: string[] = [];
const faults: unknown[] = [];

/** A request as written: no client library straightens path or Host. */
const ask = (path: string, options: { readonly method?: string; readonly headers?: Record<string, string> } = {}): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const call = request(
      {
        host: '127.0.0.1',
        port: host.port,
        path,
        method: options.method ?? 'GET',
        headers: options.headers ?? {},
        setHost: options.headers?.['host'] === undefined,
        agent: false,
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => {
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text: Buffer.concat(chunks).toString('utf8') });
        });
      },
    );
    call.on('error', reject);
    call.end();
  });

const address = (): string => `127.0.0.1:${host.port}`;

/** Opens a WebSocket; resolves with it, or with the status and code of the refusal. */
const dial = (headers: Record<string, string>, path = '/bridge'): Promise<WebSocket | string> =>
  new Promise((resolve) => {
    const socket = new WebSocket(`ws://${address()}${path}`, { headers });
    socket.on('open', () => {
      resolve(socket);
    });
    socket.on('unexpected-response', (_call, response) => {
      resolve(`${response.statusCode} ${String(response.headers['nest-error'])}`);
      response.resume();
    });
    socket.on('error', () => undefined);
  });

const open = async (): Promise<{
  readonly socket: WebSocket;
  readonly frames: { t: string; e?: { code: string } }[];
  readonly closed: Promise<number>;
}> => {
  const socket = await dial({ cookie, origin: `http://${address()}` });
  if (typeof socket === 'string') throw new Error(socket);
  const frames: { t: string; e?: { code: string } }[] = [];
  socket.on('message', (data: Buffer) => {
    frames.push(JSON.parse(data.toString('utf8')) as { t: string });
  });
  const closed = new Promise<number>((resolve) => {
    socket.on('close', resolve);
  });
  return { socket, frames, closed };
};

const hello = JSON.stringify({ t: 'hello', v: 1, capabilities: [] });
const call = (id: number, m = 'settings.get', p: unknown = {}): string => JSON.stringify({ t: 'call', v: 1, id, m, p });

/** The host and its other conversations still work: the answer of a fresh, well-behaved one. */
const expectHealthy = async (): Promise<void> => {
  const { socket, frames, closed } = await open();
  socket.send(hello);
  socket.send(call(1));
  await expect.poll(() => frames.map(({ t }) => t)).toEqual(['welcome', 'result']);
  socket.close();
  await closed;
  expect(faults).toEqual([]);
};

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'nest-page-'));
  mkdirSync(join(folder, 'page/assets'), { recursive: true });
  writeFileSync(join(folder, 'page/index.html'), '<!doctype html><meta name="nest-nonce" content="__NEST_NONCE__"><title>Nest</title>');
  writeFileSync(join(folder, 'page/assets/index-AbC_12-x.js'), 'export {};');
  writeFileSync(join(folder, 'page/assets/index.js.map'), '{}');
  writeFileSync(join(folder, 'secret.txt'), 'secret');
  bridge = createBridgeServer({
    handlers: createFakeHandlers({
      'settings.get': () => {
        handled.push('settings.get');
        return Promise.resolve({ scheme: 'dark', density: 'compact' });
      },
      'hosts.remove': () => {
        handled.push('hosts.remove');
        return Promise.resolve(null);
      },
    }),
    now: () => performance.now(),
    newCorrelationId: () => randomBytes(6).toString('hex'),
    onFault: ({ error }) => faults.push(error),
  });
  host = await startWebHost({
    bridge,
    pages: openPageFolder(join(folder, 'page')),
    port: 0,
    clock: systemClock(),
    randomBytes,
    onFault: (error) => faults.push(error),
  });
  const { headers } = await ask(new URL(host.newLink()).search.replace('?', '/?'));
  cookie = headers['set-cookie']?.[0]?.split(';')[0] ?? '';
});

afterAll(async () => {
  await bridge.close();
  await host.close();
  rmSync(folder, { recursive: true, force: true });
});

describe('the link printed at the start', () => {
  it('becomes a session cookie once, and is dead afterwards', async () => {
    const link = new URL(host.newLink());
    expect(link.host).toBe(address());
    expect(Buffer.from(link.searchParams.get('token') ?? '', 'base64url')).toHaveLength(32);
    const first = await ask(`/${link.search}`);
    expect(first.status).toBe(303);
    expect(first.headers.location).toBe('/');
    expect(first.headers['set-cookie']).toEqual([
      expect.stringMatching(/^nest-session-\d+=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict$/),
    ]);
    const again = await ask(`/${link.search}`);
    expect([again.status, again.headers['nest-error'], again.headers['set-cookie']]).toEqual([403, 'TOKEN_INVALID', undefined]);
    expect(again.text).not.toContain(link.searchParams.get('token'));
  });

  it('is not used up by a HEAD request, as link previews send', async () => {
    const { search } = new URL(host.newLink());
    expect((await ask(`/${search}`, { method: 'HEAD' })).status).toBe(403);
    expect((await ask(`/${search}`)).status).toBe(303);
  });

  it('lets a click on another site in without a redirect that would lose the cookie', async () => {
    const { search } = new URL(host.newLink());
    const answer = await ask(`/${search}`, { headers: { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' } });
    expect(answer.status).toBe(200);
    expect(answer.headers['set-cookie']).toHaveLength(1);
    expect(answer.text).toContain('url=/');
  });
});

describe('requests with a session', () => {
  it('get the page with a fresh nonce in policy and page, and every security header', async () => {
    const [first, second] = [await ask('/', { headers: { cookie } }), await ask('/index.html?x', { headers: { cookie } })];
    const nonceOf = ({ text, headers }: Answer): string => {
      const nonce = /content="([\w-]{24})"/.exec(text)?.[1] ?? 'none';
      expect(headers['content-security-policy']).toBe(
        `default-src 'none'; script-src 'self'; style-src 'self' 'nonce-${nonce}'; img-src 'self' data:; font-src 'self'; connect-src 'self' ws://${address()}; require-trusted-types-for 'script'; trusted-types nest default; base-uri 'none'; frame-ancestors 'none'; form-action 'none'`,
      );
      return nonce;
    };
    expect(nonceOf(first)).not.toBe(nonceOf(second));
    expect(first.headers).toMatchObject({
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-embedder-policy': 'require-corp',
      'cross-origin-resource-policy': 'same-origin',
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'cache-control': 'no-store',
    });
  });

  it('get hashed files with their type and for good', async () => {
    const { headers, text } = await ask('/assets/index-AbC_12-x.js', { headers: { cookie } });
    expect([headers['content-type'], headers['cache-control'], text]).toEqual([
      'text/javascript; charset=utf-8',
      'public, max-age=31536000, immutable',
      'export {};',
    ]);
  });

  it('are sent on without the token when the browser opens its old link again', async () => {
    const { status, headers } = await ask('/?token=old', { headers: { cookie } });
    expect([status, headers.location, headers['set-cookie']]).toEqual([303, '/', undefined]);
  });
});

describe('hostile requests', () => {
  it.each<readonly [string, string, { method?: string; headers?: Record<string, string> }, number, string]>([
    ['no cookie', '/', {}, 401, 'BRIDGE_REFUSED'],
    ['a file without a cookie', '/assets/index-AbC_12-x.js', {}, 401, 'BRIDGE_REFUSED'],
    ['an invented cookie', '/', { headers: { cookie: `nest-session-1=${'A'.repeat(43)}` } }, 401, 'BRIDGE_REFUSED'],
    ['a wrong token', `/?token=${'A'.repeat(43)}`, {}, 403, 'TOKEN_INVALID'],
    ['an empty token', '/?token=', {}, 403, 'TOKEN_INVALID'],
    ['a foreign Host (DNS rebinding)', '/', { headers: { host: 'nest.example' } }, 421, 'ORIGIN_REFUSED'],
    ['a Host with another port', '/', { headers: { host: '127.0.0.1:1' } }, 421, 'ORIGIN_REFUSED'],
    ['POST', '/', { method: 'POST' }, 405, 'BRIDGE_PROTOCOL'],
    ['OPTIONS (a preflight)', '/', { method: 'OPTIONS', headers: { origin: 'http://198.18.0.1' } }, 405, 'BRIDGE_PROTOCOL'],
    ['a very long address', `/${'a'.repeat(3000)}`, {}, 414, 'INPUT_INVALID'],
    ['an absolute target', 'http://198.18.0.1/', {}, 404, 'NOT_FOUND'],
    ['a target that names a host', '//198.18.0.1/', {}, 404, 'NOT_FOUND'],
  ])('%s is refused with its code', async (...[, path, options, status, code]) => {
    const answer = await ask(path, options);
    expect([answer.status, answer.headers['nest-error']]).toEqual([status, code]);
    expect(answer.headers['set-cookie']).toBeUndefined();
    expect(answer.headers['content-security-policy']).toContain("default-src 'none'");
  });

  it.each([
    '/../secret.txt',
    '/%2e%2e/secret.txt',
    '/assets/../../secret.txt',
    '/assets/%2e%2e%2f%2e%2e%2fsecret.txt',
    '/..%5csecret.txt',
    '/assets/index.js.map',
    '/%00',
    '/%ff',
    '/assets/',
    '/.git/config',
    '/index-AbC_12-x.js%00.html',
  ])('the path %s leads nowhere, with a session too', async (path) => {
    const { status, text } = await ask(path, { headers: { cookie } });
    expect([status, text.includes('secret')]).toEqual([404, false]);
  });

  it.each(['cross-site', 'same-site'])('a file loaded by a %s page is refused, cookie or not', async (site) => {
    const { status, headers } = await ask('/assets/index-AbC_12-x.js', {
      headers: { cookie, 'sec-fetch-site': site, 'sec-fetch-mode': 'no-cors' },
    });
    expect([status, headers['nest-error']]).toEqual([403, 'ORIGIN_REFUSED']);
  });
});

describe('hostile WebSockets', () => {
  it.each<readonly [string, () => Record<string, string>, string, string]>([
    ['without Origin', () => ({ cookie }), '/bridge', '403 ORIGIN_REFUSED'],
    ['from a foreign Origin', () => ({ cookie, origin: 'http://nest.example' }), '/bridge', '403 ORIGIN_REFUSED'],
    [
      'from a page on another port of this machine',
      () => ({ cookie, origin: `http://127.0.0.1:${host.port + 1}` }),
      '/bridge',
      '403 ORIGIN_REFUSED',
    ],
    ['from the other name of this machine', () => ({ cookie, origin: `http://localhost:${host.port}` }), '/bridge', '403 ORIGIN_REFUSED'],
    ['from an opaque origin', () => ({ cookie, origin: 'null' }), '/bridge', '403 ORIGIN_REFUSED'],
    ['with a foreign Host', () => ({ cookie, host: 'nest.example', origin: 'http://nest.example' }), '/bridge', '421 ORIGIN_REFUSED'],
    ['without a cookie', () => ({ origin: `http://${address()}` }), '/bridge', '401 BRIDGE_REFUSED'],
    ['with the cookie twice', () => ({ cookie: `${cookie}; ${cookie}`, origin: `http://${address()}` }), '/bridge', '401 BRIDGE_REFUSED'],
    ['to another path', () => ({ cookie, origin: `http://${address()}` }), '/bridge/x', '404 NOT_FOUND'],
  ])('%s are refused', async (...[, headers, path, expected]) => {
    expect(await dial(headers(), path)).toBe(expected);
    expect(host.connectionCount).toBe(0);
  });

  it('past the limit of a session are refused, and admitted again when one has closed', async () => {
    const opened = await Promise.all(Array.from({ length: accessLimits.connectionsPerSessionMax }, () => open()));
    expect(await dial({ cookie, origin: `http://${address()}` })).toBe('429 LIMIT_REACHED');
    opened[0]?.socket.close();
    await expect.poll(() => host.connectionCount).toBe(accessLimits.connectionsPerSessionMax - 1);
    const late = await open();
    for (const { socket } of [...opened, late]) socket.terminate();
    await expect.poll(() => host.connectionCount).toBe(0);
    await expect.poll(() => bridge.conversationCount).toBe(0);
  });

  it.each<readonly [string, readonly (string | Buffer)[], string]>([
    ['garbage', [hello, '{"t":'], 'BRIDGE_PROTOCOL'],
    ['a number for a frame', ['7'], 'BRIDGE_PROTOCOL'],
    ['a call before hello', [call(1)], 'BRIDGE_PROTOCOL'],
    ['a version from the past', [JSON.stringify({ t: 'hello', v: 0, capabilities: [] })], 'BRIDGE_PROTOCOL'],
    ['an id that is no number', [hello, JSON.stringify({ t: 'call', v: 1, id: '1', m: 'settings.get', p: {} })], 'BRIDGE_PROTOCOL'],
    ['ids beyond what is exact', [hello, '{"t":"call","v":1,"id":1e300,"m":"settings.get","p":{}}'], 'BRIDGE_PROTOCOL'],
    ['a credit larger than the window', [hello, JSON.stringify({ t: 'credit', v: 1, id: 1, n: 1e9 })], 'BRIDGE_PROTOCOL'],
    [
      'a flood of frames',
      [hello, ...Array.from({ length: bridgeLimits.framesPerSecond * 2 }, () => JSON.stringify({ t: 'cancel', v: 1, id: 1 }))],
      'LIMIT_REACHED',
    ],
  ])('that send %s are told why and cut off; the others go on', async (_name, texts, code) => {
    const { socket, frames, closed } = await open();
    for (const text of texts) socket.send(text);
    expect(await closed).toBe(1000);
    expect(frames.at(-1)).toMatchObject({ t: 'fatal', e: { code } });
    await expectHealthy();
  });

  it('that send a frame of more than four megabytes are closed with 1009, that send bytes with 1003', async () => {
    const large = await open();
    large.socket.send(hello);
    large.socket.send(call(1, 'policy.validate', { policy: 'x'.repeat(bridgeLimits.policyRequestBytesMax) }));
    expect(await large.closed).toBe(1009);
    const binary = await open();
    binary.socket.send(Buffer.from(hello));
    expect(await binary.closed).toBe(1003);
    await expectHealthy();
  });

  it.each<readonly [string, string, unknown, string]>([
    ['an unknown method', 'shell.exec', {}, 'BRIDGE_PROTOCOL'],
    ['a name of the prototype', 'constructor', {}, 'BRIDGE_PROTOCOL'],
    ['a stream that is called', 'hosts.watch', {}, 'BRIDGE_PROTOCOL'],
    ['an input of a wrong type', 'hosts.remove', { hostId: 7 }, 'INPUT_INVALID'],
    ['an identifier that is a path', 'hosts.remove', { hostId: '../../etc/passwd' }, 'INPUT_INVALID'],
    ['an input with one key too many', 'hosts.remove', { hostId: '01JZ0000000000000000000000', force: true }, 'INPUT_INVALID'],
    ['a prototype for an input', 'hosts.remove', JSON.parse('{"__proto__":{"hostId":"01JZ0000000000000000000000"}}'), 'INPUT_INVALID'],
    ['no input', 'hosts.remove', null, 'INPUT_INVALID'],
    ['a megabyte where a name belongs', 'enrollment.begin', { name: 'x'.repeat(2 << 20), address: 'a' }, 'MESSAGE_TOO_LARGE'],
  ])('that ask for %s get a coded error and nothing happens', async (...[, method, input, code]) => {
    handled.length = 0;
    const { socket, frames, closed } = await open();
    socket.send(hello);
    socket.send(call(1, method, input));
    await expect.poll(() => frames.at(-1)).toMatchObject({ t: 'error', id: 1, e: { code } });
    expect(handled).toEqual([]);
    socket.close();
    await closed;
  });

  it('that ask 300 times at once get what the rate allows and LIMIT_REACHED for the rest', async () => {
    const { socket, frames, closed } = await open();
    socket.send(hello);
    for (let id = 1; id <= 300; id += 1) socket.send(call(id));
    await expect.poll(() => frames.length).toBe(301);
    const refused = frames.filter(({ e }) => e?.code === 'LIMIT_REACHED').length;
    expect(refused).toBeGreaterThan(0);
    expect(refused).toBeLessThanOrEqual(300 - bridgeLimits.requestsPerSecond);
    socket.close();
    await closed;
    await expectHealthy();
  });

  it('that send kinds of frames of a later build are served as before', async () => {
    const { socket, frames, closed } = await open();
    socket.send(hello);
    socket.send(JSON.stringify({ t: 'compress', v: 9, with: 'zstd' }));
    socket.send(call(1));
    await expect.poll(() => frames.map(({ t }) => t)).toEqual(['welcome', 'result']);
    socket.close();
    await closed;
  });
});
