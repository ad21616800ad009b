import { describe, expect, it } from 'vitest';
import { navigateChannel, portChannel } from '../bridge/desktop-channels.ts';
import { FakeContents, createFakeElectron } from './fake-electron.ts';
import type { FakeElectron, FakeElectronOptions } from './fake-electron.ts';
import { startShell } from './shell.ts';

const pageUrl = 'nest-app://console/';

const start = async (
  options: Partial<FakeElectronOptions> = {},
  args: readonly string[] = [],
): Promise<FakeElectron & { readonly stored: object[] }> => {
  const fake = createFakeElectron({ isPackaged: true, isFirstInstance: true, switches: [], ...options });
  const stored: object[] = [];
  let nonces = 0;
  await startShell(fake.module, {
    args,
    paths: { preload: '/app/preload.cjs', core: '/app/core.mjs', icon: '/app/icon.png' },
    openPages: () => ({
      files: new Set(['/assets/index-AbC_12-x.js']),
      page: (nonce) => `page ${nonce}`,
      read: () => Promise.resolve(new TextEncoder().encode('export {};')),
    }),
    openSettings: () => ({ bounds: () => ({ width: 1000 }), putBounds: (bounds) => stored.push(bounds) }),
    newNonce: () => `nonce${(nonces += 1)}`,
    now: () => 0,
  });
  return { ...fake, stored };
};

/** An event that remembers whether it was prevented. */
const eventOf = (url = ''): { readonly url: string; isPrevented: boolean; preventDefault(): void } => ({
  url,
  isPrevented: false,
  preventDefault() {
    this.isPrevented = true;
  },
});

describe('the desktop shell', () => {
  it('sandboxes every process and registers its scheme before the application is ready', async () => {
    const { calls } = await start();
    const ready = calls.indexOf('whenReady');
    expect(calls.indexOf('enableSandbox')).toBeLessThan(ready);
    const scheme = calls.find((call) => call.startsWith('registerSchemesAsPrivileged')) ?? '';
    expect(calls.indexOf(scheme)).toBeLessThan(ready);
    expect(JSON.parse(scheme.slice(scheme.indexOf(' ')))).toEqual([
      {
        scheme: 'nest-app',
        privileges: {
          standard: true,
          secure: true,
          supportFetchAPI: true,
          corsEnabled: false,
          bypassCSP: false,
          allowServiceWorkers: false,
          stream: false,
        },
      },
    ]);
  });

  it('opens its page in a window whose web preferences are all written out', async () => {
    const { windows } = await start();
    expect(windows).toHaveLength(1);
    expect(windows[0]?.webContents.getURL()).toBe('nest-app://console/#/');
    expect(windows[0]?.options.webPreferences).toEqual({
      preload: '/app/preload.cjs',
      sandbox: true,
      contextIsolation: true,
      nodeIntegration: false,
      nodeIntegrationInWorker: false,
      nodeIntegrationInSubFrames: false,
      webSecurity: true,
      allowRunningInsecureContent: false,
      experimentalFeatures: false,
      webviewTag: false,
      plugins: false,
      spellcheck: false,
      navigateOnDragDrop: false,
      safeDialogs: true,
      devTools: false,
    });
    expect((await start({ isPackaged: false })).windows[0]?.options.webPreferences['devTools']).toBe(true);
  });

  it.each(['remote-debugging-port', 'inspect', 'disable-web-security', 'no-sandbox', 'js-flags'])(
    'does not run released with --%s',
    async (name) => {
      const { calls, windows } = await start({ switches: [name] });
      expect(calls).toContain('exit 1');
      expect(windows).toEqual([]);
      expect((await start({ switches: [name], isPackaged: false })).windows).toHaveLength(1);
    },
  );

  it('ends a second instance at once; the first comes to the front and shows the view of its link', async () => {
    const second = await start({ isFirstInstance: false });
    expect([second.calls.includes('quit'), second.windows, second.children]).toEqual([true, [], []]);
    const first = await start();
    const [window] = first.windows;
    if (window !== undefined) window.isMinimizedNow = true;
    first.app.emit('second-instance', {}, ['nest', 'nest://policy']);
    first.app.emit('second-instance', {}, ['nest', 'nest://policy/apply']);
    first.app.emit('open-url', eventOf(), 'nest://hosts');
    expect(window?.calls).toEqual(['removeMenu', 'restore', 'focus', 'restore', 'focus', 'restore', 'focus']);
    expect(window?.webContents.sent).toEqual([
      { channel: navigateChannel, value: '/policy' },
      { channel: navigateChannel, value: '/hosts' },
    ]);
  });

  it('begins with the view of the link it was started by', async () => {
    expect((await start({}, ['nest', 'nest://trace'])).windows[0]?.webContents.getURL()).toBe('nest-app://console/#/trace');
  });

  it('keeps every web contents on its page', async () => {
    const { windows } = await start();
    for (const name of ['will-navigate', 'will-redirect', 'will-frame-navigate']) {
      const foreign = [
        'https://nest.example/',
        'file:///etc/passwd',
        'nest-app://other/',
        'nest-app://console@evil/',
        'javascript:alert(1)',
        'data:text/html,x',
        'about:blank',
        '',
      ].map(eventOf);
      const own = eventOf('nest-app://console/hosts');
      for (const event of [...foreign, own]) windows[0]?.webContents.emit(name, event);
      expect([foreign.filter(({ isPrevented }) => !isPrevented), own.isPrevented]).toEqual([[], false]);
    }
    const webview = eventOf();
    windows[0]?.webContents.emit('will-attach-webview', webview);
    expect(webview.isPrevented).toBe(true);
  });

  it('denies every new window; only a link of the list goes to the browser', async () => {
    const { windows, opened } = await start();
    const openIn = (url: string) => windows[0]?.webContents.windowOpenHandler?.({ url });
    expect(['https://docs.penguintech.io/nest', 'https://nest.example/', 'file:///etc/passwd', pageUrl].map(openIn)).toEqual(
      Array.from({ length: 4 }, () => ({ action: 'deny' })),
    );
    expect(opened).toEqual(['https://docs.penguintech.io/nest']);
  });

  it('accepts no bad certificate, sends no client certificate and answers no login', async () => {
    const { app } = await start();
    const answers: unknown[] = [];
    const events = [eventOf(), eventOf(), eventOf()];
    const answer = (...values: unknown[]): void => {
      answers.push(values);
    };
    app.emit('certificate-error', events[0], {}, 'https://x', 'net::ERR', {}, answer);
    app.emit('select-client-certificate', events[1], {}, 'https://x', [{}], answer);
    app.emit('login', events[2], {}, {}, {}, answer);
    expect(answers).toEqual([[false], [], []]);
    expect(events.every(({ isPrevented }) => isPrevented)).toBe(true);
  });

  it('grants two permissions to its own page and nothing to anybody else', async () => {
    const { sessionSettings } = await start();
    const request = sessionSettings.get('permissionRequest') as (
      contents: { getURL(): string },
      permission: string,
      callback: (isGranted: boolean) => void,
    ) => void;
    const check = sessionSettings.get('permissionCheck') as (contents: null, permission: string, origin: string) => boolean;
    const granted = (url: string) =>
      [
        'clipboard-sanitized-write',
        'notifications',
        'clipboard-read',
        'media',
        'geolocation',
        'fullscreen',
        'openExternal',
        'hid',
        'serial',
        'fileSystem',
      ].filter((permission) => {
        let isGranted: boolean | undefined;
        request({ getURL: () => url }, permission, (value) => {
          isGranted = value;
        });
        expect(check(null, permission, url)).toBe(isGranted);
        return isGranted;
      });
    expect(granted(pageUrl)).toEqual(['clipboard-sanitized-write', 'notifications']);
    expect(granted('https://nest.example/')).toEqual([]);
    expect((sessionSettings.get('devicePermission') as () => boolean)()).toBe(false);
    expect(sessionSettings.get('spellChecker')).toBe(false);
  });

  it('lets no request of the page leave its scheme, and no download begin', async () => {
    const packaged = await start();
    const isCancelled = (fake: FakeElectron, url: string): boolean | undefined => {
      let result: boolean | undefined;
      (fake.sessionSettings.get('beforeRequest') as (details: { url: string }, callback: (answer: { cancel: boolean }) => void) => void)(
        { url },
        ({ cancel }) => {
          result = cancel;
        },
      );
      return result;
    };
    expect(
      [
        'https://nest.example/',
        'http://127.0.0.1:80/',
        'ws://nest.example/',
        'file:///etc/passwd',
        'nest-app://other/',
        'devtools://x',
        'data:text/html,x',
      ].map((url) => isCancelled(packaged, url)),
    ).toEqual(Array.from({ length: 7 }, () => true));
    expect([pageUrl, 'nest-app://console/assets/x.js', 'data:image/png;base64,AA=='].map((url) => isCancelled(packaged, url))).toEqual([
      false,
      false,
      false,
    ]);
    expect(isCancelled(await start({ isPackaged: false }), 'devtools://devtools/x')).toBe(false);
    const download = eventOf();
    packaged.session.emit('will-download', download);
    expect(download.isPrevented).toBe(true);
  });

  it('serves its page with the same policy as the web host, a fresh nonce each time, and nothing else', async () => {
    const { schemes } = await start();
    const ask = async (url: string, method = 'GET') => {
      const response = await schemes.get('nest-app')?.({ method, url });
      return {
        status: response?.status,
        text: await response?.text(),
        policy: response?.headers.get('content-security-policy') ?? '',
        type: response?.headers.get('content-type'),
      };
    };
    const page = await ask(pageUrl);
    expect(page).toMatchObject({ status: 200, text: 'page nonce1', type: 'text/html; charset=utf-8' });
    expect(page.policy).toContain("style-src 'self' 'nonce-nonce1'");
    expect(page.policy).toContain("connect-src 'self';");
    expect(page.policy).not.toContain('unsafe');
    expect((await ask('nest-app://console/index.html')).text).toBe('page nonce2');
    expect(await ask('nest-app://console/assets/index-AbC_12-x.js')).toMatchObject({ status: 200, type: 'text/javascript; charset=utf-8' });
    expect(
      await Promise.all(
        [
          'nest-app://console/assets/../../main.js',
          'nest-app://console/package.json',
          'nest-app://console/hosts',
          'nest-app://console/%2e%2e%2fmain.js',
          'nest-app://other/',
        ].map(async (url) => (await ask(url)).status),
      ),
    ).toEqual([404, 404, 404, 404, 421]);
    expect((await ask(pageUrl, 'POST')).status).toBe(405);
  });

  it('connects only the main frame of its own window with the core', async () => {
    const { handlers, windows, children } = await start();
    const contents = windows[0]?.webContents;
    const connect = handlers.get('nest:connect');
    if (contents === undefined || connect === undefined) throw new Error('the shell opened no window');
    const stranger = new FakeContents(99, pageUrl);
    const refused = [
      { sender: contents, senderFrame: null },
      { sender: contents, senderFrame: { url: pageUrl } },
      { sender: stranger, senderFrame: stranger.mainFrame },
    ];
    for (const event of refused)
      expect(() => connect(event as never)).toThrow(expect.objectContaining({ code: 'BRIDGE_REFUSED' }) as Error);
    contents.mainFrame.url = 'https://nest.example/';
    expect(() => connect({ sender: contents, senderFrame: contents.mainFrame })).toThrow(
      expect.objectContaining({ code: 'BRIDGE_REFUSED' }) as Error,
    );
    expect([contents.mainFrame.posted, children[0]?.messages]).toEqual([[], []]);
    contents.mainFrame.url = pageUrl;
    connect({ sender: contents, senderFrame: contents.mainFrame });
    expect(contents.mainFrame.posted.map(({ channel, ports }) => [channel, ports.length])).toEqual([[portChannel, 1]]);
    expect(children[0]?.messages.map(({ message, ports }) => [message, ports.length])).toEqual([[{ kind: 'connect' }, 1]]);
    for (const { ports } of [...contents.mainFrame.posted, ...(children[0]?.messages ?? [])]) for (const port of ports) port.close();
  });

  it('keeps the core in a process of its own, starts it again three times and then says so', async () => {
    const { children, calls, errors } = await start();
    expect(calls).toContain('fork /app/core.mjs --data /fake/userData');
    for (let exit = 0; exit < 4; exit += 1) children.at(-1)?.emit('exit', 134);
    expect([children.length, errors, calls.includes('exit 1')]).toEqual([4, ['Nest cannot go on'], true]);
  });

  it('closes the core before it quits, and keeps the place of the window', async () => {
    const { app, windows, children, calls, stored } = await start();
    windows[0]?.emit('close');
    expect(stored).toEqual([{ x: 10, y: 20, width: 1200, height: 800 }]);
    app.emit('window-all-closed');
    const first = eventOf();
    app.emit('before-quit', first);
    expect(first.isPrevented).toBe(true);
    await expect.poll(() => calls.filter((call) => call === 'quit').length).toBe(2);
    const second = eventOf();
    app.emit('before-quit', second);
    expect([second.isPrevented, children.length, children[0]?.messages.at(-1)?.message]).toEqual([false, 1, { kind: 'close' }]);
  });
});
