/** One nest-fastpathd under supervision: started or adopted, given tables and ports, restarted with growing pauses when it dies. */
import type { Clock, Timer } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { UserEngine } from '../api.ts';
import type { FastpathHost } from './host.ts';
import type { SharedMemory } from './memory.ts';
import { createPortBook } from './port-book.ts';
import type { PortBook, WantedPort } from './port-book.ts';
import { addPortWords, interfaceOf, startWords } from './start-words.ts';
import { createTally } from './tally.ts';

export interface SupervisorOptions {
  readonly engine: UserEngine;
  readonly host: FastpathHost;
  /** Where control socket and table images lie; private to the agent. */
  readonly folder: string;
  /** Folder in a bpffs for packet programs that outlive the process. */
  readonly pins: string;
  /** The pinned program of the kernel's verdict, which judges while no process does. */
  readonly program: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Takes the kernel's verdict off an interface, so that the process can have it. */
  readonly takeOff: (name: string) => Promise<void>;
  /** The standing of a port has changed. */
  readonly onChange: () => void;
  /** Sequence under which the data path loaded what it runs, and the name of that loading. */
  readonly state: () => { readonly loadedSequence: number; readonly instance: string };
}

export interface Tables {
  readonly image: Uint8Array;
  /** Sequence under which the data path loaded them. */
  readonly loaded: number;
}

/** Pauses between starts: doubled from the first to the longest, begun anew after a time without trouble. */
export const restartFirstMs = 500;
export const restartLongestMs = 30_000;
export const stableMs = 60_000;
/** Deaths in a row after which the interfaces go back to the kernel's verdict until an operator chooses again. */
export const restartsMax = 8;
/** How often a process is looked at, and how long a worker may stand still. */
export const watchMs = 250;
export const hangMs = 3_000;
const stopPolls = 40;
/** Own sequences whose place in the data path's numbering is remembered. */
const sequencesMax = 32;
/** Bytes of records kept of processes that have died, until they are taken: a full ring of each worker. */
const orphanBytesMax = 64 << 20;
const recordsPerDrain = 1 << 20;

interface Running {
  readonly pid: number;
  readonly memory: SharedMemory;
  readonly sinceMs: number;
  /** Sequence of the process. */
  own: number;
  lanes: number;
  rounds: readonly bigint[];
  movedMs: number;
}

export class Supervisor {
  readonly tally = createTally((port) => interfaceOf(port, this.#wanted));
  readonly ports: PortBook;
  readonly #options: SupervisorOptions;
  readonly #sequences = new Map<number, number>();
  #wanted: readonly WantedPort[] = [];
  #tables: Tables | null = null;
  #running: Running | null = null;
  #orphans: Buffer[] = [];
  #deaths = 0;
  #dueMs = 0;
  #isGivenUp = false;
  #lastEnd = '';
  #work: Promise<void> = Promise.resolve();
  #watch: Timer | undefined;
  #retry: Timer | undefined;
  #isClosed = false;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.ports = createPortBook(options.clock);
    this.#restore();
    this.#armWatch();
  }

  get pid(): number | null {
    return this.#running?.pid ?? null;
  }

  get socket(): string {
    return `${this.#options.folder}/fastpath-${this.#options.engine}.sock`;
  }

  /** What should be served from now on. Resolves when it is, or when it is known why not. */
  async want(ports: readonly WantedPort[]): Promise<void> {
    this.#wanted = ports;
    await this.#enqueue(async () => await this.#align());
  }

  /** An operator chose anew: what was given up is tried again. */
  forgive(name: string): void {
    this.ports.forgive(name);
    this.#isGivenUp = false;
    this.#deaths = 0;
    this.#dueMs = 0;
  }

  /** These tables are in force in the data path. */
  async use(tables: Tables): Promise<void> {
    await this.#enqueue(async () => {
      this.#tables = tables;
      if (this.#running !== null) await this.#load(this.#running);
      await this.#align();
    });
  }

  setFlood(isOn: boolean): void {
    void this.#enqueue(async () => {
      if (this.#running !== null) await this.#options.host.control(this.socket, ['flood', isOn ? 'on' : 'off']);
    });
  }

  /** Records that no one has taken yet, their sequences in the data path's numbering. */
  takeRecords(limit: number): Buffer {
    const orphans = Buffer.concat(this.#orphans);
    this.#orphans = [];
    return Buffer.concat([orphans, this.#running?.memory.takeRecords(limit) ?? Buffer.alloc(0)]);
  }

  /** The data path's number for a sequence of the process. */
  sequenceOf(own: number): number {
    return this.#sequences.get(own) ?? own;
  }

  /** Stops watching; the process goes on. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#watch?.cancel();
    this.#retry?.cancel();
    await this.#work;
    this.tally.close();
    this.#running = null;
  }

  async #enqueue(work: () => Promise<void>): Promise<void> {
    const turn = this.#work.then(async () => {
      if (!this.#isClosed) await work();
    });
    this.#work = turn.catch((error: unknown) => {
      this.#options.log.error('nest-fastpathd was not brought in line', { engine: this.#options.engine, error });
    });
    await this.#work;
  }

  async #align(): Promise<void> {
    const names = this.#wanted.map(({ name }) => name);
    this.ports.keepOnly(names);
    if (this.#running === null) await this.#begin();
    const running = this.#running;
    if (running === null) {
      await this.#unpinAllBut(this.#isGivenUp ? [] : names);
      this.#takeNote();
      return;
    }
    if (this.#wanted.length === 0) await this.#stop(running);
    else if (this.#options.engine === 'dpdk' || this.#wanted.some(({ queues }) => queues < running.lanes)) await this.#alignWhole(running);
    else await this.#alignPorts(running);
  }

  /** What a process has left that died while no agent was there: its program falls back, and another one must not be attached. */
  #takeNote(): void {
    if (this.#isGivenUp || this.#options.engine === 'dpdk') return;
    const pinned = this.#options.host.pinned(this.#options.pins);
    for (const { name } of this.#wanted) {
      if (pinned.includes(name) && this.ports.of(name) === null)
        this.ports.set(name, { state: 'covered', reason: 'it is not running, and is started with the next policy' });
    }
  }

  /** Adopts what runs; else starts one when it is wanted, due, and there are tables to give it. */
  async #begin(): Promise<void> {
    const { host, clock } = this.#options;
    const hello = await host.control(this.socket, ['hello']);
    if (hello.status === 'OK') {
      this.#open(hello.fields, true);
      if (this.#tables !== null && this.#running !== null) await this.#load(this.#running);
      return;
    }
    if (this.#wanted.length === 0 || this.#tables === null || this.#isGivenUp) return;
    if (clock.monotonicMs() < this.#dueMs) return;
    await this.#start();
  }

  async #start(): Promise<void> {
    const { engine, host, log, pins, takeOff } = this.#options;
    const image = `${this.socket}.img`;
    if (engine === 'dpdk' && this.#tables !== null) await host.writeImage(image, this.#tables.image);
    const lanes = Math.max(1, Math.min(host.processors, ...this.#wanted.map(({ queues }) => queues)));
    if (engine === 'dpdk') {
      for (const { name } of this.#wanted) {
        this.ports.set(name, { state: 'opening' });
        await takeOff(name);
      }
    }
    const request = { engine, socket: this.socket, pins, lanes, processors: host.processors, ports: this.#wanted, image };
    const started = host.start(engine, startWords(request));
    try {
      await started.ready;
    } catch (error) {
      await this.#died(`it does not start: ${error instanceof Error ? error.message : String(error)}`);
      return;
    }
    void started.ended.then(async (how) => {
      if (this.#running?.pid === started.pid) await this.#enqueue(async () => await this.#ended(started.pid, how));
    });
    const hello = await host.control(this.socket, ['hello']);
    if (hello.status !== 'OK') {
      host.kill(started.pid);
      await this.#died(`it does not answer: ${hello.message}`);
      return;
    }
    this.#open(hello.fields, false);
    log.info('nest-fastpathd started', { engine, pid: started.pid, lanes });
    if (this.#running !== null && (await this.#load(this.#running)) && engine === 'dpdk')
      for (const { name } of this.#wanted) this.ports.set(name, { state: 'serving' });
  }

  #open(hello: Readonly<Record<string, unknown>>, isAdopted: boolean): void {
    const { host, clock, log, engine, state, onChange } = this.#options;
    const { loadedSequence } = state();
    const pid = Number(hello['process']);
    const own = Number(hello['sequence']);
    const nowMs = clock.monotonicMs();
    const memory = host.memory(pid, hello['inodes'] as readonly number[]);
    this.#running = { pid, memory, own, lanes: Number(hello['lanes']), sinceMs: nowMs, rounds: [], movedMs: nowMs };
    this.tally.open(memory, { own, loaded: loadedSequence });
    if (own !== 0) this.#remember(own, loadedSequence);
    if (!isAdopted) return;
    for (const { name } of memory.ports()) this.ports.set(interfaceOf(name, this.#wanted), { state: 'serving' });
    log.info('nest-fastpathd adopted', { engine, pid, sequence: own });
    onChange();
  }

  /** True when the process runs the tables in force. What refuses them must not judge by older ones. */
  async #load(running: Running): Promise<boolean> {
    const tables = this.#tables;
    if (tables === null) return false;
    const { host, folder, engine, log } = this.#options;
    const pathOf = (own: number): string => `${folder}/fastpath-${engine}-${String(own)}.img`;
    if (running.own !== 0 && (await host.isImage(pathOf(running.own), tables.image))) {
      this.#remember(running.own, tables.loaded);
      return true;
    }
    const own = nextSequence(running.own, tables.loaded);
    await host.writeImage(pathOf(own), tables.image);
    const answer = await host.control(this.socket, ['load', pathOf(own), String(own)]);
    if (answer.status === 'OK') {
      this.#remember(own, tables.loaded);
      this.tally.loaded({ own, loaded: tables.loaded });
      if (running.own !== 0) await host.removeImage(pathOf(running.own));
      running.own = own;
      return true;
    }
    await host.removeImage(pathOf(own));
    log.error('nest-fastpathd does not take the tables', { engine, status: answer.status, message: answer.message });
    for (const { name } of running.memory.ports()) {
      this.tally.collect();
      await host.control(this.socket, ['remove-port', name]);
      this.ports.refuse(interfaceOf(name, this.#wanted), `it does not take the tables: ${answer.message}`);
    }
    this.#options.onChange();
    return false;
  }

  #remember(own: number, loaded: number): void {
    this.#sequences.set(own, loaded);
    const oldest = this.#sequences.size > sequencesMax ? this.#sequences.keys().next() : undefined;
    if (oldest?.done === false) this.#sequences.delete(oldest.value);
  }

  async #alignPorts(running: Running): Promise<void> {
    if (running.own === 0 || this.#tables === null) return;
    const { host } = this.#options;
    for (const { name, index } of running.memory.ports()) {
      const wanted = this.#wanted.find((port) => port.name === name);
      if (wanted?.index === index) continue;
      this.tally.collect();
      await host.control(this.socket, ['remove-port', name]);
      this.ports.forget(name);
      this.#options.onChange();
    }
    const open = new Set(running.memory.ports().map(({ name }) => name));
    for (const port of this.#wanted) {
      if (open.has(port.name)) this.ports.set(port.name, { state: 'serving' });
      else if (this.ports.isDue(port.name)) await this.#addPort(running, port);
    }
  }

  async #addPort(running: Running, port: WantedPort): Promise<void> {
    const { host, log, program, pins, takeOff, onChange } = this.#options;
    this.ports.set(port.name, { state: 'opening' });
    await takeOff(port.name);
    const answer = await host.control(this.socket, ['add-port', ...addPortWords(port, { lanes: running.lanes, program })]);
    if (answer.status === 'OK') {
      this.ports.set(port.name, { state: 'serving' });
      log.info('nest-fastpathd serves', { interface: port.name, queues: running.lanes });
    } else {
      if (host.pinned(pins).includes(port.name)) await host.unpin(pins, port.name);
      this.ports.refuse(port.name, answer.message.replace('\n', ': '));
      log.warn('nest-fastpathd does not serve', { interface: port.name, status: answer.status, message: answer.message });
    }
    onChange();
  }

  /** Where ports are given at the start, or it has more workers than an interface has queues: stop it, and start another. */
  async #alignWhole(running: Running): Promise<void> {
    const open = new Set(running.memory.ports().map(({ name }) => interfaceOf(name, this.#wanted)));
    const isAligned =
      open.size === this.#wanted.length && this.#wanted.every(({ name, queues }) => open.has(name) && queues >= running.lanes);
    if (isAligned) return;
    await this.#stop(running);
    await this.#begin();
    if (this.#running !== null && this.#options.engine === 'af_xdp') await this.#alignPorts(this.#running);
  }

  async #stop(running: Running): Promise<void> {
    const { host, clock, log, engine, onChange } = this.#options;
    this.#drain(running);
    this.#running = null;
    await host.control(this.socket, ['stop', 'detach']);
    for (let poll = 0; poll < stopPolls && host.isAlive(running.pid); poll++)
      await new Promise<void>((resolve) => void clock.after(watchMs / 2, resolve));
    host.kill(running.pid);
    this.#drain(running);
    this.#closeTally();
    log.info('nest-fastpathd stopped', { engine, pid: running.pid });
    onChange();
  }

  #drain(running: Running): void {
    const kept = this.#orphans.reduce((sum, { length }) => sum + length, 0);
    if (kept < orphanBytesMax) this.#orphans.push(running.memory.takeRecords(recordsPerDrain));
  }

  /** What it counted and recorded until its last packet is still in the memory that is open here. */
  async #ended(pid: number, how: string): Promise<void> {
    const running = this.#running;
    if (running?.pid !== pid) return;
    this.#drain(running);
    this.#closeTally();
    this.#running = null;
    if (this.#options.clock.monotonicMs() - running.sinceMs >= stableMs) this.#deaths = 0;
    await this.#died(how);
  }

  get #tallyPath(): string {
    return `${this.#options.folder}/fastpath-${this.#options.engine}.counts`;
  }

  /** Counts of another loading of the data path belong to nothing any more. */
  #restore(): void {
    const { host, state, log } = this.#options;
    const text = host.readText(this.#tallyPath);
    const end = text.indexOf('\n');
    if (end < 0 || text.slice(0, end) !== state().instance) return;
    try {
      this.tally.restore(text.slice(end + 1));
    } catch (error) {
      log.warn('kept counts of nest-fastpathd cannot be read', { path: this.#tallyPath, error });
    }
  }

  /** The rest of what it counted, kept for this agent and the next. */
  #closeTally(): void {
    const { host, state, log } = this.#options;
    this.tally.close();
    try {
      host.writeText(this.#tallyPath, `${state().instance}\n${this.tally.toText()}`);
    } catch (error) {
      log.warn('counts of nest-fastpathd cannot be kept', { path: this.#tallyPath, error });
    }
  }

  async #died(how: string): Promise<void> {
    const { clock, log, engine, host, pins, onChange } = this.#options;
    this.#lastEnd = how;
    this.#deaths += 1;
    this.#isGivenUp = this.#deaths >= restartsMax;
    const pauseMs = Math.min(restartLongestMs, restartFirstMs * 2 ** (this.#deaths - 1));
    this.#dueMs = clock.monotonicMs() + pauseMs;
    log.warn('nest-fastpathd ended', { engine, how, deaths: this.#deaths, restartMs: this.#isGivenUp ? null : pauseMs });
    const covered = new Set(engine === 'dpdk' || this.#isGivenUp ? [] : host.pinned(pins));
    const next = this.#isGivenUp
      ? 'choose the engine again to try once more'
      : `next try in ${String(pauseMs)} ms, number ${String(this.#deaths)}`;
    for (const { name } of this.#wanted)
      this.ports.set(name, { state: covered.has(name) ? 'covered' : 'lost', reason: `${this.#lastEnd}; ${next}` });
    if (this.#isGivenUp) await this.#unpinAllBut([]);
    else this.#retry = clock.after(pauseMs, () => void this.#enqueue(async () => await this.#align()));
    onChange();
  }

  /** Programs that nobody serves and nobody wants give way to the kernel's verdict. */
  async #unpinAllBut(names: readonly string[]): Promise<void> {
    const { host, pins, engine, onChange } = this.#options;
    if (engine === 'dpdk') return;
    const stale = host.pinned(pins).filter((name) => !names.includes(name));
    for (const name of stale) await host.unpin(pins, name);
    if (stale.length > 0) onChange();
  }

  #armWatch(): void {
    if (!this.#isClosed) this.#watch = this.#options.clock.after(watchMs, () => this.#look());
  }

  #look(): void {
    const running = this.#running;
    if (running !== null) {
      if (!this.#options.host.isAlive(running.pid))
        void this.#enqueue(async () => await this.#ended(running.pid, `process ${String(running.pid)} has ended`));
      else this.#checkWorkers(running);
    }
    this.#armWatch();
  }

  /** A worker that hangs keeps its sockets, so the kernel's fallback does not begin by itself. */
  #checkWorkers(running: Running): void {
    const { clock, host, log, engine } = this.#options;
    const workers = running.memory.workers();
    const hasMoved = workers.every(({ rounds, isSleeping }, lane) => isSleeping || rounds !== running.rounds[lane]);
    running.rounds = workers.map(({ rounds }) => rounds);
    if (hasMoved) running.movedMs = clock.monotonicMs();
    if (clock.monotonicMs() - running.movedMs < hangMs) return;
    log.error('a worker of nest-fastpathd hangs: it is ended', { engine, pid: running.pid });
    host.kill(running.pid);
  }
}

/** The data path's own number where the rules allow it (later, and of the other half), else the next one. */
const nextSequence = (own: number, loaded: number): number =>
  own === 0 || (loaded > own && (loaded & 1) !== (own & 1)) ? loaded : own + 1;
