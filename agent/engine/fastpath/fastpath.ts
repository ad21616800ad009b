import { join as joinPath } from 'node:path';
import type { Engine, EngineProbe, Fastpath, FastpathEvents, RecordBatch, UserEngine, UserInterface, UserService } from '../api.ts';
import { lossKinds, recordBytes, recordOffsets } from '../layout.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { FastpathHost } from './host.ts';
import { withBackendStates } from './images.ts';
import { recordsPerAnswerMax } from './layout.ts';
import { mergedCounters } from './merge.ts';
import type { PortStanding, WantedPort } from './port-book.ts';
import { Supervisor } from './supervisor.ts';

export interface FastpathOptions {
  readonly host: FastpathHost;
  /** Private to the agent; its path must leave room for a socket's name (107 bytes in all). */
  readonly folder: string;
  /** Pins of the kernel's data path. */
  readonly pinPath: string;
  /** Who judges while a process is away, by interface; others: the kernel. */
  readonly fallbacks: ReadonlyMap<string, 'xdp' | 'pass'>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Nothing runs before `join` and `want`. */
export const createFastpath = (options: FastpathOptions): Fastpath => new ProcessFastpath(options);

const engines: readonly UserEngine[] = ['af_xdp', 'dpdk'];

class ProcessFastpath implements Fastpath {
  readonly #options: FastpathOptions;
  #kernel: Engine | null = null;
  #supervisors = new Map<UserEngine, Supervisor>();
  #wanted: readonly UserInterface[] = [];
  #absent = new Set<string>();
  #indexes = new Map<string, number>();
  #image: Uint8Array | null = null;
  #lostSeen = 0n;
  #canReadFlows = true;

  constructor(options: FastpathOptions) {
    this.#options = options;
  }

  async probes(): Promise<readonly EngineProbe[]> {
    return await this.#options.host.probe();
  }

  join(kernel: Engine, events: FastpathEvents): Engine {
    const { host, folder, pinPath, clock, log } = this.#options;
    this.#kernel = kernel;
    for (const engine of engines) {
      const supervisor = new Supervisor({
        engine,
        host,
        folder,
        pins: joinPath(pinPath, 'fastpath'),
        program: joinPath(pinPath, 'programs/nest_xdp'),
        clock,
        log,
        takeOff: async (name) => void (await kernel.detach(name)),
        onChange: events.onChange,
        state: () => kernel.state(),
      });
      this.#supervisors.set(engine, supervisor);
    }
    return this.#joined(kernel);
  }

  async want(interfaces: readonly UserInterface[]): Promise<void> {
    this.#wanted = interfaces;
    const ports = await Promise.all(interfaces.map(async (entry) => [entry, await this.#portOf(entry.name)] as const));
    this.#absent = new Set(ports.filter(([, port]) => port === null).map(([{ name }]) => name));
    this.#indexes = new Map(ports.flatMap(([{ name }, port]) => (port === null ? [] : [[name, port.index] as const])));
    // What an engine gives up another one may take: first those that lose, then those that gain.
    const byEngine = engines.map((engine) => ({
      supervisor: this.#supervisors.get(engine),
      ports: ports.flatMap(([entry, port]) => (entry.engine === engine && port !== null ? [port] : [])),
    }));
    for (const { supervisor, ports: wanted } of byEngine.toSorted((a, b) => a.ports.length - b.ports.length))
      await supervisor?.want(wanted);
  }

  forgive(name: string): void {
    for (const supervisor of this.#supervisors.values()) supervisor.forgive(name);
  }

  async provide(image: Uint8Array, states: Uint8Array | undefined): Promise<void> {
    const loaded = this.#kernel?.state().loadedSequence ?? 0;
    this.#image = image;
    const tables = { image: withBackendStates(image, states), loaded };
    for (const supervisor of this.#supervisors.values()) await supervisor.use(tables);
  }

  holds(name: string): boolean {
    const service = this.service(name);
    return service !== null && (service.state !== 'off' || service.fallback === 'pass');
  }

  links(): readonly { readonly name: string; readonly index: number }[] {
    return [...this.#indexes].flatMap(([name, index]) => (this.holds(name) ? [{ name, index }] : []));
  }

  service(name: string): UserService | null {
    const entry = this.#wanted.find((wanted) => wanted.name === name);
    if (entry === undefined) return null;
    const { engine } = entry;
    const fallback = this.#options.fallbacks.get(name) ?? 'xdp';
    const supervisor = this.#supervisors.get(engine);
    const standing = supervisor?.ports.of(name) ?? null;
    if (this.#absent.has(name) || standing === null) {
      const reason = this.#absent.has(name)
        ? `There is no interface ${name}.`
        : 'nest-fastpathd is not there yet: it waits for the first policy.';
      return { engine, state: 'off', fallback: standing === null && !this.#absent.has(name) ? 'xdp' : fallback, reason };
    }
    return { engine, fallback, ...told(standing, { engine, fallback, pid: supervisor?.pid ?? null }) };
  }

  async close(): Promise<void> {
    for (const supervisor of this.#supervisors.values()) await supervisor.close();
  }

  async #portOf(name: string): Promise<WantedPort | null> {
    try {
      const { receiveQueues, index } = (await this.#kernel?.interfaceFacts(name)) ?? { receiveQueues: 1, index: 0 };
      return { name, index, queues: Math.max(1, receiveQueues), fallback: this.#options.fallbacks.get(name) ?? 'xdp' };
    } catch {
      return null;
    }
  }

  #joined(kernel: Engine): Engine {
    return {
      ...kernel,
      swap: async (image, sequence, states) => {
        const times = await kernel.swap(image, sequence, states);
        await this.provide(image, states);
        return times;
      },
      setBackendStates: async (states) => {
        await kernel.setBackendStates(states);
        if (this.#image !== null && states.length > 0) await this.provide(this.#image, states);
      },
      setFlood: (isOn) => {
        kernel.setFlood(isOn);
        for (const supervisor of this.#supervisors.values()) supervisor.setFlood(isOn);
      },
      counters: () => {
        const tallies = [...this.#supervisors.values()].map(({ tally }) => tally);
        for (const tally of tallies) tally.collect();
        return mergedCounters(kernel.counters(), tallies);
      },
      takeRecords: (limit) => this.#takeRecords(kernel, limit),
      flows: async (limit) => {
        const own = await kernel.flows(limit);
        const { rows, truncated } = await this.#rowsOf('flows', limit - own.count);
        return { ...batchOf(Buffer.concat([own.rows, rows])), truncated: own.truncated || truncated };
      },
      sweep: async (limit) => {
        const own = await kernel.sweep(limit);
        const { rows } = await this.#rowsOf('sweep', limit - own.count);
        return batchOf(Buffer.concat([own.rows, rows]));
      },
    };
  }

  #takeRecords(kernel: Engine, limit: number): RecordBatch & { readonly lost: number } {
    const own = kernel.takeRecords(limit);
    const batches = [own.rows];
    let lost = 0n;
    for (const supervisor of this.#supervisors.values()) {
      batches.push(this.#renumbered(supervisor, supervisor.takeRecords(limit)));
      lost += supervisor.tally.losses[lossKinds.ringFull] ?? 0n;
    }
    const newlyLost = Number(lost - this.#lostSeen);
    this.#lostSeen = lost;
    return { ...batchOf(Buffer.concat(batches)), lost: own.lost + newlyLost };
  }

  /** Records name the policy by the process's own sequence. */
  #renumbered(supervisor: Supervisor, rows: Buffer): Buffer {
    for (let at = recordOffsets.sequence; at < rows.length; at += recordBytes)
      rows.writeUInt32LE(supervisor.sequenceOf(rows.readUInt32LE(at)), at);
    return rows;
  }

  async #rowsOf(what: 'flows' | 'sweep', limit: number): Promise<{ readonly rows: Buffer; readonly truncated: boolean }> {
    const batches: Buffer[] = [];
    let truncated = false;
    for (const supervisor of this.#supervisors.values()) {
      if (supervisor.pid === null || limit <= 0 || !this.#canReadFlows) continue;
      const words = ['rows', what, String(Math.min(limit, recordsPerAnswerMax)), '0'];
      const answer = await this.#options.host.control(supervisor.socket, words);
      if (answer.status === 'OK') {
        batches.push(this.#renumbered(supervisor, answer.rows));
        truncated ||= Number(answer.fields['cursor']) !== 0;
      } else if (supervisor.pid !== null && answer.fields['status'] === undefined) {
        // This build of nest-fastpathctl does not print rows.
        this.#canReadFlows = false;
        this.#options.log.warn('nest-fastpathctl does not give flows: those of its interfaces are seen when they begin and end only', {
          message: answer.message,
        });
      }
    }
    return { rows: Buffer.concat(batches), truncated };
  }
}

const batchOf = (rows: Buffer): RecordBatch => ({ rows, count: Math.floor(rows.length / recordBytes) });

const told = (
  standing: PortStanding,
  { engine, fallback, pid }: { readonly engine: UserEngine; readonly fallback: 'xdp' | 'pass'; readonly pid: number | null },
): Pick<UserService, 'state' | 'reason'> => {
  if (!('reason' in standing)) {
    const hostEnd = engine === 'dpdk' ? " The host's end of the port is a tap, nestd0 and on: its addresses belong there." : '';
    return standing.state === 'serving'
      ? { state: 'serving', reason: `nest-fastpathd (process ${String(pid)}) judges its packets.${hostEnd}` }
      : { state: 'covered', reason: 'nest-fastpathd is taking it over.' };
  }
  const judge = fallback === 'xdp' ? "The kernel's verdict judges meanwhile" : 'Packets pass unjudged meanwhile, as configured';
  const reason = `${judge}, because nest-fastpathd does not serve it: ${standing.reason.replace(/\.$/, '')}.`;
  return { state: standing.state === 'covered' ? 'covered' : 'off', reason };
};
