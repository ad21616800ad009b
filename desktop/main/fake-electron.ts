/** A stand-in for the Electron module in tests: it records what the shell asks for, and lets a test play the user and the page. */
import { EventEmitter } from 'node:events';
import { MessageChannel } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import type { ElectronModule } from './shell.ts';

/** A message port with Electron's shape over Node's own: texts are really cloned and really asynchronous. */
export class FakePort extends EventEmitter {
  readonly #port: MessagePort;

  constructor(port: MessagePort) {
    super();
    this.#port = port;
    port.on('close', () => this.emit('close'));
  }

  start(): void {
    this.#port.on('message', (data: unknown) => this.emit('message', { data }));
  }

  postMessage(data: unknown): void {
    this.#port.postMessage(data);
  }

  close(): void {
    this.#port.close();
  }

  /** The same port with the shape the page's world sees. */
  addEventListener(type: string, listener: (event: never) => void): void {
    this.on(type, listener as (event: unknown) => void);
  }
}

/** A channel as `new MessageChannelMain()` makes it. */
export class FakeChannel {
  readonly port1: FakePort;
  readonly port2: FakePort;

  constructor() {
    const { port1, port2 } = new MessageChannel();
    this.port1 = new FakePort(port1);
    this.port2 = new FakePort(port2);
  }
}

export class FakeContents extends EventEmitter {
  readonly id: number;
  readonly mainFrame: {
    url: string;
    readonly posted: { readonly channel: string; readonly ports: readonly FakePort[] }[];
    postMessage(channel: string, message: unknown, ports: readonly FakePort[]): void;
  };
  readonly sent: { readonly channel: string; readonly value: unknown }[] = [];
  windowOpenHandler: ((details: { url: string }) => { action: string }) | undefined;
  onPosted: (channel: string, ports: readonly FakePort[]) => void = () => undefined;

  constructor(id: number, url: string) {
    super();
    this.id = id;
    const posted: { readonly channel: string; readonly ports: readonly FakePort[] }[] = [];
    this.mainFrame = {
      url,
      posted,
      postMessage: (channel, _message, ports) => {
        posted.push({ channel, ports });
        this.onPosted(channel, ports);
      },
    };
  }

  getURL(): string {
    return this.mainFrame.url;
  }

  send(channel: string, value: unknown): void {
    this.sent.push({ channel, value });
  }

  setWindowOpenHandler(handler: (details: { url: string }) => { action: string }): void {
    this.windowOpenHandler = handler;
  }
}

class FakeWindow extends EventEmitter {
  readonly options: { readonly webPreferences: Record<string, unknown> } & Record<string, unknown>;
  readonly webContents: FakeContents;
  readonly calls: string[] = [];
  isMinimizedNow = false;

  constructor(options: { readonly webPreferences: Record<string, unknown> }, id: number) {
    super();
    this.options = { ...options };
    this.webContents = new FakeContents(id, '');
  }

  loadURL(url: string): Promise<void> {
    this.webContents.mainFrame.url = url;
    return Promise.resolve();
  }

  getNormalBounds(): { x: number; y: number; width: number; height: number } {
    return { x: 10, y: 20, width: 1200, height: 800 };
  }

  isMinimized(): boolean {
    return this.isMinimizedNow;
  }

  show(): void {
    this.calls.push('show');
  }

  focus(): void {
    this.calls.push('focus');
  }

  restore(): void {
    this.calls.push('restore');
  }

  removeMenu(): void {
    this.calls.push('removeMenu');
  }
}

class FakeChild extends EventEmitter {
  readonly messages: { readonly message: unknown; readonly ports: readonly FakePort[] }[] = [];

  postMessage(message: unknown, ports: readonly FakePort[] = []): void {
    this.messages.push({ message, ports });
    if (typeof message === 'object' && message !== null && 'kind' in message && message.kind === 'close')
      queueMicrotask(() => this.emit('exit', 0));
  }
}

type Handler = (event: { readonly sender: FakeContents; readonly senderFrame: unknown }) => unknown;

export interface FakeElectron {
  /** What the shell is given. */
  readonly module: ElectronModule;
  readonly app: EventEmitter;
  /** Names of what was called on the module, in order. */
  readonly calls: string[];
  readonly windows: FakeWindow[];
  readonly children: FakeChild[];
  readonly handlers: Map<string, Handler>;
  readonly schemes: Map<string, (request: { method: string; url: string }) => Promise<Response>>;
  readonly opened: string[];
  readonly errors: string[];
  /** Arguments the shell gave to the session, by the name of the setter. */
  readonly sessionSettings: Map<string, unknown>;
  readonly session: EventEmitter;
}

export interface FakeElectronOptions {
  readonly isPackaged: boolean;
  readonly isFirstInstance: boolean;
  readonly switches: readonly string[];
}

/** Makes a fake that has not been started. */
export const createFakeElectron = (options: FakeElectronOptions): FakeElectron => {
  const calls: string[] = [];
  const windows: FakeWindow[] = [];
  const children: FakeChild[] = [];
  const handlers: FakeElectron['handlers'] = new Map();
  const schemes: FakeElectron['schemes'] = new Map();
  const opened: string[] = [];
  const errors: string[] = [];
  const note = (name: string): void => {
    calls.push(name);
  };
  const app = createFakeApp(options, note);
  const { session, sessionSettings } = createFakeSession();
  const module = {
    app,
    protocol: {
      registerSchemesAsPrivileged: (list: readonly object[]) => {
        note(`registerSchemesAsPrivileged ${JSON.stringify(list)}`);
      },
      handle: (scheme: string, handler: (request: { method: string; url: string }) => Promise<Response>) => {
        schemes.set(scheme, handler);
      },
    },
    session: { defaultSession: session },
    shell: {
      openExternal: (url: string) => {
        opened.push(url);
        return Promise.resolve();
      },
    },
    ipcMain: { handle: (channel: string, handler: Handler) => handlers.set(channel, handler) },
    BrowserWindow: createFakeWindowClass(windows, app),
    MessageChannelMain: FakeChannel,
    utilityProcess: {
      fork: (path: string, args: readonly string[]) => {
        note(`fork ${path} ${args.join(' ')}`);
        const child = new FakeChild();
        children.push(child);
        return child;
      },
    },
    dialog: { showErrorBox: (title: string) => errors.push(title) },
    screen: { getAllDisplays: () => [{ workArea: { x: 0, y: 0, width: 1920, height: 1080 } }] },
    Menu: {
      setApplicationMenu: () => {
        note('setApplicationMenu');
      },
    },
  };
  // The fake has the calls the shell makes, not the thousands Electron has.
  return {
    module: module as unknown as ElectronModule,
    app,
    calls,
    windows,
    children,
    handlers,
    schemes,
    opened,
    errors,
    sessionSettings,
    session,
  };
};

const createFakeApp = ({ isPackaged, isFirstInstance, switches }: FakeElectronOptions, note: (name: string) => void): EventEmitter =>
  Object.assign(new EventEmitter(), {
    isPackaged,
    enableSandbox: () => {
      note('enableSandbox');
    },
    commandLine: { hasSwitch: (name: string) => switches.includes(name) },
    requestSingleInstanceLock: () => isFirstInstance,
    setAsDefaultProtocolClient: (scheme: string) => {
      note(`setAsDefaultProtocolClient ${scheme}`);
    },
    whenReady: () => {
      note('whenReady');
      return Promise.resolve();
    },
    getPath: (name: string) => `/fake/${name}`,
    exit: (code: number) => {
      note(`exit ${code}`);
    },
    quit: () => {
      note('quit');
    },
  });

const createFakeSession = (): Pick<FakeElectron, 'session' | 'sessionSettings'> => {
  const sessionSettings = new Map<string, unknown>();
  const keep =
    (name: string) =>
    (...values: unknown[]): void => {
      sessionSettings.set(name, values.at(-1));
    };
  const session = Object.assign(new EventEmitter(), {
    setPermissionRequestHandler: keep('permissionRequest'),
    setPermissionCheckHandler: keep('permissionCheck'),
    setDevicePermissionHandler: keep('devicePermission'),
    setSpellCheckerEnabled: keep('spellChecker'),
    webRequest: { onBeforeRequest: keep('beforeRequest') },
  });
  return { session, sessionSettings };
};

const createFakeWindowClass = (windows: FakeWindow[], app: EventEmitter): unknown =>
  class extends FakeWindow {
    constructor(options: { readonly webPreferences: Record<string, unknown> }) {
      super(options, windows.length + 1);
      windows.push(this);
      app.emit('web-contents-created', {}, this.webContents);
    }

    static getAllWindows(): readonly FakeWindow[] {
      return windows;
    }
  };
