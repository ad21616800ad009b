/** The console's windows. */
import type { BrowserWindow, BrowserWindowConstructorOptions, Rectangle } from 'electron';
import type { WindowSettings } from './window-settings.ts';

/** Options of every window. Written out, so that no default of a later Electron can weaken them. */
export const windowOptions = ({
  preload,
  icon,
  isPackaged,
  bounds,
}: {
  readonly preload: string;
  readonly icon: string;
  readonly isPackaged: boolean;
  readonly bounds: Partial<Rectangle>;
}): BrowserWindowConstructorOptions => ({
  width: 1440,
  height: 900,
  ...bounds,
  minWidth: 960,
  minHeight: 600,
  show: false,
  title: 'Nest',
  icon,
  backgroundColor: '#0f172a',
  autoHideMenuBar: true,
  webPreferences: {
    preload,
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
    devTools: !isPackaged,
  },
});

/** Shows the window when its first picture is there, and keeps its place for the next start. */
export const openWindow = (window: BrowserWindow, url: string, settings: WindowSettings): void => {
  window.once('ready-to-show', () => {
    window.show();
  });
  window.on('close', () => {
    settings.putBounds(window.getNormalBounds());
  });
  window.removeMenu();
  void window.loadURL(url);
};
