/** Entry of the web host: options in, one line with the link out, everything closed on the way out. */
import { NestError } from '../../proto/model/error.ts';
import { defaultDataDirectory } from '../core/api.ts';
import type { CoreReport } from '../core/api.ts';
import { readVersion } from '../lib/version.ts';
import type { DemoOutcome } from './demo.ts';
import { parseWebOptions, usage } from './options.ts';
import { startWebSystem } from './system.ts';

/** One JSON line each on stderr; stdout is for people and for what starts us. */
const report: CoreReport = (message, fields) => {
  const { error } = fields;
  const cause = error instanceof Error ? { error: error.message, code: 'code' in error ? error.code : undefined, stack: error.stack } : {};
  process.stderr.write(`${JSON.stringify({ time: new Date().toISOString(), message, ...fields, ...cause })}\n`);
};

const showDemo = (outcomes: readonly DemoOutcome[], passphrase: string): void => {
  for (const { name, problem } of outcomes)
    if (problem !== null) process.stderr.write(`${name} was not enrolled: ${problem.message} (${problem.code})\n`);
  process.stdout.write(`Nest demo: ${outcomes.filter(({ problem }) => problem === null).length} of ${outcomes.length} hosts enrolled\n`);
  process.stdout.write(`Nest demo: ${passphrase} opens this throw-away fleet again if you lock it\n`);
};

const showFailure = (error: unknown): void => {
  if (error instanceof NestError) process.stderr.write(`${error.message} (${error.code})\n`);
  else report('the web host failed', { error });
};

const serve = async (): Promise<void> => {
  const version = readVersion(import.meta.url);
  const options = parseWebOptions({
    args: process.argv.slice(2),
    defaultDataDirectory: defaultDataDirectory(process.env, process.platform),
    folder: process.cwd(),
  });
  if (options.mode !== 'serve') {
    process.stdout.write(options.mode === 'help' ? usage : `${version}\n`);
    return;
  }
  const system = await startWebSystem({ options, version, report, onDemo: showDemo, onDemoFailed: showFailure });
  const stop = (): void => {
    void system.close().then(() => process.exit(0), showFailure);
  };
  // Not `once`: the settings package sends each signal to this process a second time, which would then end it half closed.
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  process.stdout.write(`Nest console: ${system.newLink()}\n`);
};

try {
  await serve();
} catch (error) {
  showFailure(error);
  process.exitCode = 1;
}
