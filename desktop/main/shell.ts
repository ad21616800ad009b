/**
 * The desktop application around the page: one instance, hardened web contents, the core in a process of its own. The
 * Electron module is passed in; this file and what it calls never import it at run time.
 */
import type * as Electron from 'electron';
import type { PageFolder } from '../lib/page-folder.ts';
import { navigateChannel } from '../bridge/desktop-channels.ts';
import { serveChannels } from './channel-broker.ts';
import { guardApplication, guardSession } from './contents-guard.ts';
import { startCoreProcess } from './core-process.ts';
import type { CoreProcess } from './core-process.ts';
import { deepLinkOf, parseDeepLink } from './deep-link.ts';
import { pageOrigin, registerPageScheme, servePage } from './page-scheme.ts';
import { openWindow, windowOptions } from './window.ts';
import type { WindowSettings } from './window-settings.ts';

export type ElectronModule = Pick<
  typeof Electron,
  | 'app'
  | 'protocol'
  | 'session'
  | 'shell'
  | 'ipcMain'
  | 'BrowserWindow'
  | 'MessageChannelMain'
  | 'utilityProcess'
  | 'dialog'
  | 'screen'
  | 'Menu'
>;

export interface ShellOptions {
  readonly args: readonly string[];
  /** Absolute paths. */
  readonly paths: { readonly preload: string; readonly core: string; readonly icon: string };
  readonly openPages: () => PageFolder;
  readonly openSettings: (isVisible: (bounds: Electron.Rectangle) => boolean) => WindowSettings;
  readonly newNonce: () => string;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

/** Switches by which another program could look into a released application. */
const switchesRefused = [
  'remote-debugging-port',
  'remote-debugging-pipe',
  'inspect',
  'inspect-brk',
  'js-flags',
  'disable-web-security',
  'no-sandbox',
  'host-rules',
  'load-extension',
] as const;

/** Starts the application; resolves when the first window is made, or at once when this is a second instance. */
export const startShell = async (electron: ElectronModule, options: ShellOptions): Promise<void> => {
  const { app } = electron;
  app.enableSandbox();
  registerPageScheme(electron.protocol);
  if (app.isPackaged && switchesRefused.some((name) => app.commandLine.hasSwitch(name))) {
    app.exit(1);
    return;
  }
  if (!app.requestSingleInstanceLock()) {
    app.quit();
    return;
  }
  guardApplication(app, electron.shell);
  const show = showLinks(electron, options.args);
  if (app.isPackaged) app.setAsDefaultProtocolClient('nest');
  await app.whenReady();
  electron.Menu.setApplicationMenu(null);
  guardSession(electron.session.defaultSession, app.isPackaged);
  servePage(electron.protocol, options.openPages(), options.newNonce);
  const core = startCore(electron, options);
  serveChannels({
    ipcMain: electron.ipcMain,
    createChannel: () => new electron.MessageChannelMain(),
    windowIds: () => new Set(electron.BrowserWindow.getAllWindows().map((window) => window.webContents.id)),
    connectCore: (port) => {
      core.connect(port);
    },
  });
  const settings = options.openSettings((bounds) => isOnScreen(electron.screen, bounds));
  const open = (): void => {
    const window = new electron.BrowserWindow(
      windowOptions({ preload: options.paths.preload, icon: options.paths.icon, isPackaged: app.isPackaged, bounds: settings.bounds() }),
    );
    openWindow(window, `${pageOrigin}/#${show.first()}`, settings);
  };
  app.on('activate', () => {
    if (electron.BrowserWindow.getAllWindows().length === 0) open();
  });
  open();
};

/** Deep links from the command line, a second instance and the system; a link before the first window chooses its view. */
const showLinks = ({ app, BrowserWindow }: ElectronModule, args: readonly string[]): { first(): string } => {
  let first = deepLinkOf(args);
  const show = (path: string | undefined): void => {
    const window = BrowserWindow.getAllWindows()[0];
    if (window === undefined) {
      first = path ?? first;
      return;
    }
    if (window.isMinimized()) window.restore();
    window.focus();
    if (path !== undefined) window.webContents.send(navigateChannel, path);
  };
  app.on('second-instance', (_event, secondArgs) => {
    show(deepLinkOf(secondArgs));
  });
  app.on('open-url', (event, url) => {
    event.preventDefault();
    show(parseDeepLink(url));
  });
  return {
    first: () => {
      const path = first ?? '/';
      first = undefined;
      return path;
    },
  };
};

const startCore = ({ app, dialog, utilityProcess }: ElectronModule, options: ShellOptions): CoreProcess => {
  const core = startCoreProcess({
    now: options.now,
    fork: () =>
      utilityProcess.fork(options.paths.core, ['--data', app.getPath('userData')], { serviceName: 'Nest core', stdio: 'inherit' }),
    onGivenUp: (exitCode) => {
      dialog.showErrorBox(
        'Nest cannot go on',
        `The console core ended again and again (code ${exitCode}). Start Nest again; if it stays, look into its log.`,
      );
      app.exit(1);
    },
  });
  app.on('window-all-closed', () => {
    app.quit();
  });
  let isClosed = false;
  app.on('before-quit', (event) => {
    if (isClosed) return;
    event.preventDefault();
    void core.close().then(() => {
      isClosed = true;
      app.quit();
    });
  });
  return core;
};

const isOnScreen = (screen: Pick<Electron.Screen, 'getAllDisplays'>, { x, y, width, height }: Electron.Rectangle): boolean =>
  screen
    .getAllDisplays()
    .some(
      ({ workArea }) =>
        x + width > workArea.x + 100 &&
        x < workArea.x + workArea.width - 100 &&
        y >= workArea.y &&
        y + Math.min(height, 100) < workArea.y + workArea.height,
    );
