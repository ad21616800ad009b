/**
 * The lab: a fleet of three hosts in network namespaces of this machine, with real clients and servers around it. Used
 * by `npm start`, integration, e2e and bench. One lab exists at a time; whoever brings it up takes it down, and a lab
 * that a killed process left behind is cleaned by the next. It never touches a namespace, link or mount it did not name.
 */
import { existsSync, mkdirSync, openSync, closeSync, readFileSync, writeFileSync } from 'node:fs';
import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { agentArgv, agentBundle, agentConfig, demoManifest, labHost, nodePath, type LabHost, type TrafficMode } from './agent-config.ts';
import { command, tryCommand, type CommandOptions, type CommandResult } from './command.ts';
import { takeLabLock } from './lab-lock.ts';
import { readLabState, runFolder, writeLabState } from './lab-state.ts';
import { makeNetwork } from './network.ts';
import { endProcesses, hasEnded, isAlive, recordOf, signalProcess, type ProcessRecord } from './process-record.ts';
import { teardown } from './teardown.ts';
import { clientNamespace, labHosts, metricsPort, places, serverNamespace, serverPorts, webServers } from './topology.ts';

/** How long an agent may take until its health page answers. */
const agentReadyMs = 20_000;
const logTailLines = 15;

export const manifestPath = `${runFolder}/manifest.json`;
export const hosts: readonly LabHost[] = labHosts.map(labHost);

export interface LabOptions {
  /** Start an agent on each host; true unless given. Needs the bundles of `npm run build`. */
  readonly agents?: boolean;
  /** Steady client traffic of a few hundred packets a second; off unless given. */
  readonly traffic?: boolean;
  /** Mode of the agents' data path; 'auto' unless given. */
  readonly mode?: TrafficMode;
  /** Leave the lab up when this process ends (`lab up`). */
  readonly detached?: boolean;
  readonly signal?: AbortSignal;
  /** One line a step. */
  readonly progress?: (line: string) => void;
}

export class Lab implements AsyncDisposable {
  readonly #lock: AsyncDisposable | undefined;
  #isDown = false;

  private constructor(lock: AsyncDisposable | undefined) {
    this.#lock = lock;
  }

  /**
   * Brings the lab up, first cleaning what a dead process left. Throws when another live process holds it, or when
   * `lab up` made one that is still up; after any other failure nothing is left behind.
   */
  static async up(options: LabOptions = {}): Promise<Lab> {
    if (process.platform !== 'linux' || process.getuid?.() !== 0)
      throw new Error('The lab needs Linux and root: network namespaces are made. Run it with sudo.');
    const lock = await takeLabLock();
    const left = readLabState();
    if (left?.phase === 'up' && left.owner === null) {
      await lock[Symbol.asyncDispose]();
      throw new Error('A lab is up already. Take it down with npm run lab -- down, then try again.');
    }
    const lab = new Lab(lock);
    try {
      await lab.#build(options);
    } catch (error) {
      await lab[Symbol.asyncDispose]();
      throw error;
    }
    if (options.detached === true) {
      writeLabState({ ...lab.state(), phase: 'up', owner: null });
      await lock[Symbol.asyncDispose]();
    } else writeLabState({ ...lab.state(), phase: 'up' });
    return lab;
  }

  /** The lab another process of ours brought up. Disposing this does not take it down. */
  static attach(): Lab {
    if (readLabState()?.phase !== 'up') throw new Error('The lab is not up. Bring it up with npm run lab -- up.');
    return new Lab(undefined);
  }

  async #build(options: LabOptions): Promise<void> {
    const progress = options.progress ?? (() => undefined);
    const signal = options.signal ?? new AbortController().signal;
    const cleaned = await teardown();
    if (cleaned.length > 0) progress(`cleaned after an earlier run: ${cleaned.join(', ')}`);
    writeLabState({ phase: 'partial', owner: recordOf('owner', process.pid), processes: [] });
    await makeNetwork(signal);
    progress('network of three hosts, a client and a server side');
    for (const host of hosts) {
      mkdirSync(host.bpffs, { recursive: true });
      mkdirSync(host.stateDir, { recursive: true, mode: 0o700 });
      await command(['mount', '-t', 'bpf', 'nest-lab', host.bpffs], { signal });
      writeFileSync(host.configPath, JSON.stringify(agentConfig(host, options.mode ?? 'auto'), null, 2));
    }
    writeFileSync(manifestPath, JSON.stringify(demoManifest(hosts), null, 2));
    await this.#startServers(signal);
    progress(
      `servers: http ${serverPorts.http} and ${serverPorts.httpAlternate}, tcp ${serverPorts.tcpSink}, udp ${serverPorts.udpEcho}, iperf3 ${serverPorts.iperf}; ${webServers.join(', ')} on ${serverPorts.web}`,
    );
    if (options.agents !== false) {
      await Promise.all(hosts.map((host) => this.startAgent(host, signal)));
      progress(`agents of ${hosts.map(({ name }) => name).join(', ')}`);
    }
    if (options.traffic === true) {
      this.spawn(clientNamespace, 'traffic', [nodePath, join(import.meta.dirname, 'traffic.ts')]);
      for (const host of hosts) this.spawn(clientNamespace, `ping-${host.number}`, ['ping', '-q', '-i', '0.2', host.server4]);
      progress('steady traffic');
    }
  }

  async #startServers(signal: AbortSignal): Promise<void> {
    const http = [serverPorts.http, serverPorts.httpAlternate].flatMap((port) => ['--http', String(port)]);
    this.spawn(serverNamespace, 'server', [
      nodePath,
      join(import.meta.dirname, 'server.ts'),
      ...http,
      '--udp',
      String(serverPorts.udpEcho),
    ]);
    this.spawn(serverNamespace, 'iperf3', ['iperf3', '-s', '-p', String(serverPorts.iperf)]);
    this.spawn(serverNamespace, 'nc', ['nc', '-l', '-k', String(serverPorts.tcpSink)]);
    for (const name of webServers) this.startWebServer(name);
    for (const port of [serverPorts.http, serverPorts.iperf, serverPorts.tcpSink, serverPorts.web]) {
      for (let attempt = 0; ; attempt += 1) {
        const { stdout } = await tryCommand(['ip', 'netns', 'exec', serverNamespace, 'ss', '-Hltn', `sport = :${port}`], { signal });
        if (stdout.trim() !== '') break;
        if (attempt === 200)
          throw new Error(`Nothing listens on port ${port} of the server side after ten seconds. See the logs in ${runFolder}.`);
        await sleep(50, undefined, { signal });
      }
    }
  }

  /** Starts one of the servers behind the hosts' virtual addresses, when it is not running. */
  startWebServer(name: string): void {
    const index = webServers.findIndex((known) => known === name);
    if (index === -1) throw new Error(`There is no web server '${name}' in the lab. There are: ${webServers.join(', ')}.`);
    if (this.state().processes.some((record) => record.name === name && isAlive(record))) return;
    const addresses = labHosts.flatMap(({ web4, web6 }) => [...web4.slice(index, index + 1), ...web6.slice(index, index + 1)]);
    this.spawn(serverNamespace, name, [
      nodePath,
      join(import.meta.dirname, 'server.ts'),
      '--web',
      name,
      '--port',
      String(serverPorts.web),
      ...addresses.flatMap((address) => ['--address', address]),
    ]);
  }

  /** Kills one of them at once, connections and all. */
  async stopWebServer(name: string): Promise<void> {
    if (!webServers.some((known) => known === name))
      throw new Error(`There is no web server '${name}' in the lab. There are: ${webServers.join(', ')}.`);
    const record = this.state().processes.findLast((candidate) => candidate.name === name && isAlive(candidate));
    if (record === undefined) return;
    signalProcess(record, 'SIGKILL');
    await hasEnded(record, 5000);
  }

  /** Processes and phase as recorded now. */
  state(): { readonly phase: 'partial' | 'up'; readonly owner: ProcessRecord | null; readonly processes: readonly ProcessRecord[] } {
    return readLabState() ?? { phase: 'partial', owner: null, processes: [] };
  }

  /** Starts a long-lived program in a namespace and records it; it ends with the lab. Its output goes to `<run folder>/<name>.log`. */
  spawn(namespace: string, name: string, argv: readonly string[]): ChildProcess {
    return this.#launch({ name, argv: ['ip', 'netns', 'exec', namespace, ...argv], logPath: `${runFolder}/${name}.log` });
  }

  /** Starts a long-lived program outside the namespaces with our own output, for instance the console; it ends with the lab. */
  spawnOutside(name: string, argv: readonly string[]): ChildProcess {
    return this.#launch({ name, argv, logPath: null });
  }

  #launch({
    name,
    argv,
    logPath,
  }: {
    readonly name: string;
    readonly argv: readonly string[];
    readonly logPath: string | null;
  }): ChildProcess {
    const [program = '', ...args] = argv;
    const log = logPath === null ? 'inherit' : openSync(logPath, 'a');
    // A session of its own: the terminal's Ctrl-C reaches only the lab's owner, who then ends things in order.
    const child = spawn(program, args, { detached: true, stdio: ['ignore', log, log] });
    if (log !== 'inherit') closeSync(log);
    if (child.pid === undefined) throw new Error(`${program} could not be started. Is it installed? See build/setup.ts.`);
    child.unref();
    const state = this.state();
    writeLabState({ ...state, processes: [...state.processes.filter(isAlive), recordOf(name, child.pid)] });
    return child;
  }

  /** Runs a command in a place ('client', 'server', 'edge-1'...) to its end. */
  exec(place: string, argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    const namespace = places[place];
    if (namespace === undefined) throw new Error(`There is no place '${place}' in the lab. Places: ${Object.keys(places).join(', ')}.`);
    return tryCommand(['ip', 'netns', 'exec', namespace, ...argv], options);
  }

  /** The agent's process; undefined when none was started or it has ended. */
  agentProcess(host: LabHost): ProcessRecord | undefined {
    return this.state().processes.findLast((record) => record.name === `agent-${host.name}` && isAlive(record));
  }

  /** Starts the agent and waits until its health page answers. Throws with the end of its log when it does not. */
  async startAgent(host: LabHost, signal: AbortSignal): Promise<ProcessRecord> {
    if (!existsSync(agentBundle)) throw new Error('The agent is not built. Run npm run build first.');
    const name = `agent-${host.name}`;
    this.#launch({ name, argv: agentArgv(host, ['run']), logPath: host.logPath });
    const record = this.state().processes.findLast((candidate) => candidate.name === name);
    if (record === undefined) throw new Error(`The agent of ${host.name} was not recorded.`);
    writeFileSync(`${host.folder}/agent.pid`, `${record.pid}\n`);
    const deadline = performance.now() + agentReadyMs;
    while (!(await isHealthPageUp(host, signal))) {
      if (!isAlive(record)) throw new Error(`The agent of ${host.name} ended at once:\n${agentLogTail(host)}`);
      if (performance.now() > deadline)
        throw new Error(`The agent of ${host.name} gave no sign of health in ${agentReadyMs / 1000} s:\n${agentLogTail(host)}`);
      await sleep(50, undefined, { signal });
    }
    return record;
  }

  /** Ends the agent, by SIGTERM (then SIGKILL after five seconds) or at once by SIGKILL. */
  async stopAgent(host: LabHost, how: 'term' | 'kill' = 'term'): Promise<void> {
    const record = this.agentProcess(host);
    if (record === undefined) return;
    if (how === 'term') {
      await endProcesses([record]);
      return;
    }
    signalProcess(record, 'SIGKILL');
    await hasEnded(record, 5000);
  }

  /** Takes the lab down when this process brought it up. Idempotent. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#lock === undefined || this.#isDown) return;
    this.#isDown = true;
    await teardown();
    await this.#lock[Symbol.asyncDispose]();
  }
}

const isHealthPageUp = async (host: LabHost, signal: AbortSignal): Promise<boolean> => {
  try {
    const answer = await fetch(`http://${host.managementAddress}:${metricsPort}/healthz`, {
      signal: AbortSignal.any([signal, AbortSignal.timeout(1000)]),
    });
    await answer.arrayBuffer();
    return true;
  } catch {
    signal.throwIfAborted();
    return false; // not yet
  }
};

/** Last lines of the agent's log. */
export const agentLogTail = (host: LabHost): string =>
  existsSync(host.logPath) ? readFileSync(host.logPath, 'utf8').trimEnd().split('\n').slice(-logTailLines).join('\n') : '(no log)';

/** Takes down whatever lab there is, unless a live process owns it. Answers with what was found. */
export const takeLabDown = async (): Promise<readonly string[]> => {
  await using _lock = await takeLabLock();
  return await teardown();
};
