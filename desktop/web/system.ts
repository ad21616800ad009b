/** Puts the web host together: core, bridge, pages and, when asked, the demo fleet. */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createBridgeServer } from '../bridge/server.ts';
import { createConsoleCore, openSystemPorts } from '../core/api.ts';
import type { ConsoleCore, CoreReport } from '../core/api.ts';
import { createTaskGroup, systemClock } from '../lib/api.ts';
import { openPageFolder } from '../lib/page-folder.ts';
import { startWebHost } from './api.ts';
import { createDemoFleet, readDemoManifest, runDemoCommand } from './demo.ts';
import type { DemoOutcome } from './demo.ts';
import type { WebOptions } from './options.ts';

export interface WebSystemOptions {
  readonly options: WebOptions;
  readonly version: string;
  readonly report: CoreReport;
  /** What became of the demo's hosts; or why there is no demo fleet. */
  /** The passphrase opens the throw-away fleet again after it was locked; it dies with the process. */
  readonly onDemo: (outcomes: readonly DemoOutcome[], passphrase: string) => void;
  readonly onDemoFailed: (error: unknown) => void;
}

export interface WebSystem {
  /** A link that lets one browser in. */
  newLink(): string;
  /** Ends connections, demo and core, and removes what was not to be kept. Idempotent. */
  close(): Promise<void>;
}

/** Starts everything; resolves when the host listens. The demo's hosts are enrolled afterwards. Raises what its parts raise. */
export const startWebSystem = async ({ options, version, report, onDemo, onDemoFailed }: WebSystemOptions): Promise<WebSystem> => {
  await using started = new AsyncDisposableStack();
  const pages = openPageFolder(options.renderer ?? builtRenderer());
  const manifest = options.demo === undefined ? undefined : await readDemoManifest(options.demo);
  const dataDirectory =
    options.dataDirectory ??
    started.adopt(mkdtempSync(join(tmpdir(), 'nest-demo-')), (folder) => {
      rmSync(folder, { recursive: true, force: true });
    });
  const core = started.adopt(createConsoleCore(openSystemPorts({ dataDirectory, version, report })), (open) => open.close());
  const bridge = started.adopt(openBridge(core, report), (open) => open.close());
  const host = started.adopt(
    await startWebHost({
      bridge,
      pages,
      port: options.port,
      clock: systemClock(),
      randomBytes,
      onFault: (error) => {
        report('a request failed', { error });
      },
    }),
    (open) => open.close(),
  );
  const tasks = started.adopt(
    createTaskGroup((_name, error) => {
      onDemoFailed(error);
    }),
    (open) => open.close(),
  );
  if (manifest !== undefined) {
    tasks.start('demo fleet', async (signal) => {
      const passphrase = randomBytes(12).toString('base64url');
      onDemo(await createDemoFleet({ manifest, handlers: core.handlers, passphrase, runCommand: runDemoCommand, signal }), passphrase);
    });
  }
  const owned = started.move();
  return { newLink: () => host.newLink(), close: () => owned.disposeAsync() };
};

const openBridge = (core: ConsoleCore, report: CoreReport): ReturnType<typeof createBridgeServer> =>
  createBridgeServer({
    handlers: core.handlers,
    now: () => performance.now(),
    newCorrelationId: () => randomBytes(6).toString('hex'),
    onFault: ({ method, correlationId, error }) => {
      report('a handler failed', { method, correlationId, error });
    },
  });

/** From the bundle in dist/desktop/web the page is beside it; from the source it is in dist. */
const builtRenderer = (): string => {
  const places = ['../renderer', '../../dist/desktop/renderer'].map((relative) => fileURLToPath(new URL(relative, import.meta.url)));
  return places.find((place) => existsSync(join(place, 'index.html')) && existsSync(join(place, 'assets'))) ?? places[1] ?? '.';
};
