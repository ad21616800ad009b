/** Entry of the core's process in the desktop application: `--data <folder>`, then ports from the shell. */
import { randomBytes } from 'node:crypto';
import { parseArgs } from 'node:util';
import type { ParentPort } from 'electron';
import { NestError } from '../../proto/model/error.ts';
import { createBridgeServer } from '../bridge/server.ts';
import { createConsoleCore, openSystemPorts } from '../core/api.ts';
import type { CoreReport } from '../core/api.ts';
import { readVersion } from '../lib/version.ts';
import { serveCore } from './core-service.ts';

const report: CoreReport = (message, fields) => {
  const { error } = fields;
  const cause = error instanceof Error ? { error: error.message, stack: error.stack } : {};
  process.stderr.write(`${JSON.stringify({ time: new Date().toISOString(), message, ...fields, ...cause })}\n`);
};

const { values } = parseArgs({ options: { data: { type: 'string' } } });
if (values.data === undefined) throw new NestError('CONFIG_INVALID', 'The core needs --data with a folder.');
const core = createConsoleCore(openSystemPorts({ dataDirectory: values.data, version: readVersion(import.meta.url), report }));
const server = createBridgeServer({
  handlers: core.handlers,
  now: () => performance.now(),
  newCorrelationId: () => randomBytes(6).toString('hex'),
  onFault: ({ method, correlationId, error }) => {
    report('a handler failed', { method, correlationId, error });
  },
});

/** What Electron adds to the process of a utility. */
const { parentPort } = process as NodeJS.Process & { readonly parentPort: ParentPort };
serveCore(parentPort, server, () => {
  void server
    .close()
    .then(() => core.close())
    .then(() => process.exit(0));
});
