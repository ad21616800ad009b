/** Entry of the page: connects to the console core, by the desktop shell's port or the web host's WebSocket, and draws. */
import { connectConsole } from '../../bridge/api.ts';
import type { DesktopPort } from '../../bridge/desktop-channels.ts';
import { startConsole } from './start.tsx';

const now = (): number => Date.now();

const start = (): void => {
  const element = document.querySelector<HTMLElement>('#root');
  if (element === null) throw new Error('the page has no #root');
  const desktop = (window as { readonly nest?: DesktopPort }).nest;
  const bridge = connectConsole({
    desktop,
    host: window.location.host,
    openWebSocket: (url) => new WebSocket(url),
    clock: {
      now: () => performance.now(),
      after: (delayMs, task) => {
        const timer = setTimeout(task, delayMs);
        return () => clearTimeout(timer);
      },
      random: () => Math.random(),
    },
  });
  desktop?.onNavigate((path) => {
    window.location.hash = path;
  });
  const nonce = document.querySelector<HTMLMetaElement>('meta[name="nest-nonce"]')?.content;
  startConsole({ bridge, link: bridge, element, nonce: nonce === '' ? undefined : nonce, now });
};

start();
