/** Entry of the desktop application: brings Electron, files and chance together and starts the shell. */
import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import * as electron from 'electron';
import ElectronStore from 'electron-store';
import { openPageFolder } from '../lib/page-folder.ts';
import { startShell } from './shell.ts';
import { createWindowSettings, storeOptions } from './window-settings.ts';
import type { StoredSettings } from './window-settings.ts';

// Relative to dist/desktop/main/main.js, the only form this file runs in.
const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

startShell(electron, {
  args: process.argv.slice(1),
  paths: { preload: path('../preload/preload.cjs'), core: path('../core/core.mjs'), icon: path('../../../assets/icon.png') },
  openPages: () => openPageFolder(path('../renderer')),
  openSettings: (isVisible) => createWindowSettings(new ElectronStore<StoredSettings>(storeOptions), isVisible),
  newNonce: () => randomBytes(18).toString('base64url'),
  now: () => performance.now(),
}).catch((error: unknown) => {
  console.error(error);
  electron.dialog.showErrorBox('Nest cannot start', error instanceof Error ? error.message : 'Install Nest again.');
  electron.app.exit(1);
});
