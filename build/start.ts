/**
 * npm start: builds what is stale, starts the demo fleet and the console, prints the address and opens it. On Linux with
 * root the fleet is the lab; elsewhere it is one local agent that observes. Ends everything it started, however it ends.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { buildAll } from './build.ts';
import { endSignal, startChild } from './child.ts';
import { setup } from './setup.ts';
import { root } from './stamp.ts';

const help = `npm start [-- <options>]

Builds what is stale, starts a demo fleet and the console, prints the console's address and opens it.

  --headless       opens nothing
  --port <number>  port of the console; a free one unless given
  --help
`;
const stopGraceMs = 30_000;
const electronFetchMs = 10_000;

const hasDisplay = (): boolean => process.platform !== 'linux' || (process.env['DISPLAY'] ?? process.env['WAYLAND_DISPLAY'] ?? '') !== '';

/** Program file of the Electron runtime, fetched when the network allows; or why there is none. */
const electronRuntime = (): { readonly file: string } | { readonly reason: string } => {
  if (process.platform === 'linux' && process.getuid?.() === 0) return { reason: 'Electron does not run sandboxed as root' };
  const folder = join(root, 'node_modules/electron');
  const fileOf = (): string | undefined => {
    const name = join(folder, 'path.txt');
    const file = existsSync(name) ? join(folder, 'dist', readFileSync(name, 'utf8').trim()) : undefined;
    return file !== undefined && existsSync(file) ? file : undefined;
  };
  if (fileOf() === undefined)
    spawnSync(process.execPath, [join(folder, 'install.js')], { stdio: 'ignore', timeout: electronFetchMs, killSignal: 'SIGKILL' });
  const file = fileOf();
  return file === undefined
    ? { reason: `the Electron runtime is not here and could not be fetched in ${electronFetchMs / 1000} s` }
    : { file };
};

/** Best effort: the address is printed in any case. */
const openAddress = (address: string): void => {
  if (!hasDisplay()) {
    console.log('There is no display: open the address above in a browser of this machine, or through an SSH tunnel.');
    return;
  }
  const openers: Readonly<Record<string, readonly string[]>> = {
    darwin: ['open', address],
    win32: ['rundll32', 'url.dll,FileProtocolHandler', address],
  };
  const [program = '', ...args] = openers[process.platform] ?? ['xdg-open', address];
  const child = spawn(program, args, { stdio: 'ignore', detached: true });
  child.once('error', () => console.log('No browser could be opened: open the address above.'));
  child.unref();
};

const openConsole = (address: string): void => {
  const runtime = hasDisplay() ? electronRuntime() : { reason: 'there is no display' };
  if ('reason' in runtime) {
    console.log(`The console is served to the browser: ${runtime.reason}.`);
  } else {
    console.log('The desktop application opens with a fleet of its own; the demo fleet is at the address above.');
    const child = spawn(runtime.file, [root], { stdio: 'ignore', detached: true });
    child.once('error', (error) => console.log(`Electron could not be started: ${error.message}`));
    child.unref();
  }
  openAddress(address);
};

const main = async (): Promise<number> => {
  const { values } = parseArgs({ options: { headless: { type: 'boolean' }, port: { type: 'string' }, help: { type: 'boolean' } } });
  if (values.help === true) {
    console.log(help);
    return 0;
  }
  const started = performance.now();
  const end = endSignal();
  const { mode, reason } = await setup('start');
  await buildAll();
  if (end.aborted) return 0;
  if (reason !== '') console.log(`Observe mode: ${reason}.`);

  const web = [
    process.execPath,
    join(root, 'dist/desktop/web/web.mjs'),
    '--port',
    values.port ?? '0',
    '--data',
    '{folder}/console',
    '--demo',
    '{manifest}',
  ];
  const fleet = startChild([
    process.execPath,
    join(root, 'test/lab/main.ts'),
    ...(mode === 'lab' ? ['run', '--traffic'] : ['local']),
    '--',
    ...web,
  ]);
  end.addEventListener('abort', () => {
    console.log('\nstopping the console and the fleet');
    void fleet.stop(stopGraceMs);
  });
  let isUp = false;
  if (fleet.process.stdout !== null) {
    createInterface({ input: fleet.process.stdout }).on('line', (line) => {
      console.log(line);
      const address = /^Nest console: (\S+)/.exec(line)?.[1];
      if (address === undefined || isUp) return;
      isUp = true;
      console.log(`Ready after ${((performance.now() - started) / 1000).toFixed(1)} s. Ctrl-C ends everything.`);
      if (values.headless !== true) openConsole(address);
    });
  }
  const code = await fleet.ended;
  if (end.aborted) {
    console.log('stopped, nothing is left running');
    return 0;
  }
  if (!isUp) console.error('The console did not come up; the reason is printed above.');
  return code === 0 ? 1 : code;
};

process.exit(await main());
