/** Command line of the lab: npm run lab -- up|down|exec|status|run|local. */
import { spawn, type ChildProcess } from 'node:child_process';
import { parseArgs } from 'node:util';
import { hosts, Lab, manifestPath, takeLabDown } from './lab.ts';
import { readLabState, runFolder } from './lab-state.ts';
import { startLocalFleet } from './local-fleet.ts';
import { isAlive } from './process-record.ts';
import { labMounts, presentNamespaces } from './teardown.ts';
import { places, webServers } from './topology.ts';

const help = `npm run lab -- <command>

  up [--traffic] [--no-agents]     brings the fleet up and leaves it up
  down                             takes it down; also cleans what a killed run left
  exec <place> -- <command...>     runs a command in ${Object.keys(places).join(', ')}
  status [--json]                  what is up
  stop <server>, start <server>    kills and starts one of ${webServers.join(', ')}, the servers behind virtual addresses
  run [--traffic] [--no-agents] -- <command...>
                                   brings the fleet up, runs the command, takes the fleet down when the command ends,
                                   at Ctrl-C, or when standard input closes
  local -- <command...>            the same with one local agent that observes; needs neither Linux nor root

Options: --help. In the command of run and local, {manifest} stands for the path of the demo manifest and {folder} for
a folder that is removed at the end.
`;

const status = (asJson: boolean): void => {
  const state = readLabState();
  const report = {
    phase: state?.phase ?? 'down',
    namespaces: presentNamespaces(),
    mounts: labMounts(),
    processes: (state?.processes ?? []).map((record) => ({ ...record, isAlive: isAlive(record) })),
    hosts: hosts.map(({ name, managementAddress, configPath, logPath }) => ({ name, managementAddress, configPath, logPath })),
  };
  if (asJson) {
    console.log(JSON.stringify(report, null, 2));
    return;
  }
  console.log(`lab is ${report.phase === 'partial' ? 'half up: npm run lab -- down cleans it' : report.phase}`);
  for (const { name, pid, isAlive: alive } of report.processes) console.log(`  ${name.padEnd(16)} ${alive ? `process ${pid}` : 'ended'}`);
};

const exec = async (place: string, argv: readonly string[]): Promise<number> => {
  const namespace = places[place];
  if (namespace === undefined || argv.length === 0)
    throw new Error(`Give a place (${Object.keys(places).join(', ')}) and a command: npm run lab -- exec client -- ping 198.19.1.10`);
  const child = spawn('ip', ['netns', 'exec', namespace, ...argv], { stdio: 'inherit' });
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  child.once('error', reject);
  child.once('exit', (code) => resolve(code ?? 1));
  return promise;
};

/** Aborts at the signals, and when standard input closes: that is how a killed parent is noticed. */
const endOfOwner = (): AbortSignal => {
  const end = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => end.abort());
  if (!process.stdin.isTTY) {
    process.stdin.on('end', () => end.abort()).on('error', () => end.abort());
    process.stdin.resume();
  }
  return end.signal;
};

/** Exit code of the child, or 0 when the owner ends first. */
const untilEnd = async (child: ChildProcess, end: AbortSignal): Promise<number> => {
  const { promise, resolve } = Promise.withResolvers<number>();
  child.ref();
  child.once('error', () => resolve(1));
  child.once('exit', (code) => resolve(code ?? 1));
  end.addEventListener('abort', () => resolve(0), { once: true });
  if (end.aborted) resolve(0);
  return promise;
};

const filledIn = (argv: readonly string[], folder: string, manifest: string): readonly string[] =>
  argv.map((word) => word.replaceAll('{folder}', folder).replaceAll('{manifest}', manifest));

/** Lives as long as the command and the owner; then the lab is down. */
const runWithin = async (options: { readonly traffic: boolean; readonly agents: boolean }, argv: readonly string[]): Promise<number> => {
  const end = endOfOwner();
  try {
    await using lab = await Lab.up({ ...options, signal: end, progress: (line) => console.log(`lab: ${line}`) });
    return await untilEnd(lab.spawnOutside('command', filledIn(argv, runFolder, manifestPath)), end);
  } catch (error) {
    if (end.aborted) return 0;
    throw error;
  } finally {
    process.stdin.destroy();
  }
};

/** The same with the local agent. */
const runLocal = async (argv: readonly string[]): Promise<number> => {
  const end = endOfOwner();
  try {
    await using fleet = await startLocalFleet();
    const [program = '', ...args] = filledIn(argv, fleet.folder, fleet.manifestPath);
    const child = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit'] });
    const code = await untilEnd(child, end);
    if (child.exitCode === null && child.signalCode === null) {
      const { promise, resolve } = Promise.withResolvers<void>();
      child.once('exit', () => resolve());
      child.kill('SIGTERM');
      await promise;
    }
    return code;
  } finally {
    process.stdin.destroy();
  }
};

const main = async (): Promise<number> => {
  const split = process.argv.indexOf('--', 2);
  const own = process.argv.slice(2, split === -1 ? undefined : split);
  const argv = split === -1 ? [] : process.argv.slice(split + 1);
  const { values, positionals } = parseArgs({
    args: own,
    allowPositionals: true,
    options: { help: { type: 'boolean' }, json: { type: 'boolean' }, traffic: { type: 'boolean' }, 'no-agents': { type: 'boolean' } },
  });
  const [verb = 'help', place = ''] = positionals;
  const options = { traffic: values.traffic === true, agents: values['no-agents'] !== true };
  if (values.help === true || verb === 'help') {
    console.log(help);
    return 0;
  }
  switch (verb) {
    case 'up':
      await Lab.up({ ...options, detached: true, progress: (line) => console.log(`lab: ${line}`) });
      return 0;
    case 'down': {
      const found = await takeLabDown();
      console.log(found.length === 0 ? 'lab: nothing was up' : `lab: taken down (${found.join(', ')})`);
      return 0;
    }
    case 'exec':
      // Without a second "--" the command may have no options of its own.
      return exec(place, argv.length > 0 ? argv : positionals.slice(2));
    case 'status':
      status(values.json === true);
      return 0;
    case 'start':
      Lab.attach().startWebServer(place);
      return 0;
    case 'stop':
      await Lab.attach().stopWebServer(place);
      return 0;
    case 'run':
      return runWithin(options, argv);
    case 'local':
      return runLocal(argv);
    default:
      console.error(`There is no command '${verb}'.\n\n${help}`);
      return 2;
  }
};

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
