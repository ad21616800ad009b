import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from '@playwright/test';
import type { Browser, Page } from '@playwright/test';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createFakeHandlers, createFakeWatch } from '../../desktop/bridge/fake-core.ts';
import type { ConsoleState } from '../../desktop/bridge/model.ts';
import { createBridgeServer } from '../../desktop/bridge/server.ts';
import type { BridgeServer } from '../../desktop/bridge/server.ts';
import { systemClock } from '../../desktop/lib/api.ts';
import { openPageFolder } from '../../desktop/lib/page-folder.ts';
import { startWebHost } from '../../desktop/web/api.ts';
import type { WebHost } from '../../desktop/web/api.ts';

const executablePath = '/usr/bin/chromium';
const hasChromium = existsSync(executablePath);
const args = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

const index = `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="nest-nonce" content="__NEST_NONCE__"><link rel="icon" href="data:,"><title>probe</title>
<script>window.ranInline = true</script><script type="module" src="/assets/probe-AbC_12-x.js"></script></head><body><img src="/nothing.png" onerror="window.ranHandler = true"></body></html>`;

/** What a page of ours, or one taken over, tries; each answer is what the browser let it do. */
const probe = `
const answer = {};
const attempt = async (name, act) => { try { answer[name] = await act(); } catch (error) { answer[name] = error.name; } };
const styled = (nonce) => {
  const style = document.createElement('style');
  if (nonce) style.setAttribute('nonce', document.querySelector('meta[name=nest-nonce]').content);
  style.append('body { color: rgb(1, 2, 3) }');
  document.head.append(style);
  const color = getComputedStyle(document.body).color;
  style.remove();
  return color;
};
await attempt('style with nonce', () => styled(true));
await attempt('style without nonce', () => styled(false));
await attempt('eval', () => (0, eval)('1'));
await attempt('innerHTML', () => { document.body.innerHTML = '<b>x</b>'; return 'done'; });
await attempt('foreign trusted types policy', () => { trustedTypes.createPolicy('evil', {}); return 'done'; });
await attempt('script URL', () => { document.createElement('script').src = '/assets/probe-AbC_12-x.js'; return 'done'; });
await attempt('fetch elsewhere', () => fetch('http://127.0.0.1:1/').then(() => 'done'));
await attempt('worker from a blob', () => new Promise((resolve) => { const worker = new Worker(trustedTypes.createPolicy('nest', { createScriptURL: (url) => url }).createScriptURL(URL.createObjectURL(new Blob(['postMessage(1)'])))); worker.onmessage = () => resolve('done'); worker.onerror = () => resolve('refused'); }));
await attempt('camera', () => document.featurePolicy.allowsFeature('camera'));
await attempt('bridge', () => new Promise((resolve) => {
  const socket = new WebSocket('ws://' + location.host + '/bridge');
  socket.onopen = () => socket.send(JSON.stringify({ t: 'hello', v: 1, capabilities: [] }));
  socket.onmessage = ({ data }) => { resolve(JSON.parse(data).t); socket.close(); };
  socket.onerror = () => resolve('refused');
}));
answer.inline = window.ranInline ?? 'refused';
answer.handler = window.ranHandler ?? 'refused';
answer.isolated = crossOriginIsolated;
answer.cookie = document.cookie;
window.answer = answer;
`;

let browser: Browser;
let bridge: BridgeServer;
let folder: string;
const hosts: WebHost[] = [];
const servers: Server[] = [];

const host = async (pages: string): Promise<WebHost> => {
  const started = await startWebHost({
    bridge,
    pages: openPageFolder(pages),
    port: 0,
    clock: systemClock(),
    randomBytes,
    onFault: (error) => expect.unreachable(String(error)),
  });
  hosts.push(started);
  return started;
};

/** Opens a page and collects what the browser complains about. */
const visit = async (url: string): Promise<{ readonly page: Page; readonly complaints: string[] }> => {
  const context = await browser.newContext();
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(`uncaught ${error.message}`));
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI, sample }) => {
      console.error(`violation ${violatedDirective} ${blockedURI} ${sample}`);
    });
  });
  await page.goto(url);
  return { page, complaints };
};

describe.runIf(hasChromium)('in a real Chromium', () => {
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'nest-browser-'));
    mkdirSync(join(folder, 'assets'));
    writeFileSync(join(folder, 'index.html'), index);
    writeFileSync(join(folder, 'assets/probe-AbC_12-x.js'), probe);
    const empty: ConsoleState = {
      phase: 'empty',
      fleetName: null,
      fleetId: null,
      operatorName: null,
      storage: null,
      keychain: { available: false, reason: 'There is no keychain in this test.' },
      version: '0.0.0',
      hostCount: 0,
      operatorCertificateEndsAt: null,
    };
    const watch = createFakeWatch(empty);
    bridge = createBridgeServer({
      handlers: createFakeHandlers({
        'console.state': () => Promise.resolve(empty),
        'console.watch': (_input, signal) => watch.watch(signal),
        'settings.get': () => Promise.resolve({ scheme: 'dark', density: 'compact' }),
      }),
      now: () => performance.now(),
      newCorrelationId: () => 'c',
      onFault: ({ error }) => expect.unreachable(String(error)),
    });
    browser = await chromium.launch({ executablePath, args });
  });

  afterAll(async () => {
    await browser.close();
    await bridge.close();
    for (const started of hosts) await started.close();
    for (const server of servers) {
      server.closeAllConnections();
      server.close();
    }
    rmSync(folder, { recursive: true, force: true });
  });

  it('the page may use its own files, its nonce and its bridge, and nothing else', async () => {
    const started = await host(folder);
    const { page } = await visit(started.newLink());
    expect(new URL(page.url()).search).toBe('');
    // Functions, not texts: the page's policy forbids eval to Playwright as well.
    const answer = (): Promise<unknown> => page.evaluate(() => (globalThis as { answer?: unknown }).answer);
    await expect.poll(answer).toBeDefined();
    expect(await answer()).toEqual({
      'style with nonce': 'rgb(1, 2, 3)',
      'style without nonce': 'rgb(0, 0, 0)',
      eval: 'EvalError',
      innerHTML: 'TypeError',
      'foreign trusted types policy': 'TypeError',
      'script URL': 'TypeError',
      'fetch elsewhere': 'TypeError',
      'worker from a blob': 'refused',
      camera: false,
      bridge: 'welcome',
      inline: 'refused',
      handler: 'refused',
      isolated: true,
      cookie: '',
    });
    await page.context().close();
  });

  it('a page on another port of this machine reaches neither bridge nor files, though the browser holds the cookie', async () => {
    const started = await host(folder);
    const attacker = createServer((_request, response) =>
      response.setHeader('content-type', 'text/html').end('<!doctype html><title>other</title>'),
    );
    servers.push(attacker);
    await new Promise<void>((resolve) => attacker.listen(0, '127.0.0.1', resolve));
    const { page } = await visit(started.newLink());
    await page.goto(`http://127.0.0.1:${(attacker.address() as AddressInfo).port}/`);
    const result = await page.evaluate(async (ours) => {
      const load = (element: HTMLElement & { src: string }, path: string): Promise<string> =>
        new Promise((resolve) => {
          element.addEventListener('load', () => resolve('loaded'));
          element.addEventListener('error', () => resolve('refused'));
          element.src = `http://${ours}${path}`;
          document.body.append(element);
        });
      return {
        socket: await new Promise((resolve) => {
          const socket = new WebSocket(`ws://${ours}/bridge`);
          socket.onopen = () => resolve('open');
          socket.onerror = () => resolve('refused');
        }),
        fetch: await fetch(`http://${ours}/`, { credentials: 'include' }).then(
          () => 'read',
          () => 'refused',
        ),
        script: await load(document.createElement('script'), '/assets/probe-AbC_12-x.js'),
      };
    }, `127.0.0.1:${started.port}`);
    expect(result).toEqual({ socket: 'refused', fetch: 'refused', script: 'refused' });
    await page.context().close();
  });

  it('without the link the browser shows a page that says what to do', async () => {
    const started = await host(folder);
    const { page, complaints } = await visit(`http://127.0.0.1:${started.port}/`);
    expect(await page.getByText('Use the link printed by npm start.').isVisible()).toBe(true);
    expect(complaints.filter((text) => text.startsWith('violation'))).toEqual([]);
    await page.context().close();
  });

  it('the built console starts without one violation of the policy', async (context) => {
    const built = new URL('../../dist/desktop/renderer', import.meta.url).pathname;
    if (!existsSync(join(built, 'index.html'))) context.skip('the page is not built: run npm run build');
    const started = await host(built);
    const { page, complaints } = await visit(started.newLink());
    await page.locator('#root :is(h1, h2, button, input)').first().waitFor();
    await expect.poll(() => bridge.streamCount).toBeGreaterThan(0);
    expect(complaints).toEqual([]);
    await page.context().close();
  });
});
