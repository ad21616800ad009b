/** Runs sandboxed, before the page: exposes one object and nothing else. */
import { contextBridge, ipcRenderer } from 'electron';
import { createDesktopPort } from './port.ts';

contextBridge.exposeInMainWorld('nest', createDesktopPort(ipcRenderer, process.platform));
