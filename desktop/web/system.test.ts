import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { connectConsole } from '../bridge/api.ts';
import type { DemoOutcome } from './demo.ts';
import type { WebOptions } from './options.ts';
import { startWebSystem } from './system.ts';

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'nest-web-'));
  mkdirSync(join(folder, 'page'));
  writeFileSync(join(folder, 'page/index.html'), '<!doctype html><title>Nest</title>');
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const optionsOf = (given: Partial<WebOptions>): WebOptions => ({
  port: 0,
  dataDirectory: join(folder, 'data'),
  renderer: join(folder, 'page'),
  demo: undefined,
  mode: 'serve',
  ...given,
});

const start = async (given: Partial<WebOptions> = {}) => {
  const reports: unknown[] = [];
  const demo = Promise.withResolvers<readonly DemoOutcome[]>();
  const system = await startWebSystem({
    options: optionsOf(given),
    version: '1.2.3',
    report: (message, fields) => reports.push([message, fields]),
    onDemo: demo.resolve,
    onDemoFailed: demo.reject,
  });
  return { system, reports, demo: demo.promise };
};

/** A browser's part: the link, the cookie, the socket. */
const connect = async (link: string) => {
  const { host } = new URL(link);
  const { headers } = await fetch(link, { redirect: 'manual' });
  const cookie = headers.get('set-cookie')?.split(';')[0] ?? '';
  return connectConsole({
    desktop: undefined,
    host,
    openWebSocket: (url) => new WebSocket(url, { headers: { cookie, origin: `http://${host}` } }),
    clock: { now: () => performance.now(), after: () => () => undefined, random: () => 0 },
  });
};

describe('the web host with the real core', () => {
  it('creates a fleet over the bridge, and shows it locked after a restart', async () => {
    const first = await start();
    const client = await connect(first.system.newLink());
    expect(await client.call('console.state', {})).toMatchObject({ phase: 'empty', version: '1.2.3' });
    const created = await client.call('fleet.create', {
      fleetName: 'Test fleet',
      operatorName: 'ada',
      storage: 'passphrase',
      passphrase: 'correct horse battery',
    });
    expect(created).toMatchObject({ phase: 'open', fleetName: 'Test fleet', storage: 'passphrase' });
    client.close();
    await first.system.close();
    const second = await start();
    const again = await connect(second.system.newLink());
    expect(await again.call('console.state', {})).toMatchObject({ phase: 'locked', fleetName: 'Test fleet', fleetId: created.fleetId });
    again.close();
    await second.system.close();
    await second.system.close();
    expect([...first.reports, ...second.reports]).toEqual([]);
  });

  it('keeps no data of a demo, and reports each host that could not be enrolled', async () => {
    const manifest = join(folder, 'demo.json');
    writeFileSync(
      manifest,
      JSON.stringify({
        fleetName: 'Demo',
        hosts: [{ name: 'edge-1', address: '127.0.0.1', port: 9, join: [process.execPath, '-e', 'process.exit(1)'] }],
      }),
    );
    const { system, demo } = await start({ demo: manifest, dataDirectory: undefined });
    expect(await demo).toMatchObject([{ name: 'edge-1', hostId: null, problem: { code: 'HOST_UNREACHABLE' } }]);
    const client = await connect(system.newLink());
    expect(await client.call('console.state', {})).toMatchObject({ phase: 'open', fleetName: 'Demo' });
    client.close();
    await system.close();
  });

  it.each<readonly [string, Partial<WebOptions>, string]>([
    ['a page that is not built', { renderer: '/nowhere' }, 'NOT_FOUND'],
    ['a manifest that is not there', { demo: '/nowhere.json' }, 'NOT_FOUND'],
  ])('does not start with %s, and leaves nothing open', async (_name, given, code) => {
    await expect(start({ ...given, dataDirectory: join(folder, 'never') })).rejects.toMatchObject({ code });
    expect(existsSync(join(folder, 'never'))).toBe(false);
  });
});
