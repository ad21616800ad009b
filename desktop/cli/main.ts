/** Entry of the `nest` command. */
import { readVersion } from '../lib/version.ts';
import { runCommandLine } from './command-line.ts';
import { processTerminal } from './terminal.ts';

const stop = new AbortController();
// Not `once`: the settings package sends each signal to this process a second time, which would then end it half closed.
const interrupt = (): void => {
  stop.abort();
};
process.on('SIGINT', interrupt);
process.on('SIGTERM', interrupt);

process.exitCode = await runCommandLine({
  args: process.argv.slice(2),
  environment: process.env,
  platform: process.platform,
  terminal: processTerminal(),
  version: readVersion(import.meta.url),
  signal: stop.signal,
});
// Whatever still holds the loop open (a keychain's own thread) must not keep the shell waiting.
process.stdout.write('', () => process.exit());
