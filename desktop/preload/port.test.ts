import { describe, expect, it } from 'vitest';
import { connectChannel, navigateChannel, portChannel } from '../bridge/desktop-channels.ts';
import { createDesktopPort } from './port.ts';
import type { IpcLike } from './port.ts';

/** A port played by hand. */
const createPort = () => {
  const listeners = new Map<string, (event: { readonly data: unknown }) => void>();
  const port = {
    posted: [] as string[],
    isClosed: false,
    postMessage: (text: string) => {
      port.posted.push(text);
    },
    close: () => {
      port.isClosed = true;
    },
    start: () => undefined,
    addEventListener: (type: string, listener: (event: { readonly data: unknown }) => void) => {
      listeners.set(type, listener);
    },
    say: (data: unknown) => listeners.get('message')?.({ data }),
    end: () => listeners.get('close')?.({ data: null }),
  };
  return port;
};

const begin = (answer: () => Promise<unknown> = () => Promise.resolve()) => {
  const listeners = new Map<string, Parameters<IpcLike['on']>[1]>();
  const invoked: string[] = [];
  const ipc: IpcLike = {
    invoke: (channel) => {
      invoked.push(channel);
      return answer();
    },
    on: (channel, listener) => listeners.set(channel, listener),
  };
  const desktop = createDesktopPort(ipc, 'linux');
  const deliver = (...ports: readonly ReturnType<typeof createPort>[]): void => {
    listeners.get(portChannel)?.({ ports }, null);
  };
  const got: string[] = [];
  let closes = 0;
  const connect = () =>
    desktop.connect(
      (text) => got.push(text),
      () => {
        closes += 1;
      },
    );
  return {
    desktop,
    deliver,
    connect,
    got,
    invoked,
    closes: () => closes,
    navigate: (path: unknown) => listeners.get(navigateChannel)?.({ ports: [] }, path),
  };
};

describe('window.nest', () => {
  it('gives the page texts and functions alone', async () => {
    const { desktop, connect, deliver, got, invoked, closes } = begin();
    expect(Object.keys(desktop).sort()).toEqual(['connect', 'onNavigate', 'platform']);
    const port = createPort();
    const linked = connect();
    deliver(port);
    const link = await linked;
    expect([invoked, Object.keys(link).sort()]).toEqual([[connectChannel], ['close', 'send']]);
    for (const data of ['a', { t: 'b' }, new ArrayBuffer(1), null]) port.say(data);
    link.send('c');
    link.send({ t: 'd' } as unknown as string);
    expect([got, port.posted]).toEqual([['a'], ['c']]);
    port.end();
    link.close();
    link.send('late');
    port.say('late');
    expect([got, port.posted, port.isClosed, closes()]).toEqual([['a'], ['c'], true, 1]);
  });

  it('ends the link before when the page connects again, and closes a port nobody asked for', async () => {
    const { connect, deliver, closes } = begin();
    const [first, second, stray] = [createPort(), createPort(), createPort()];
    const one = connect();
    deliver(first);
    await one;
    const two = connect();
    deliver(second);
    await two;
    deliver(stray);
    deliver();
    expect([first.isClosed, second.isClosed, stray.isClosed, closes()]).toEqual([true, false, true, 1]);
  });

  it('passes the refusal of the shell on', async () => {
    const { connect } = begin(() => Promise.reject(new Error('Only the window of Nest may reach its core.')));
    await expect(connect()).rejects.toThrow('Only the window of Nest');
  });

  it('tells the page of views as texts only', () => {
    const { desktop, navigate } = begin();
    const paths: string[] = [];
    desktop.onNavigate((path) => paths.push(path));
    navigate('/hosts');
    navigate({ path: '/policy' });
    expect(paths).toEqual(['/hosts']);
  });
});
