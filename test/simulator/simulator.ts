/**
 * A fleet of agents without a data path: real identity, revisions and server, many to a process, each on a loopback address of
 * its own. Demo fleet, benchmark and fault tests stand on it. Whoever brings it up disposes it; when the owner dies the
 * worker processes notice, remove the folder and end.
 */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FleetKeys } from '../../desktop/core/authority/fleet-authority.ts';
import { systemRandom, ulidOf } from '../../desktop/lib/api.ts';
import { agentPortDefault } from '../../proto/model/limits.ts';
import type { SimulatedAgentOptions } from './simulated-agent.ts';
import { consoleFolderOf, createSimulatedFleet, writeInventory } from './simulated-fleet.ts';
import type { FleetFolder } from './simulated-fleet.ts';
import type { WorkerFigures, WorkerOrder, WorkerReport } from './worker-protocol.ts';

/** Listeners, state files and connections of one agent: a process without any left drops who connects. */
const descriptorsPerAgent = 20;
const agentsPerProcessMax = 1250;
/** Where the limit of a process cannot be read. */
const descriptorsUsual = 1024;
/** Processes at least, so that making identities uses more than one processor. */
const processesLeast = 2;
export const agentsMax = 20_000;
/** Making an identity takes some milliseconds of CPU. */
const startMsPerAgent = 200;
const startMsLeast = 60_000;
const answerMs = 30_000;
const stopMs = 5000;

export interface SimulatorOptions {
  /** 1 to agentsMax. */
  readonly agents: number;
  /** Of the agents' TCP port; the default of agents when absent. */
  readonly port?: number;
  /** Between two readings of a host, milliseconds; 1000 when absent. */
  readonly readingMs?: number;
  /** Flows a second that each watcher is told; 0 = as fast as it reads. 100 when absent. */
  readonly flowsPerSecond?: number;
  readonly progress?: (line: string) => void;
  readonly signal?: AbortSignal;
}

export class Simulator implements AsyncDisposable {
  readonly fleet: FleetFolder;
  readonly keys: FleetKeys;
  readonly agents: readonly SimulatedAgentOptions[];
  readonly #folder: string;
  readonly #workers: readonly ChildProcess[];

  private constructor(parts: {
    fleet: FleetFolder;
    keys: FleetKeys;
    agents: readonly SimulatedAgentOptions[];
    folder: string;
    workers: readonly ChildProcess[];
  }) {
    this.fleet = parts.fleet;
    this.keys = parts.keys;
    this.agents = parts.agents;
    this.#folder = parts.folder;
    this.#workers = parts.workers;
  }

  /** Makes fleet, identities and inventory and starts every agent. Raises when one cannot start, with nothing left behind. */
  static async up(options: SimulatorOptions): Promise<Simulator> {
    if (!Number.isInteger(options.agents) || options.agents < 1 || options.agents > agentsMax)
      throw new RangeError(`Between 1 and ${agentsMax} agents can be simulated.`);
    if (process.platform !== 'linux') throw new Error('The simulator needs Linux: only there every address of 127.0.0.0/8 is at hand.');
    const progress = options.progress ?? (() => undefined);
    // State in memory: a thousand hosts have a thousand disks, not one between them.
    const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'nest-simulator-'));
    const workers: ChildProcess[] = [];
    try {
      const fleet = { dataDirectory: consoleFolderOf(folder), passphrase: randomBytes(12).toString('base64url') };
      mkdirSync(fleet.dataDirectory, { mode: 0o700 });
      const keys = await createSimulatedFleet(fleet);
      progress('fleet made');
      const agents = plannedAgents(options, folder);
      const perProcess = Math.ceil(agents.length / Math.max(processesLeast, Math.ceil(agents.length / agentsPerProcess())));
      const shares = Array.from({ length: Math.ceil(agents.length / perProcess) }, (_, share) =>
        agents.slice(share * perProcess, (share + 1) * perProcess),
      );
      const made = await Promise.all(
        shares.map(async (share) => {
          const worker = startWorker();
          workers.push(worker);
          const timeoutMs = startTimeMs(agents.length);
          const { identities } = await ask(worker, {
            order: { kind: 'begin', keys, agents: share, folder },
            answer: 'started',
            timeoutMs,
            signal: options.signal,
          });
          progress(`${identities.length} more agents are up`);
          return identities;
        }),
      );
      const identities = made.flat();
      writeInventory(fleet, agents, identities);
      return new Simulator({ fleet, keys, agents, folder, workers });
    } catch (error) {
      await endWorkers(workers);
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  /** Cuts every connection of every agent at once. Returns how many there were. */
  async drop(): Promise<number> {
    const answers = await Promise.all(
      this.#workers.map((worker) => ask(worker, { order: { kind: 'drop' }, answer: 'dropped', timeoutMs: answerMs })),
    );
    return answers.reduce((sum, { connections }) => sum + connections, 0);
  }

  /** Kills the processes of half of the agents, which do not come back. */
  async loseHalf(): Promise<void> {
    const lost = this.#workers.slice(this.#workers.length / 2);
    await Promise.all(
      lost.map(async (worker) => {
        const { promise, resolve } = Promise.withResolvers<void>();
        worker.once('exit', () => resolve());
        worker.kill('SIGKILL');
        await promise;
      }),
    );
  }

  /** What the agents' processes use, summed. */
  async measure(): Promise<WorkerFigures> {
    const answers = await Promise.all(
      this.#workers.map((worker) => ask(worker, { order: { kind: 'measure' }, answer: 'measured', timeoutMs: answerMs })),
    );
    const sum = (pick: (figures: WorkerFigures) => number): number => answers.reduce((total, figures) => total + pick(figures), 0);
    return {
      connections: sum(({ connections }) => connections),
      residentBytes: sum(({ residentBytes }) => residentBytes),
      cpuMicros: sum(({ cpuMicros }) => cpuMicros),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await endWorkers(this.#workers);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** As many as the open files of a process allow. */
const agentsPerProcess = (): number => {
  const limits = existsSync('/proc/self/limits') ? readFileSync('/proc/self/limits', 'utf8') : '';
  const descriptors = Number(/^Max open files +(\d+)/m.exec(limits)?.[1] ?? descriptorsUsual);
  return Math.max(1, Math.min(agentsPerProcessMax, Math.floor(descriptors / descriptorsPerAgent)));
};

const startTimeMs = (agents: number): number => Math.max(startMsLeast, agents * startMsPerAgent);

/** 127.<network>.x.y: a network by chance, so that two simulators do not meet. */
const plannedAgents = (options: SimulatorOptions, folder: string): readonly SimulatedAgentOptions[] => {
  const network = randomInt(32, 224);
  return Array.from({ length: options.agents }, (_, index) => {
    const number = index + 1;
    const name = `host-${String(number).padStart(5, '0')}`;
    return {
      index: number,
      agentId: ulidOf(Date.now(), systemRandom),
      name,
      address: `127.${network}.${number >> 8}.${number & 255}`,
      port: options.port ?? agentPortDefault,
      stateDir: join(folder, 'agents', name),
      readingMs: options.readingMs ?? 1000,
      flowsPerSecond: options.flowsPerSecond ?? 100,
    };
  });
};

const startWorker = (): ChildProcess =>
  fork(fileURLToPath(new URL('worker.ts', import.meta.url)), [], {
    serialization: 'advanced',
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });

interface Question<Kind> {
  readonly order: WorkerOrder;
  readonly answer: Kind;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** Raises when the worker fails, ends, or does not answer in time. */
const ask = async <Kind extends WorkerReport['kind']>(
  worker: ChildProcess,
  question: Question<Kind>,
): Promise<Extract<WorkerReport, { kind: Kind }>> => {
  const { promise, resolve, reject } = Promise.withResolvers<Extract<WorkerReport, { kind: Kind }>>();
  const listen = (report: WorkerReport): void => {
    if (report.kind === question.answer) resolve(report as Extract<WorkerReport, { kind: Kind }>);
    if (report.kind === 'failed') reject(new Error(`The simulated agents did not start: ${report.message}`));
  };
  const ended = (code: number | null): void => reject(new Error(`The process of the simulated agents ended (${code ?? 'killed'}).`));
  const aborted = (): void => reject(new Error('The simulator was interrupted.'));
  const timer = setTimeout(
    () => reject(new Error(`The simulated agents did not answer in ${question.timeoutMs / 1000} s.`)),
    question.timeoutMs,
  );
  worker.on('message', listen);
  worker.once('exit', ended);
  question.signal?.addEventListener('abort', aborted, { once: true });
  try {
    worker.send(question.order);
    return await promise;
  } finally {
    clearTimeout(timer);
    worker.off('message', listen);
    worker.off('exit', ended);
    question.signal?.removeEventListener('abort', aborted);
  }
};

/** Closes their channels, which ends them; who does not obey is killed. */
const endWorkers = async (workers: readonly ChildProcess[]): Promise<void> => {
  await Promise.all(
    workers.map(async (worker) => {
      if (worker.exitCode !== null || worker.signalCode !== null) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      worker.once('exit', () => resolve());
      if (worker.connected) worker.disconnect();
      const timer = setTimeout(() => worker.kill('SIGKILL'), stopMs);
      await promise;
      clearTimeout(timer);
    }),
  );
};
